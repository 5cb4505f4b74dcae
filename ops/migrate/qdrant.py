"""Qdrant: a collection for each, under an alias that is set once it is whole.

Payloads are those of LangChain's store: `page_content` and `metadata`; `id` is ChromaDB's.
"""

import math
import ssl
import uuid
from collections.abc import Mapping, Sequence

from qdrant_client import QdrantClient, models

from ops.migrate.interface import Collection, Failed, Record

_MOVED = "chroma-"
_IDS = uuid.UUID("6f1d7b52-3b0e-4c7e-9d2f-6a4e0c1b9a55")
_DISTANCES = {
    "l2": models.Distance.EUCLID,
    "cosine": models.Distance.COSINE,
    "ip": models.Distance.DOT,
}
# Qdrant keeps vectors for cosine at length one, in single precision.
_TOLERANCE = 1e-5


class Qdrant:
    """A server, or a folder in the client's local mode; `authority` is the file of the one that
    signed its certificate, if that is none of the system's.
    """

    def __init__(self, place: str, api_key: str | None, authority: str = "") -> None:
        if place.startswith(("http://", "https://")):
            # The key is as private as the network that the URL names.
            self._client = QdrantClient(
                url=place,
                api_key=api_key,
                timeout=60,
                check_compatibility=False,
                verify=ssl.create_default_context(cafile=authority or None),
            )
        else:
            self._client = QdrantClient(path=place)

    def refuse(self, collection: Collection) -> None:
        """Distances that it does not know."""
        if collection.distance not in _DISTANCES:
            raise Failed(
                f"`{collection.name}` is searched by `{collection.distance}`, unknown to Qdrant",
                f"one of {', '.join(_DISTANCES)}",
            )

    def exists(self, name: str) -> bool:
        """True if there is a collection or an alias of this name."""
        return self._client.collection_exists(name)

    def begin(self, collection: Collection) -> None:
        """Makes the collection behind the alias."""
        if not self._client.collection_exists(_MOVED + collection.name):
            self._client.create_collection(
                _MOVED + collection.name,
                vectors_config=models.VectorParams(
                    size=collection.dimension or 1, distance=_DISTANCES[collection.distance]
                ),
            )

    def read(self, name: str, ids: Sequence[str], *, arrived: bool) -> Mapping[str, Record]:
        """The points of these ids."""
        found = self._client.retrieve(
            name if arrived else _MOVED + name,
            [_point(key) for key in ids],
            with_payload=True,
            with_vectors=True,
        )
        records = {}
        for point in found:
            payload, vector = point.payload or {}, point.vector
            if isinstance(vector, list) and "id" in payload:
                records[str(payload["id"])] = Record(
                    id=str(payload["id"]),
                    vector=tuple(float(value) for value in vector),  # type: ignore[arg-type]
                    document=payload.get("page_content"),
                    metadata=payload.get("metadata") or {},
                )
        return records

    def write(self, name: str, records: Sequence[Record]) -> None:
        """Returns once they are stored."""
        self._client.upsert(
            _MOVED + name,
            [
                models.PointStruct(
                    id=_point(item.id),
                    vector=list(item.vector),
                    payload={
                        "id": item.id,
                        "page_content": item.document,
                        "metadata": dict(item.metadata),
                    },
                )
                for item in records
            ],
            wait=True,
        )

    def count(self, name: str, *, arrived: bool) -> int:
        """The exact number of points."""
        return self._client.count(name if arrived else _MOVED + name, exact=True).count

    def finish(self, collection: Collection) -> None:
        """Sets the alias."""
        self._client.update_collection_aliases(
            [
                models.CreateAliasOperation(
                    create_alias=models.CreateAlias(
                        collection_name=_MOVED + collection.name, alias_name=collection.name
                    )
                )
            ]
        )

    def same_vector(self, before: Sequence[float], after: Sequence[float], distance: str) -> bool:
        """Equal, for cosine after both are brought to length one."""
        if distance == "cosine":
            before, after = _unit(before), _unit(after)
        return len(before) == len(after) and all(
            math.isclose(one, other, rel_tol=0, abs_tol=_TOLERANCE if distance == "cosine" else 0)
            for one, other in zip(before, after, strict=True)
        )

    def remove(self, name: str) -> None:
        """Deletes the collection, and with it its alias."""
        self._client.delete_collection(_MOVED + name)


def _point(key: str) -> str:
    return str(uuid.uuid5(_IDS, key))


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]
