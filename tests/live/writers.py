"""Applications that write to every store, and remember what was acknowledged.

Redis acknowledges a write before it is on disk, within the second of `appendfsync everysec`; a
client that must know asks with WAITAOF, and so does this one.
"""

import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
import urllib3
from minio import Minio
from minio.error import MinioException

from tests.live.clone import Clone
from tests.support.waiting import wait_until

STORES = ("postgres", "redis-queue", "minio")
_BATCH = 100  # writes to Redis that wait for one fsync together, which comes once a second
_FAILURES = (
    psycopg.Error,
    redis.RedisError,
    MinioException,
    urllib3.exceptions.HTTPError,
    OSError,
)


@dataclass(slots=True)
class Writer:
    """Writes numbers to one store until it is stopped; `acknowledged` are those that the store
    has confirmed, `batch` writes each.
    """

    store: str
    write: Callable[[int], None]
    stored: Callable[[], set[int]]
    batch: int = 1
    acknowledged: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        number = 0
        while not self.ended.is_set():
            number += 1
            with suppress(*_FAILURES):
                self.write(number)
                self.acknowledged.append(number)
                continue
            time.sleep(0.05)


def writers(outputs: dict[str, Any], kept: ExitStack) -> Iterator[Writer]:
    environment = outputs["environment"]
    owner = outputs["administration"]["DATABASE_OWNER_URL"]
    with psycopg.connect(owner, autocommit=True) as db:
        db.execute("CREATE TABLE chaos (id int PRIMARY KEY)")
    current: list[psycopg.Connection[Any]] = []

    def insert(number: int) -> None:
        if not current or current[-1].closed:
            current.append(psycopg.connect(owner, autocommit=True, connect_timeout=2))
            kept.callback(current[-1].close)
        current[-1].execute("INSERT INTO chaos VALUES (%s)", [number])

    def rows() -> set[int]:
        with psycopg.connect(owner) as db:
            return {number for (number,) in db.execute("SELECT id FROM chaos")}

    yield Writer("postgres", insert, rows)
    queue = kept.enter_context(redis.from_url(environment["REDIS_QUEUE_URL"], socket_timeout=3))

    def push(number: int) -> None:
        with queue.pipeline(transaction=False) as pipeline:
            pipeline.rpush("chaos", *[number] * _BATCH)
            pipeline.waitaof(1, 0, 2000)
            _, (local, _) = pipeline.execute()
        if local != 1:
            raise redis.RedisError("not on disk")

    def pushed() -> set[int]:
        found = Counter(map(int, queue.lrange("chaos", 0, -1)))
        return {number for number, count in found.items() if count >= _BATCH}

    yield Writer("redis-queue", push, pushed, _BATCH)
    client = Minio(
        urlsplit(environment["S3_ENDPOINT"]).netloc,
        access_key=environment["S3_ACCESS_KEY_ID"],
        secret_key=environment["S3_SECRET_ACCESS_KEY"],
        secure=False,
        http_client=urllib3.PoolManager(timeout=3, retries=False),
    )

    def put(number: int) -> None:
        body = str(number).encode()
        client.put_object("documents", f"chaos/{number}", io.BytesIO(body), len(body))

    def objects() -> set[int]:
        listed = client.list_objects("documents", prefix="chaos/", recursive=True)
        return {int(str(item.object_name).rpartition("/")[2]) for item in listed}

    yield Writer("minio", put, objects)


@contextmanager
def writing(clone: Clone, say: Callable[[str], None]) -> Iterator[dict[str, int]]:
    """Writes to every store meanwhile; then prints a table, and fails if an acknowledged write is
    not there. What is yielded counts the kills of each store.
    """
    kills = dict.fromkeys(STORES, 0)
    with ExitStack() as kept:
        running = list(writers(clone.outputs(), kept))
        threads = [threading.Thread(target=writer.run, daemon=True) for writer in running]
        for thread in threads:
            thread.start()
        try:
            yield kills
        finally:
            for writer in running:
                writer.ended.set()
            for thread in threads:
                thread.join(timeout=30)
        lost = {}
        say(f"{'store':<12} {'kills':>5} {'acknowledged':>12} {'lost':>5}")
        for writer in running:
            missing = sorted(set(writer.acknowledged) - writer.stored())
            lost[writer.store] = missing
            counts = [writer.batch * len(found) for found in (writer.acknowledged, missing)]
            say(f"{writer.store:<12} {kills[writer.store]:>5} {counts[0]:>12} {counts[1]:>5}")
        assert not any(lost.values()), lost
        assert min(len(writer.acknowledged) for writer in running) > max(kills.values())


def wait_ready(clone: Clone, names: tuple[str, ...]) -> None:
    for name in names:
        wait_until(partial(clone.ready, name), timeout=90, interval=0.2, reason=f"{name} is ready")
