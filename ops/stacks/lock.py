"""One lock for everything that changes a stack, taken before anything else and released by the
kernel when its holder ends.

It belongs to the host: two clones that deploy one stack to one engine also wait for each other.
"""

import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ops import console
from ops.paths import ROOT, cache
from ops.stacks.state import read_record

_WAIT_SECONDS = 600
_REMIND_SECONDS = 30


@contextmanager
def held(stack: str, instance: str | None, command: str) -> Iterator[None]:
    """Locks a stack for a command, after waiting for its current holder. Raises Failed if that
    takes too long.

    The instance is unknown before a stack's first `up`; no other command can know it then either.
    """
    tree = hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
    names = [f"tree-{tree}-{stack}", *([f"stack-{stack}-{instance}"] if instance else [])]
    with ExitStack() as opened:
        for name in names:
            opened.enter_context(_locked(cache() / "locks" / f"{name}.lock", stack, command))
        yield


@contextmanager
def _locked(path: Path, stack: str, command: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        _wait(stream.fileno(), path, stack)
        record = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "boot": boot_id(),
            "command": command,
            "since": time.time(),
        }
        stream.seek(0)
        stream.truncate()
        stream.write(json.dumps(record))
        stream.flush()
        # The record stays: it tells the next holder on which machine the last one ran. Only the
        # lock goes.
        yield


def _wait(descriptor: int, path: Path, stack: str) -> None:
    began = time.monotonic()
    told = 0.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
            if waited > _WAIT_SECONDS:
                raise console.Failed(
                    f"{_holder(path, stack)}; waited for {waited:.0f} s",
                    "wait for it to end, or stop it",
                ) from None
            if not told or waited - told > _REMIND_SECONDS:
                told = max(waited, 1e-9)
                console.out.print(f"waiting: {_holder(path, stack)}")
            time.sleep(0.5)
        else:
            return


def _holder(path: Path, stack: str) -> str:
    record = read_record(path)
    if not record:
        return f"another command is working on the stack `{stack}`"
    seconds = time.time() - float(record["since"])
    return (
        f"`{record['command']}` (process {record['pid']}) has held the stack `{stack}` for"
        f" {seconds:.0f} s"
    )


def was_here(host: str) -> bool:
    """True if this machine has had a host name since it was started: a lock under that name is this
    machine's.
    """
    records = (read_record(path) for path in (cache() / "locks").glob("*.lock"))
    return any(record.get("host") == host and record.get("boot") == boot_id() for record in records)


def boot_id() -> str:
    """An identifier of this machine since its last boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def started_at() -> float:
    """When this machine was started, in seconds since the epoch; 0 if unknown."""
    try:
        return time.time() - float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
