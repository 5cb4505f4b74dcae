"""The stack itself: its settings and state, as the last deploy left them here. Secrets in both
are encrypted with the stack's passphrase.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from groundwork_backup.config import Source
from groundwork_backup.stores.interface import Counts, Opener

_ITEM = "stack.json"


class Stack:
    """What `keep-stack` was given."""

    def __init__(self, source: Source, folder: Path) -> None:
        self._file = kept(folder)

    def version(self) -> str:
        """The version of the format."""
        return "1"

    def items(self) -> Sequence[str]:
        """One stream, once a deploy has left it."""
        return [_ITEM] if self._file.exists() else []

    def dump(self, item: str, out: IO[bytes]) -> dict[str, Any]:
        """As it is."""
        text = self._file.read_bytes()
        out.write(text)
        return {"counts": {"files": len(json.loads(text)["files"])}}

    def holds(self) -> Counts:
        """Nothing that a restore would replace."""
        return {}

    def restore(self, streams: Mapping[str, Opener], facts: Mapping[str, Any]) -> Counts:
        """Nothing: settings and state are what a deploy goes by, and are restored from the kit."""
        return dict(facts[_ITEM]["counts"]) if streams else {}


def kept(folder: Path) -> Path:
    """Where the stack's files are kept for the next backup."""
    return folder / "state" / "stack.json"
