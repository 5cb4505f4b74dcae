"""The Docker engine: the one that answers, or one installed here on Debian and Ubuntu."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import docker
from docker.errors import DockerException

from infra.refusal import PreflightError
from infra.targets.docker import engine_checks
from infra.targets.docker.facts import unreachable
from ops import console
from ops.build import apt

_MANUAL = (
    "install Docker (https://docs.docker.com/engine/install/) and start it, or point DOCKER_HOST at"
    " an engine"
)
_OFFICIAL = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin")
_DISTRIBUTION = ("docker.io",)
_CURRENT_API = (1, 44)  # of Docker 25
_SECONDS = 60
_PID_FILE = Path("/var/run/docker.pid")
_LOG = Path("/var/log/groundwork-dockerd.log")
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
        _ping()
    except DockerException:
        return False
    return True


def _ping() -> None:
    client = docker.from_env(timeout=10)
    try:
        client.ping()
    finally:
        client.close()


def ensure() -> None:
    """Ensures that an engine answers, or raises Failed with the command to run; raises
    PreflightError if it cannot be used.
    """
    denied = _denied()
    if denied is None:
        _refuse_unsuitable()
        share_root()
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
    installed = shutil.which("dockerd") is None or shutil.which("iptables") is None
    if installed:
        _install()
    _check_packet_filter()
    share_root()
    with console.step("docker: starting the engine"):
        _start()
    if installed:
        _say_if_old()
    _refuse_unsuitable()


def _denied() -> DockerException | None:
    """The error of an engine that does not answer; None if it does. Raises PreflightError if this
    user may not use its socket.
    """
    try:
        _ping()
    except DockerException as error:
        if "Permission denied" in str(error):
            raise PreflightError([unreachable(error)]) from None
        return error
    return None


def _refuse_unsuitable() -> None:
    client = docker.from_env(timeout=10)
    try:
        problems = list(engine_checks.check(client.version(), client.info()))
    finally:
        client.close()
    if problems:
        raise PreflightError(problems)


def _check_packet_filter() -> None:
    """Raises Failed if iptables cannot set up address translation, without which no engine
    starts.
    """
    command = ["iptables", "--wait", "--table", "nat", "--list-rules"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
    raise console.Failed(
        f"Docker cannot start here: iptables cannot translate addresses ({said})",
        "load the kernel's module for it (`modprobe iptable_nat` or `modprobe nft_chain_nat`); if"
        " this kernel has only the older one, `update-alternatives --set iptables"
        " /usr/sbin/iptables-legacy`",
    )


def forget_dead(file: Path) -> None:
    """Removes the file with the process id of an engine that was killed: while any process has that
    id, be it a dead one that nobody has collected, the next engine refuses to start.
    """
    try:
        pid = int(file.read_text())
        status = Path(f"/proc/{pid}/status").read_text()
    except (OSError, ValueError):
        return
    if not status.startswith("Name:\tdockerd\n") or "\nState:\tZ" in status:
        file.unlink(missing_ok=True)


def share_root() -> None:
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
    """Installs the newest engine that this machine's package sources offer: Docker's own packages
    where they are among them, else the distribution's.
    """
    none = (
        "no Docker engine answers, and none can be installed: this is not Debian or Ubuntu, or you"
        " are not root"
    )
    apt.update("docker: reading the package lists", missing=none, fix=_MANUAL)
    packages = _OFFICIAL if apt.offers(_OFFICIAL[0]) else _DISTRIBUTION
    source = "Docker's" if packages is _OFFICIAL else "the distribution's"
    apt.install(
        [*packages, "iptables", "iproute2"],
        f"docker: installing the engine from {source} packages",
        missing=none,
        fix=_MANUAL,
    )


def _say_if_old() -> None:
    """Prints that the engine just installed is an old one."""
    client = docker.from_env(timeout=10)
    try:
        version = client.version()
    finally:
        client.close()
    if engine_checks.api(version) < _CURRENT_API:
        console.out.print(
            f"docker: {version['Version']} is the newest engine that this machine's package sources"
            " offer; it is older than 25, of January 2024. For a current one add Docker's own"
            " (https://docs.docker.com/engine/install/) before the first `make up`"
        )


def pools() -> list[str]:
    """The engine's own address ranges (libnetwork's ipamutils), in networks of 254 addresses
    instead of 65,534: two stacks of eleven networks leave no room for a third otherwise.
    """
    if Path("/etc/docker/daemon.json").exists():
        return []
    return [f"--default-address-pool=base={base},size=24" for base in _RANGES]


def _start() -> None:
    process = None
    if Path("/run/systemd/system").is_dir():
        console.run(["systemctl", "start", "docker"], fix="journalctl -u docker -n 50")
    else:
        process = _spawn()
    deadline = time.monotonic() + _SECONDS
    while not answers():
        if time.monotonic() > deadline:
            raise console.Failed(
                f"the Docker engine did not answer within {_SECONDS} s",
                f"see {_LOG} or `journalctl -u docker`",
            )
        time.sleep(0.3)
        if process is not None and process.poll() is not None:
            # Such as while the one before is still ending.
            process = _spawn()


def _spawn() -> subprocess.Popen[bytes]:
    """No init runs here (a container, a small virtual machine), so the engine gets a session of its
    own.
    """
    forget_dead(_PID_FILE)
    with _LOG.open("ab") as stream:
        return subprocess.Popen(
            ["dockerd", *pools()],
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
