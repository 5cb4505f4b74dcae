"""Runs the health checks against a deployed stack."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.services import postgres
from ops import console
from ops.paths import ROOT, STATE
from ops.sites.interface import Site
from ops.stacks import private
from ops.stacks.stack import Stack
from ops.stacks.state import read_record

_ENVIRONMENT = "GROUNDWORK_OUTPUTS"


def verify(stack: Stack, place: Site, outputs: Mapping[str, Any], *, deep: bool = True) -> None:
    """Runs `tests/health` for a stack. Raises Failed if a check fails.

    The deep check (10,000 vectors) runs only after a change of Postgres.
    """
    arguments = ["-q", "--no-header", "-p", "no:cacheprovider", "tests/health"]
    if not deep:
        arguments += ["-m", "not deep"]
    console.out.print(
        f"[bold]verifying `{stack.name}`[/bold] …"
        + ("" if deep else " (Postgres is as it was: skipping the check of 10,000 vectors)")
    )
    record = _record(stack)
    if run(outputs, arguments) != 0:
        record.unlink(missing_ok=True)
        raise console.Failed(
            f"the stack `{stack.name}` is deployed but not healthy; the failed checks are above",
            "make logs S=<service> shows why; then `make health`",
        )
    if deep:
        private.write(record, json.dumps(_deep(place, outputs)))


def verified(stack: Stack, place: Site, outputs: Mapping[str, Any]) -> bool:
    """True if the Postgres that runs has passed the deep check, or there is none."""
    return read_record(_record(stack)) == _deep(place, outputs)


def _deep(place: Site, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What the deep check depends on."""
    entry = outputs["services"].get(postgres.NAME)
    if entry is None:
        return {}
    return {"identity": place.identities(outputs)[postgres.NAME], "checks": entry["checks"]}


def _record(stack: Stack) -> Path:
    return STATE / f"{stack.name}.proven.json"


def run(outputs: Mapping[str, Any], arguments: list[str]) -> int:
    """pytest's exit status. The outputs hold secrets, so they travel in a private file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outputs.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(outputs))
        sys.stdout.flush()
        environment = {**os.environ, _ENVIRONMENT: str(path), "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment, check=False
        ).returncode
