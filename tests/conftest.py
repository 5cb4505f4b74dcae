"""Keeps the outcome of every check, so that `make test` can name those that were never executed."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Appends one line an outcome to the file that GROUNDWORK_OUTCOMES names; nested runs do so
    too.
    """
    path = os.environ.get("GROUNDWORK_OUTCOMES")
    if path is None or not (report.when == "call" or report.skipped):
        return
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    with Path(path).open("a") as stream:
        stream.write(
            json.dumps({"check": report.nodeid, "outcome": report.outcome, "reason": reason}) + "\n"
        )


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a line past pytest's capture: figures are for people to see."""
    manager = request.config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with manager.global_and_fixture_disabled():
            print(f"\n    {text}", flush=True)

    return tell
