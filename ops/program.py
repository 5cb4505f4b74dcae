"""Programs of this project that run elsewhere, and say as JSON what happens, one object a line."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ops import console
from ops.paths import ROOT


def ask(
    command: Sequence[str],
    *,
    what: str,
    fix: str,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """What a program answers, after printing what it `says`. Raises Failed as it has `failed`, or
    with its last words about `what`, and the `fix`, if it just ended.
    """
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        if process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        failed: console.Failed | None = None
        for line in process.stdout or ():
            try:
                message: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            if says := message.get("says"):
                console.out.print(f"  {says}", markup=False)
            elif "failed" in message:
                failed = console.Failed(message["failed"], message["fix"])
            else:
                yield message
        process.wait()
        errors.seek(0)
        told = errors.read()
    if failed is not None:
        raise failed
    if process.returncode != 0:
        last = "\n    ".join(told.strip().splitlines()[-5:]) or f"status {process.returncode}"
        raise console.Failed(f"{what}: {last}", fix)
