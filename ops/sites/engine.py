"""The Docker engine: the one that answers, or one installed here on Debian and Ubuntu."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import docker
from docker.errors import DockerException

from ops import console
from ops.build import apt

_MANUAL = (
    "install Docker (https://docs.docker.com/engine/install/) and start it, or point DOCKER_HOST at"
    " an engine"
)
_SECONDS = 60
_RANGES = (
    "172.17.0.0/16",
    "172.18.0.0/16",
    "172.19.0.0/16",
    "172.20.0.0/14",
    "172.24.0.0/14",
    "172.28.0.0/14",
    "192.168.0.0/16",
)


def answers() -> bool:
    """True if an engine answers at DOCKER_HOST or the default socket."""
    try:
        client = docker.from_env(timeout=10)
        client.ping()
        client.close()
    except DockerException:
        return False
    return True


def ensure() -> None:
    """Ensures that an engine answers, or raises Failed with the command to run."""
    if answers():
        _share_root()
        return
    if os.environ.get("DOCKER_HOST"):
        raise console.Failed(
            f"DOCKER_HOST is {os.environ['DOCKER_HOST']}, but no Docker engine answers there",
            "start that engine, correct DOCKER_HOST, or unset it to use this machine's own",
        )
    if os.geteuid() != 0:
        raise console.Failed(
            "no Docker engine answers", f"as root: systemctl start docker; or {_MANUAL}"
        )
    if shutil.which("dockerd") is None or shutil.which("iptables") is None:
        _install()
    _share_root()
    with console.step("docker: starting the engine"):
        _start()


def _share_root() -> None:
    """Makes `/` a shared mount if no systemd has done so: otherwise node-exporter cannot see the
    host's disks.
    """
    local = not os.environ.get("DOCKER_HOST", "unix://").startswith(("tcp:", "ssh:"))
    if (
        local
        and os.geteuid() == 0
        and not Path("/run/systemd/system").is_dir()
        and shutil.which("mount")
    ):
        subprocess.run(["mount", "--make-rshared", "/"], capture_output=True, check=False)


def _install() -> None:
    apt.install(
        ["docker.io", "iptables", "iproute2"],
        "docker: installing the engine from the distribution's packages",
        missing="no Docker engine answers, and none can be installed: this is not Debian or Ubuntu,"
        " or you are not root",
        fix=_MANUAL,
    )


def _pools() -> list[str]:
    """The engine's own address ranges (libnetwork's ipamutils), in networks of 254 addresses
    instead of 65,534: two stacks of eleven networks leave no room for a third otherwise.
    """
    if Path("/etc/docker/daemon.json").exists():
        return []
    return [f"--default-address-pool=base={base},size=24" for base in _RANGES]


def _start() -> None:
    if Path("/run/systemd/system").is_dir():
        console.run(["systemctl", "start", "docker"], fix="journalctl -u docker -n 50")
    else:
        # No init runs here (a container, a small virtual machine), so the engine gets a session of
        # its own.
        log = Path("/var/log/groundwork-dockerd.log")
        with log.open("ab") as stream:
            subprocess.Popen(
                ["dockerd", *_pools()],
                stdout=stream,
                stderr=stream,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
    deadline = time.monotonic() + _SECONDS
    while not answers():
        if time.monotonic() > deadline:
            raise console.Failed(
                f"the Docker engine did not answer within {_SECONDS} s",
                "see /var/log/groundwork-dockerd.log or `journalctl -u docker`",
            )
        time.sleep(0.3)
