"""Paths: the tree, its git-ignored state, and what is outside it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".groundwork"
VENV_BIN = ROOT / ".venv" / "bin"


def data() -> Path:
    """What is private to one user and must outlive the tree. GROUNDWORK_DATA moves it."""
    named = os.environ.get("GROUNDWORK_DATA")
    if named:
        return Path(named)
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "groundwork"


def cache() -> Path:
    """Built tools and base images, shared by all clones of one user. GROUNDWORK_CACHE moves it."""
    named = os.environ.get("GROUNDWORK_CACHE")
    base = (
        Path(named)
        if named
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "groundwork"
    )
    base.mkdir(parents=True, exist_ok=True)
    return base
