"""Distribution packages for the tests' own cluster: etcd, containerd, network plug-ins."""

import os
import shutil
from pathlib import Path

from ops import console

_PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "conntrack": "conntrack",
    "iptables": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
}


def ensure() -> None:
    """Installs what is missing, on Debian and Ubuntu as root. Raises Failed elsewhere."""
    missing = sorted({package for program, package in _PACKAGES.items() if not _there(program)})
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise console.Failed(
            f"a cluster for the tests needs {', '.join(missing)}",
            "install them, or name a cluster of yours: KUBECONFIG=… GROUNDWORK_TEST_CONTEXT=… make"
            " test-kubernetes",
        )
    with console.step(f"kubernetes: installing {', '.join(missing)}"):
        # Run level 1: etcd is wanted as a program, not as a service of this machine.
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        console.run(["apt-get", "update", "-qq"], env=env)
        console.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=env
        )


def _there(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None
