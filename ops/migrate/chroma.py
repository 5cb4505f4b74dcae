"""A ChromaDB database: a folder, of which a copy is opened, or a server."""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import numpy as np
from chromadb.config import Settings

from ops.migrate.interface import BATCH, Collection, Failed, Record

_DATABASE = "chroma.sqlite3"


class Chroma:
    """The collections of one database of the default tenant."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def collections(self) -> Sequence[Collection]:
        """All of them, by name."""
        found = sorted(self._client.list_collections(), key=lambda item: str(item.name))
        return [self._described(item) for item in found]

    def batches(self, name: str) -> Iterator[Sequence[Record]]:
        """A collection's records, in the order of their insertion."""
        collection = self._client.get_collection(name, embedding_function=None)
        for offset in range(0, collection.count(), BATCH):
            yield list(_records(collection, offset))

    def _described(self, collection: Any) -> Collection:
        first = next(iter(_records(collection, 0, 1)), None)
        return Collection(
            name=str(collection.name),
            count=int(collection.count()),
            dimension=len(first.vector) if first else None,
            distance=_distance(collection),
        )


def open_source(place: str, scratch: Path) -> Chroma:
    """The database in a folder or at a URL. A folder is copied to `scratch` first, because opening
    it may bring its files to a newer format. Raises Failed if there is none.
    """
    settings = Settings(anonymized_telemetry=False)
    if place.startswith(("http://", "https://")):
        url = urlsplit(place)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            return Chroma(
                chromadb.HttpClient(
                    host=url.hostname or "", port=port, ssl=url.scheme == "https", settings=settings
                )
            )
        except ValueError as error:
            raise Failed(f"no ChromaDB answers at {place}: {error}", "start it") from None
    folder = Path(place)
    if not (folder / _DATABASE).is_file():
        raise Failed(
            f"{place} holds no {_DATABASE}",
            "name the folder that your application gives to ChromaDB, or a server's URL",
        )
    needed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if needed > shutil.disk_usage(scratch).free:
        raise Failed(
            f"the copy of {place} needs {needed >> 20} MiB, more than {scratch} has",
            "free up space, or set TMPDIR to a larger disk",
        )
    copy = scratch / "chroma"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(f"{_DATABASE}*"))
    # What a writer has not finished is not in it.
    with (
        closing(sqlite3.connect(f"file:{folder / _DATABASE}?mode=ro", uri=True)) as before,
        closing(sqlite3.connect(copy / _DATABASE)) as after,
    ):
        before.backup(after)
    return Chroma(chromadb.PersistentClient(str(copy), settings=settings))


def _distance(collection: Any) -> str:
    """By its configuration, or by the metadata of versions before 1.0."""
    configured = dict(collection.configuration or {}).get("hnsw") or {}
    named = configured.get("space") or (collection.metadata or {}).get("hnsw:space")
    return str(named or "l2")


def _records(collection: Any, offset: int, limit: int = BATCH) -> Iterator[Record]:
    found = collection.get(
        limit=limit, offset=offset, include=["embeddings", "documents", "metadatas"]
    )
    rows = zip(
        found["ids"], found["embeddings"], found["documents"], found["metadatas"], strict=True
    )
    for key, vector, document, metadata in rows:
        yield Record(
            id=str(key),
            vector=tuple(map(float, np.asarray(vector, dtype=np.float32))),
            document=document,
            metadata=dict(metadata or {}),
        )
