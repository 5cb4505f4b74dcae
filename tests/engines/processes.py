"""Processes that outlive the one that started them, by files with their ids."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def alive(pid_file: Path, program: str) -> bool:
    """True if the process is there and is that program: ids are used again."""
    try:
        pid = int(pid_file.read_text())
        status = Path(f"/proc/{pid}/status").read_text()
    except (OSError, ValueError):
        return False
    return status.startswith(f"Name:\t{program}\n") and "\nState:\tZ" not in status


def end(pid_file: Path, program: str) -> None:
    """Ends a process and waits for it, at most ten seconds before and after SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 10
        if alive(pid_file, program):
            with suppress(OSError):
                os.kill(int(pid_file.read_text()), number)
        while alive(pid_file, program) and time.monotonic() < deadline:
            time.sleep(0.1)
