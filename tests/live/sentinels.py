"""Data of every kind that a backup must bring back, and what is read of it to compare."""

import hashlib
import io
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import redis
from minio import Minio
from minio.commonconfig import Tags
from minio.versioningconfig import VersioningConfig

ROWS, OBJECTS, VERSIONS = 3000, 20, 3
_EXTRA = "kept-by-hand"


class Sentinels:
    """Writes and reads through a stack's outputs, as applications and administrators do."""

    def __init__(self, outputs: Mapping[str, Any]) -> None:
        self._environment: Mapping[str, str] = outputs["environment"]
        self._administration: Mapping[str, str] = outputs["administration"]
        self._credentials: Mapping[str, Mapping[str, str]] = outputs["credentials"]

    def write(self) -> None:
        """Data in every store."""
        self._write_postgres()
        self._write_redis()
        self._write_minio()
        self._silence("Sentinel")

    def more(self, size: int) -> None:
        """Another object of so many bytes."""
        body = random.Random(size).randbytes(size)  # noqa: S311 - what does not compress
        self._minio().put_object("documents", "more", io.BytesIO(body), size)

    def damage(self) -> None:
        """Changes, adds and deletes in every store."""
        with psycopg.connect(self._administration["DATABASE_OWNER_URL"]) as db:
            db.execute("TRUNCATE sentinel")
            db.execute("CREATE TABLE IF NOT EXISTS late (id int)")
        for variable in ("REDIS_CACHE_URL", "REDIS_QUEUE_URL"):
            with redis.from_url(self._environment[variable]) as client:
                client.delete("sentinel:string", "sentinel:list")
                client.set("late", "1")
        client = self._minio()
        for found in list(client.list_objects("documents", recursive=True)):
            client.remove_object("documents", str(found.object_name))
        client.put_object("documents", "late", io.BytesIO(b"late"), 4)

    def read(self) -> dict[str, Any]:
        """What must be equal, store by store."""
        return {
            "postgres": self._read_postgres(),
            "redis-cache": self._read_redis("REDIS_CACHE_URL"),
            "redis-queue": self._read_redis("REDIS_QUEUE_URL"),
            "minio": {name: self._read_minio(name) for name in ("documents", _EXTRA)},
            "alertmanager": self._silences(),
        }

    def rows(self) -> int:
        """Rows of the table, as one store's short form."""
        with psycopg.connect(self._administration["DATABASE_OWNER_URL"]) as db:
            row = db.execute("SELECT count(*) FROM sentinel").fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def superuser(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """A connection of Postgres' superuser."""
        at = urlsplit(self._administration["DATABASE_OWNER_URL"])
        with psycopg.connect(
            host=at.hostname,
            port=at.port,
            user="postgres",
            password=self._credentials["postgres"]["superuser"],
            dbname=database,
            autocommit=True,
        ) as connection:
            yield connection

    def _write_postgres(self) -> None:
        with self.superuser() as db:
            db.execute("CREATE ROLE auditor LOGIN PASSWORD 'of-a-person'")
            db.execute("CREATE DATABASE ledger_of_sales OWNER app_owner")
        with self.superuser("ledger_of_sales") as db:
            db.execute("CREATE TABLE sales AS SELECT i FROM generate_series(1, 50) i")
            db.execute("GRANT SELECT ON sales TO auditor")
        with psycopg.connect(self._administration["DATABASE_OWNER_URL"]) as db:
            db.execute("CREATE TABLE sentinel (id int PRIMARY KEY, body text, v vector(3))")
            db.execute(
                "INSERT INTO sentinel SELECT i, md5(i::text), ARRAY[sin(i), cos(i), i]::vector"
                " FROM generate_series(1, %s) i",
                [ROWS],
            )
            db.execute("CREATE INDEX sentinel_v ON sentinel USING hnsw (v vector_l2_ops)")
            db.execute("GRANT SELECT ON sentinel TO app")

    def _read_postgres(self) -> dict[str, Any]:
        with psycopg.connect(self._environment["DATABASE_URL"]) as db:
            content = db.execute(
                "SELECT count(*), md5(string_agg(s::text, ',' ORDER BY id)) FROM sentinel s"
            ).fetchone()
            plan = db.execute(
                "EXPLAIN SELECT id FROM sentinel ORDER BY v <-> '[1,1,1]' LIMIT 1"
            ).fetchall()
            search = db.execute("SHOW hnsw.ef_search").fetchone()
        with self.superuser() as db:
            late = db.execute("SELECT rolname FROM pg_roles WHERE rolname = 'auditor'").fetchone()
            owners = db.execute(
                "SELECT datname, datdba::regrole::text, datacl::text FROM pg_database"
                " WHERE datname <> 'postgres' ORDER BY 1"
            ).fetchall()
        at = urlsplit(self._environment["DATABASE_URL"])
        with psycopg.connect(
            host=at.hostname,
            port=at.port,
            user="auditor",
            password="of-a-person",
            dbname="ledger_of_sales",
        ) as db:
            sales = db.execute("SELECT count(*) FROM sales").fetchone()
        return {
            "content": content,
            "by its index": "sentinel_v" in str(plan),
            "setting of the role": search,
            "role": late,
            "databases": owners,
            "another database": sales,
        }

    def _write_redis(self) -> None:
        for variable in ("REDIS_CACHE_URL", "REDIS_QUEUE_URL"):
            with redis.from_url(self._environment[variable]) as client:
                client.set("sentinel:string", "text")
                client.set("sentinel:expiring", "text", ex=86400)
                client.rpush("sentinel:list", *range(100))
                client.hset("sentinel:hash", mapping={"a": "1", "b": "2"})
                client.zadd("sentinel:scores", {"a": 1.5, "b": 2.5})
                client.xadd("sentinel:stream", {"n": "1"})
                client.xadd("sentinel:stream", {"n": "2"})
                client.xgroup_create("sentinel:stream", "workers", id="0")
                client.xreadgroup("workers", "w1", {"sentinel:stream": ">"}, count=1)

    def _read_redis(self, variable: str) -> dict[str, Any]:
        with redis.from_url(self._environment[variable]) as client:
            return {
                "keys": sorted(client.scan_iter(match="sentinel:*")),
                "late": client.exists("late"),
                "string": client.get("sentinel:string"),
                "expires at": client.expiretime("sentinel:expiring"),
                "list": client.lrange("sentinel:list", 0, -1),
                "hash": client.hgetall("sentinel:hash"),
                "scores": client.zrange("sentinel:scores", 0, -1, withscores=True),
                "stream": client.xrange("sentinel:stream"),
                "pending": client.xpending("sentinel:stream", "workers")["pending"],
            }

    def _minio(self) -> Minio:
        return Minio(
            urlsplit(self._environment["S3_ENDPOINT"]).netloc,
            access_key="root",
            secret_key=self._credentials["minio"]["root"],
            secure=False,
        )

    def _write_minio(self) -> None:
        client, content = self._minio(), random.Random(7)  # noqa: S311 - what does not compress
        client.make_bucket(_EXTRA)
        client.set_bucket_versioning(_EXTRA, VersioningConfig("Enabled"))
        for bucket in ("documents", _EXTRA):
            for number in range(OBJECTS):
                for version in range(VERSIONS):
                    body = content.randbytes(1000 + number)
                    tags = Tags.new_object_tags()
                    tags["version"] = str(version)
                    client.put_object(
                        bucket,
                        f"folder/{number} ä?.bin",
                        io.BytesIO(body),
                        len(body),
                        content_type="application/x-sentinel",
                        metadata={"number": str(number)},
                        tags=tags,
                    )
            client.remove_object(bucket, "folder/3 ä?.bin")
        large = content.randbytes(12 << 20)
        client.put_object("documents", "large", io.BytesIO(large), len(large), part_size=16 << 20)

    def _read_minio(self, bucket: str) -> list[tuple[Any, ...]]:
        client, found = self._minio(), []
        for item in client.list_objects(bucket, recursive=True, include_version=True):
            key = str(item.object_name)
            about: tuple[Any, ...] = ()
            if not item.is_delete_marker:
                response = client.get_object(bucket, key, version_id=item.version_id)
                headers = {name.lower(): value for name, value in response.headers.items()}
                # Before anything else is asked: a forward into a cluster is one stream.
                content = hashlib.sha256(response.read()).hexdigest()
                response.close()
                response.release_conn()
                tags = client.get_object_tags(bucket, key, version_id=item.version_id)
                about = (
                    content,
                    headers["etag"],
                    headers["content-type"],
                    headers.get("x-amz-meta-number"),
                    sorted((tags or {}).items()),
                )
            found.append(
                (
                    key,
                    item.version_id,
                    item.is_latest,
                    item.is_delete_marker,
                    item.last_modified,
                    *about,
                )
            )
        return found

    def _alertmanager(self) -> httpx.Client:
        administration = self._administration
        return httpx.Client(
            base_url=f"{administration['ALERTMANAGER_URL']}/api/v2",
            auth=(administration["ALERTMANAGER_USER"], administration["ALERTMANAGER_PASSWORD"]),
        )

    def _silence(self, alert: str) -> None:
        now = datetime.now(UTC)
        with self._alertmanager() as client:
            client.post(
                "/silences",
                json={
                    "matchers": [{"name": "alertname", "value": alert, "isRegex": False}],
                    "startsAt": now.isoformat(),
                    "endsAt": (now + timedelta(days=2)).isoformat(),
                    "createdBy": "tests",
                    "comment": "sentinel",
                },
            ).raise_for_status()

    def _silences(self) -> list[tuple[Any, ...]]:
        with self._alertmanager() as client:
            found = client.get("/silences").json()
        return sorted(
            (str(item["matchers"]), item["endsAt"], item["comment"])
            for item in found
            if item["status"]["state"] != "expired"
        )
