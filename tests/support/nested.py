"""Runs of pytest inside a test."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def run(*arguments: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """pytest's output and status, both streams in one."""
    options = ("-q", "-p", "no:cacheprovider", "--tb=short")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=cwd,
        env=env,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
