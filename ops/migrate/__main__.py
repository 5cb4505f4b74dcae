"""Moves collections: reads the job as JSON from standard input, and writes what happens as JSON,
one object a line.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ops.migrate.interface import Collection, Failed, Record, Source, Target


def main() -> int:
    """Exit status 0 if every collection has arrived."""
    from ops.migrate import chroma

    job: dict[str, Any] = json.load(sys.stdin)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            if job["undo"]:
                target = _target(job)
                for name in job["undo"]:
                    target.remove(name)
                    _say(removed=name)
                return 0
            source = chroma.open_source(job["source"], Path(scratch))
            chosen = list(_chosen(source, job["only"]))
            if job["dry"]:
                for item in chosen:
                    _say(found={"name": item.name, "count": item.count, "length": item.dimension})
                return 0
            target = _target(job)
            for item in chosen:
                target.refuse(item)
            for item in chosen:
                if item.dimension is None:
                    # The length of its vectors is not known before the first one.
                    _say(left=item.name)
                else:
                    _move(source, target, item)
    except Failed as failed:
        _say(failed=failed.what, fix=failed.fix)
        return 1
    return 0


def _chosen(source: Source, only: Sequence[str]) -> Iterator[Collection]:
    found = source.collections()
    names = [item.name for item in found]
    for name in only:
        if name not in names:
            raise Failed(
                f"there is no collection `{name}`", f"one of {', '.join(names) or 'none at all'}"
            )
    for item in found:
        if not only or item.name in only:
            yield item


def _target(job: dict[str, Any]) -> Target:
    if job["target"] == "pgvector":
        from ops.migrate.pgvector import Pgvector

        return Pgvector(job["url"], job.get("authority", ""))
    from ops.migrate.qdrant import Qdrant

    return Qdrant(job["url"], job.get("key"), job.get("authority", ""))


def _move(source: Source, target: Target, collection: Collection) -> None:
    """Writes what is missing, verifies all of it, and only then gives it its name."""
    began = time.monotonic()
    name = collection.name
    if target.exists(name):
        _verify(source, target, collection, arrived=True)
        _say(moved={"name": name, "count": collection.count, "written": 0, "seconds": 0.0})
        return
    target.begin(collection)
    written = done = 0
    for batch in source.batches(name):
        there = target.read(name, [item.id for item in batch], arrived=False)
        missing = [item for item in batch if item.id not in there]
        if missing:
            target.write(name, missing)
        written += len(missing)
        done += len(batch)
        _say(progress={"name": name, "done": done, "of": collection.count})
    _verify(source, target, collection, arrived=False)
    target.finish(collection)
    _say(
        moved={
            "name": name,
            "count": collection.count,
            "written": written,
            "seconds": time.monotonic() - began,
        }
    )


def _verify(source: Source, target: Target, collection: Collection, *, arrived: bool) -> None:
    """Raises Failed unless the target holds exactly the source's records."""
    name = collection.name
    held = target.count(name, arrived=arrived)
    fix = (
        "it is another one, or has changed since: rename or remove it, then run the command again"
        if arrived
        else "the source may have changed meanwhile: stop its application, then run it again"
    )
    if held != collection.count:
        raise Failed(f"`{name}`: {held} records instead of {collection.count}", fix)
    for batch in source.batches(name):
        there = target.read(name, [item.id for item in batch], arrived=arrived)
        for item in batch:
            if not _same(target, item, there.get(item.id), collection.distance):
                raise Failed(f"`{name}`: the record `{item.id}` differs", fix)


def _same(target: Target, before: Record, after: Record | None, distance: str) -> bool:
    return (
        after is not None
        and before.document == after.document
        and before.metadata == after.metadata
        and target.same_vector(before.vector, after.vector, distance)
    )


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.exit(main())
