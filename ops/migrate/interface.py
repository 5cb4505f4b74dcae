"""What a source gives and a target takes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

BATCH = 100
"""Records that are read, written and compared at a time."""


class Failed(Exception):
    """The migration cannot continue: what happened, and what to do about it."""

    def __init__(self, what: str, fix: str) -> None:
        self.what, self.fix = what, fix
        super().__init__(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One entry: its vector (single precision), document and metadata."""

    id: str
    vector: tuple[float, ...]
    document: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection of the source: its number of records, the length of its vectors (None if it is
    empty), and the distance by which it is searched: `l2`, `cosine` or `ip`.
    """

    name: str
    count: int
    dimension: int | None
    distance: str


class Source(Protocol):
    """Where vectors come from."""

    def collections(self) -> Sequence[Collection]:
        """All of them, by name."""

    def batches(self, name: str) -> Iterator[Sequence[Record]]:
        """A collection's records, at most BATCH at a time, always in the same order."""


class Target(Protocol):
    """Where vectors go. What is written to a collection appears under its name all at once."""

    def refuse(self, collection: Collection) -> None:
        """Raises Failed if it cannot take a collection."""

    def exists(self, name: str) -> bool:
        """True if there is a collection of this name."""

    def begin(self, collection: Collection) -> None:
        """Makes the place where a collection is written, unless an earlier run has made it."""

    def read(self, name: str, ids: Sequence[str], *, arrived: bool) -> Mapping[str, Record]:
        """The records with these ids that a collection holds: the one that has `arrived`, or the
        one that is being written.
        """

    def write(self, name: str, records: Sequence[Record]) -> None:
        """Adds records to the one that is being written."""

    def count(self, name: str, *, arrived: bool) -> int:
        """The number of records."""

    def finish(self, collection: Collection) -> None:
        """Indexes what was written, and gives it the collection's name, at once."""

    def same_vector(self, before: Sequence[float], after: Sequence[float], distance: str) -> bool:
        """True if a vector is what this target keeps of another."""

    def remove(self, name: str) -> None:
        """Removes a collection that has arrived, if it is there."""
