"""Runs the health checks against a deployed stack."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops import console
from ops.paths import ROOT
from ops.stack import Stack

_ENVIRONMENT = "GROUNDWORK_OUTPUTS"


def prove(stack: Stack, outputs: Mapping[str, Any], *, deep: bool = True) -> None:
    """Runs `tests/health` for a stack. Raises Failed if a check fails.

    The deep checks (10,000 vectors) run after a change; what did not change keeps its proof.
    """
    arguments = ["-q", "--no-header", "-p", "no:cacheprovider", "tests/health"]
    if not deep:
        arguments += ["-m", "not deep"]
    console.out.print(f"[bold]proving `{stack.name}`[/bold] …" + ("" if deep else " (nothing changed: without the check over 10,000 vectors)"))
    if run(outputs, arguments) != 0:
        raise console.Failed(
            f"the stack `{stack.name}` is deployed and not healthy; the failed checks are above", "make logs S=<service> shows why; then `make health`"
        )


def run(outputs: Mapping[str, Any], arguments: list[str]) -> int:
    """pytest's exit status. The outputs hold secrets, so they travel in a private file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outputs.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(outputs))
        sys.stdout.flush()
        environment = {**os.environ, _ENVIRONMENT: str(path), "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment, check=False).returncode
