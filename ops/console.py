"""Console output: steps with their duration, and errors without a stack trace."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 150)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Failed(Exception):
    """A command cannot continue: what happened, and what to do about it."""

    def __init__(self, what: str, fix: str = "") -> None:
        self.what, self.fix = what, fix
        super().__init__(what)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Prints what is being done and how long it took, with a reminder every 20 s."""
    began = time.monotonic()
    done = threading.Event()
    out.print(f"[bold]{title}[/bold] …", markup=True)

    def remind() -> None:
        while not done.wait(20):
            out.print(f"  … {title}: {time.monotonic() - began:.0f} s")

    thread = threading.Thread(target=remind, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    out.print(f"  {title}: done in {time.monotonic() - began:.1f} s")


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    fix: str = "",
) -> str:
    """Runs a command quietly and returns its output. Raises Failed with its last lines."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout)
    if done.returncode != 0:
        tail = "\n    ".join(done.stdout.strip().splitlines()[-12:])
        raise Failed(f"`{' '.join(map(str, command[:4]))} …` failed:\n    {tail}", fix)
    return done.stdout


def fail(error: Failed) -> None:
    """Prints an error and its fix, and ends with status 1."""
    err.print(f"\n[bold red]groundwork:[/bold red] {plain(error.what)}")
    if error.fix:
        err.print(f"  [bold]fix:[/bold] {plain(error.fix)}")
    sys.exit(1)


def plain(text: str) -> str:
    """Text from elsewhere, with brackets escaped so that they are not markup."""
    return text.replace("[", "\\[")
