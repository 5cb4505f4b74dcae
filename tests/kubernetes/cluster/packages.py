"""Distribution packages for the tests' own cluster: etcd, containerd, network plug-ins."""

import shutil
from pathlib import Path

from ops.build import apt

_PACKAGES = {
    "etcd": "etcd-server",
    # The tests' engine has a containerd of its own on the PATH, but not this client.
    "ctr": "containerd",
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
    apt.install(
        missing,
        f"kubernetes: installing {', '.join(missing)}",
        missing=f"a cluster for the tests needs {', '.join(missing)}",
        fix="install them, or name a cluster of yours: "
        "KUBECONFIG=… GROUNDWORK_TEST_CONTEXT=… make test-kubernetes",
        # etcd is wanted as a program, not as a service of this machine.
        environment={"RUNLEVEL": "1"},
    )


def _there(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None
