"""What runs have saved, as their manifests and tags in the repository say."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from groundwork_backup.restic import Restic

MANIFEST, COMPLETE = "manifest", "complete"
"""Tags of a manifest, and of one that has every store."""
FILE = "/manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A saved stream: bytes, bytes added to the repository, seconds, and facts of its store."""

    item: str
    size: int
    added: int
    seconds: float
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A store in a run. `error` says why it could not be saved."""

    store: str
    kind: str
    version: str = ""
    streams: tuple[Stream, ...] = ()
    error: str = ""

    @property
    def size(self) -> int:
        """Bytes of its streams."""
        return sum(stream.size for stream in self.streams)

    @property
    def count(self) -> int:
        """Rows, objects or keys."""
        return sum(sum(stream.facts.get("counts", {}).values()) for stream in self.streams)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a run saved. Times are UTC; `sequence` grows whatever the clock does."""

    run: str
    sequence: int
    stack: str
    started: str
    finished: str
    stores: tuple[Saved, ...] = field(default=())

    @property
    def failed(self) -> list[str]:
        """The stores that could not be saved."""
        return [item.store for item in self.stores if item.error]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A run in the list: the stores that it saved, those that failed, and whether it was asked
    for some stores only.
    """

    run: str
    sequence: int
    started: datetime
    size: int
    entries: int
    stores: tuple[str, ...]
    failed: tuple[str, ...]
    partial: bool
    snapshot: str


def listed(restic: Restic, stack: str) -> list[Entry]:
    """The finished runs, in their order."""
    found = []
    for snapshot in restic.snapshots(of=stack, tag=MANIFEST):
        tags = tags_of(snapshot)
        found.append(
            Entry(
                run=tags["run"][0],
                sequence=int(tags["sequence"][0]),
                started=datetime.fromisoformat(tags["started"][0]),
                size=int(tags["size"][0]),
                entries=int(tags["entries"][0]),
                stores=tuple(tags.get("saved", ())),
                failed=tuple(tags.get("failed", ())),
                partial="partial" in tags,
                snapshot=snapshot["id"],
            )
        )
    return sorted(found, key=lambda entry: entry.sequence)


def last_sequence(snapshots: Iterable[Mapping[str, Any]]) -> int:
    """The highest number of a run among snapshots; 0 if there is none."""
    numbers = (tags_of(item).get("sequence", ["0"])[0] for item in snapshots)
    return max(map(int, numbers), default=0)


def read(restic: Restic, entry: Entry) -> Manifest:
    """The manifest of a run."""
    with restic.reading(entry.snapshot, FILE) as stream:
        raw = json.load(stream)
    stores = tuple(
        Saved(**{**item, "streams": tuple(Stream(**stream) for stream in item["streams"])})
        for item in raw["stores"]
    )
    return Manifest(**{**raw, "stores": stores})


def snapshots_of(restic: Restic, stack: str, run: str) -> dict[str, str]:
    """The snapshots of a run by the path of their stream. A copy in another repository has ids of
    its own.
    """
    found = restic.snapshots(of=stack, tag=f"run={run}")
    return {item["paths"][0]: item["id"] for item in found}


def stream_name(store: str, item: str) -> str:
    """A stream's path in its snapshot."""
    return f"/{store}.{item}"


def tags_of(snapshot: Mapping[str, Any]) -> dict[str, list[str]]:
    """The tags of a snapshot: name to values."""
    found: dict[str, list[str]] = {}
    for tag in snapshot.get("tags") or ():
        name, _, value = tag.partition("=")
        found.setdefault(name, []).append(value)
    return found
