"""The commands of make, and the report of what was never executed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ops import console
from ops.development import testing
from ops.paths import ROOT


def test_what_was_never_executed_is_named_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that was skipped in one run and executed in another was executed."""
    from rich.console import Console

    monkeypatch.setattr(console, "out", Console(width=120, highlight=False))
    records = [
        {"check": "a", "outcome": "skipped", "reason": "Skipped: not deployed"},
        {"check": "b", "outcome": "skipped", "reason": "Skipped: not deployed"},
        {"check": "b", "outcome": "passed", "reason": ""},
    ]
    path = tmp_path / "outcomes"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    testing._never_executed(path)
    text = capsys.readouterr().out
    assert "Never executed here: 1 checks (of 2)" in text
    assert "1: not deployed" in text
    assert "      a\n" in text


@pytest.mark.parametrize("language", ["C", "POSIX"])
def test_a_command_speaks_in_any_locale(language: str, tmp_path: Path) -> None:
    """Without UTF-8, Python could print neither a table nor an ellipsis."""
    done = subprocess.run(
        [sys.executable, "-m", "ops", "preview"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "STACK": "gr\u00fcn",
            "LC_ALL": language,
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
        },
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert "gr\u00fcn" in done.stderr.decode()


PROMISED = {"up", "preview", "health", "env", "logs", "down", "purge", "test", "bench"}
# What others depend on is no command.
TARGETS = set(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[0].split()) - {
    "venv"
}


def test_the_promised_targets_are_there() -> None:
    assert TARGETS >= PROMISED


@pytest.fixture(scope="module")
def shown() -> str:
    """What `make help` prints."""
    return subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_make_help_names_every_target(target: str, shown: str) -> None:
    assert re.search(rf"^  make {target} +\S", shown, re.M), shown
