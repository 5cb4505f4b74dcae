"""The interface of a store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import IO, Any, Protocol

Counts = dict[str, int]
"""Number of rows, objects or keys by the name of what holds them."""

Opener = Callable[[], AbstractContextManager[IO[bytes]]]
"""Opens a saved stream for reading."""


CHUNK = 1 << 20


class Readable(Protocol):
    """What can be read."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def blocks(stream: Readable) -> Iterator[bytes]:
    """The content of a stream, a CHUNK at a time."""
    while chunk := stream.read(CHUNK):
        yield chunk


class Store(Protocol):
    """One store, reached as its clients reach it."""

    def version(self) -> str:
        """The server's version."""

    def items(self) -> Sequence[str]:
        """The names of the streams that are saved of it."""

    def dump(self, item: str, out: IO[bytes]) -> dict[str, Any]:
        """Writes one stream; returns facts about it, among them `counts`."""

    def holds(self) -> Counts:
        """What it holds that a restore would replace; empty for a fresh store."""

    def restore(self, streams: Mapping[str, Opener], facts: Mapping[str, Any]) -> Counts:
        """Replaces what it holds by saved streams; returns what it holds then.

        Can be run again after an interruption. Raises Failed if what was restored is not what was
        saved.
        """
