"""Test runs that wait more than they compute, several at the same time."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ops import console
from ops.paths import ROOT

_REMIND_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Lane:
    """A command with a title, and variables of its own. `prepare` is begun at once, beside the
    other lanes, and has ended before the command starts; `clean` follows it in any case.
    """

    title: str
    command: Sequence[str]
    prepare: Callable[[], object] = lambda: None
    variables: Mapping[str, str] = field(default_factory=dict)
    clean: Callable[[], object] = lambda: None


def run(lanes: Sequence[Lane], *, at_once: int) -> None:
    """Runs all of them, in order, `at_once` at a time; prints what each printed when it has ended.

    Raises Failed, after all have ended, with the titles of those that failed.
    """
    failed: list[str] = []
    running: dict[str, float] = {}
    done = threading.Event()
    began = time.monotonic()

    def remind() -> None:
        while not done.wait(_REMIND_SECONDS):
            told = ", ".join(
                f"{title} ({time.monotonic() - since:.0f} s)" for title, since in running.items()
            )
            console.out.print(f"  … running: {told}", markup=False)

    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(len(lanes)) as preparing,
        ThreadPoolExecutor(at_once) as pool,
    ):
        shared = Path(folder) / "shared"
        shared.mkdir()
        reminder = threading.Thread(target=remind, daemon=True)
        reminder.start()
        prepared = [preparing.submit(lane.prepare) for lane in lanes]

        def one(number: int) -> None:
            lane = lanes[number]
            running[lane.title] = time.monotonic()
            try:
                prepared[number].result()
                log = Path(folder) / f"{number}.log"
                variables = {**lane.variables, **_variables(shared, number)}
                status = _call(lane.command, log, variables)
                seconds = time.monotonic() - running[lane.title]
                _show(lane.title, log, seconds)
            except console.Failed as error:
                console.out.print(f"{lane.title}: {error.what}", markup=False)
                status = 1
            finally:
                lane.clean()
                del running[lane.title]
            if status != 0:
                failed.append(lane.title)

        try:
            list(pool.map(one, range(len(lanes))))
        finally:
            done.set()
            reminder.join()
    console.out.print(f"together: {time.monotonic() - began:.0f} s")
    if failed:
        raise console.Failed(f"{', '.join(sorted(failed))} failed; see above")


def _variables(shared: Path, number: int) -> Mapping[str, str]:
    return {"GROUNDWORK_TEST_LANES": str(shared), "GROUNDWORK_TEST_LANE": str(number)}


def _call(command: Sequence[str], log: Path, variables: Mapping[str, str]) -> int:
    with log.open("w") as stream:
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode


def _show(title: str, log: Path, seconds: float) -> None:
    text = f"\n{title}\n{log.read_text(errors='replace')}{title}: {seconds:.0f} s\n"
    console.out.print(text, markup=False)
