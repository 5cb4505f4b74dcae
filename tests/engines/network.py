"""A network namespace for an engine: its ports and packet filter are its own, and its containers
reach package registries through a process of this machine.
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from ops import console
from tests.engines import processes

_PROGRAM = "slirp4netns"
_SECONDS = 20


def inside(namespace: str, command: Sequence[str]) -> list[str]:
    """A command in the network, with all else as it is outside."""
    return ["nsenter", f"--net=/run/netns/{namespace}", "--", *command]


def ensure(namespace: str, folder: Path) -> None:
    """Makes the network, if it is not there, and its way out, if that has been killed. Raises
    Failed if it gets none.
    """
    pid_file = folder / f"{_PROGRAM}.pid"
    if processes.alive(pid_file, _PROGRAM):
        return
    if not Path(f"/run/netns/{namespace}").exists():
        console.run(["ip", "netns", "add", namespace])
    console.run(inside(namespace, ["ip", "link", "set", "lo", "up"]))
    log = folder / f"{_PROGRAM}.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [
                _PROGRAM,
                "--configure",
                "--mtu=1400",
                "--disable-host-loopback",
                "--netns-type=path",
                f"/run/netns/{namespace}",
                "tap0",
            ],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    pid_file.write_text(str(process.pid))
    deadline = time.monotonic() + _SECONDS
    while "default" not in console.run(inside(namespace, ["ip", "route"])):
        if process.poll() is not None or time.monotonic() > deadline:
            raise console.Failed(f"the tests' network did not start: {log.read_text()[-500:]}")
        time.sleep(0.1)


def remove(namespace: str, folder: Path) -> None:
    """Removes the network."""
    processes.end(folder / f"{_PROGRAM}.pid", _PROGRAM)
    subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)
