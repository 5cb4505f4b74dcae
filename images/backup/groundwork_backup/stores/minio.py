"""MinIO: every version of every object, with metadata, tags and what a bucket itself has."""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from itertools import groupby
from typing import IO, Any
from urllib.parse import quote

import httpx
import urllib3
from minio import Minio as Client
from minio.datatypes import Object
from minio.error import S3Error

from groundwork_backup.config import Source
from groundwork_backup.failure import Failed
from groundwork_backup.stores.interface import Counts, Opener, blocks
from groundwork_backup.stores.s3 import REGION, S3, Request

_ITEM = "objects.tar"
_FORMAT = "GROUNDWORK.object"
_NULL = "null"
# Headers that come back with an object and are given again with it.
_KEPT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)


class Minio:
    """A server, as a user with every right on its buckets."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._client = Client(
            f"{source.host}:{source.port}",
            access_key=source.username,
            secret_key=source.password,
            secure=bool(source.authority),
            region=REGION,
            http_client=_pool(source.authority) if source.authority else None,
        )
        self._s3 = S3(source)

    def version(self) -> str:
        """The Server header; MinIO tells its release to administrators only."""
        url = f"{self._source.url}/minio/health/live"
        return str(httpx.get(url, timeout=10, verify=self._source.trusted).headers["server"])

    def items(self) -> Sequence[str]:
        """All buckets in one stream."""
        return [_ITEM]

    def dump(self, item: str, out: IO[bytes]) -> dict[str, Any]:
        """A tar: each bucket's settings, then its versions, oldest first under each key."""
        counts: Counts = {}
        digest = hashlib.sha256()
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for bucket in sorted(found.name for found in self._client.list_buckets()):
                _add(
                    archive,
                    f"{bucket}/settings.json",
                    json.dumps(self._s3.documents(bucket)).encode(),
                )
                counts[bucket] = 0
                for version in self._versions(bucket):
                    if self._add(archive, bucket, version, digest):
                        counts[bucket] += 1
        return {"counts": counts, "digest": digest.hexdigest()}

    def holds(self) -> Counts:
        """Versions in each bucket that has any."""
        return {name: count for name, count in self._count().items() if count}

    def restore(self, streams: Mapping[str, Opener], facts: Mapping[str, Any]) -> Counts:
        """Gives every version its id and time again, then deletes what was not saved."""
        digest = hashlib.sha256()
        saved: dict[str, set[tuple[str, str]]] = {}
        present: set[tuple[str, str]] = set()
        with (
            streams[_ITEM]() as stream,
            tarfile.open(fileobj=stream, mode="r|", format=tarfile.PAX_FORMAT) as archive,
        ):
            for member in archive:
                bucket = member.name.partition("/")[0]
                content = archive.extractfile(member) or BytesIO()
                if _FORMAT not in member.pax_headers:
                    self._make(bucket, json.load(content))
                    saved[bucket], present = set(), self._present(bucket)
                    continue
                about = json.loads(member.pax_headers[_FORMAT])
                version = (about["key"], about["version"])
                hashed = _Hashed(content, digest)
                # A version never changes: what is there already need not be given again.
                if version not in present:
                    self._put(bucket, about, member.size, hashed)
                for _ in blocks(hashed):
                    continue
                digest.update("\0".join((bucket, *version, "")).encode())
                saved[bucket].add(version)
        if digest.hexdigest() != facts[_ITEM]["digest"]:
            raise Failed(
                "minio: what was read from the repository is not what was saved; nothing was"
                " deleted",
                "run `make backup-check`, then restore an earlier backup",
            )
        for bucket, versions in saved.items():
            self._delete_others(bucket, versions)
        return {name: count for name, count in self._count().items() if name in saved}

    def _versions(self, bucket: str) -> Iterator[Object]:
        listed = self._client.list_objects(bucket, recursive=True, include_version=True)
        for _, group in groupby(listed, key=lambda found: found.object_name):
            yield from reversed(list(group))

    def _add(self, archive: tarfile.TarFile, bucket: str, found: Object, digest: Any) -> bool:
        """Adds one version; False if it was deleted meanwhile."""
        key, version = str(found.object_name), found.version_id or _NULL
        about: dict[str, Any] = {
            "key": key,
            "version": version,
            "modified": _time(found.last_modified),
        }
        if found.is_delete_marker:
            _add(archive, f"{bucket}/marker", b"", {_FORMAT: json.dumps({**about, "marker": True})})
            digest.update("\0".join((bucket, key, version, "")).encode())
            return True
        try:
            response = self._client.get_object(bucket, key, version_id=found.version_id)
        except S3Error as error:
            if error.code in ("NoSuchKey", "NoSuchVersion"):
                return False
            raise
        # As it is stored: what a client has compressed is not to be unpacked here.
        response.decode_content = False
        try:
            headers = {name.lower(): value for name, value in response.headers.items()}
            about["etag"] = headers["etag"].strip('"')
            about["headers"] = {
                name: value
                for name, value in headers.items()
                if name in _KEPT_HEADERS or name.startswith("x-amz-meta-")
            }
            if headers.get("x-amz-tagging-count", "0") != "0":
                tags = self._client.get_object_tags(bucket, key, version_id=found.version_id)
                about["tags"] = dict(tags or {})
            header = tarfile.TarInfo(f"{bucket}/object")
            header.size = int(headers["content-length"])
            header.pax_headers = {_FORMAT: json.dumps(about)}
            archive.addfile(header, _Hashed(response, digest))
        finally:
            response.close()
            response.release_conn()
        digest.update("\0".join((bucket, key, version, "")).encode())
        return True

    def _present(self, bucket: str) -> set[tuple[str, str]]:
        """Every version but those without an id, whose content may be another."""
        return {
            (str(found.object_name), found.version_id)
            for found in self._versions(bucket)
            if found.version_id not in (None, _NULL)
        }

    def _put(self, bucket: str, about: Mapping[str, Any], size: int, content: "_Hashed") -> None:
        headers = {
            "x-minio-source-mtime": about["modified"],
            "x-minio-source-replication-request": "true",
        }
        request = partial(
            Request,
            bucket=bucket,
            key=about["key"],
            query={} if about["version"] == _NULL else {"versionId": about["version"]},
        )
        if about.get("marker"):
            headers["x-minio-source-deletemarker"] = "true"
            self._s3.call(request(method="DELETE", headers=headers))
            return
        headers |= {"x-minio-source-etag": about["etag"], **about["headers"]}
        if tags := about.get("tags"):
            headers["x-amz-tagging"] = "&".join(
                f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in tags.items()
            )
        self._s3.call(request(method="PUT", headers=headers, content=blocks(content), size=size))

    def _make(self, bucket: str, settings: Mapping[str, str]) -> None:
        if not self._client.bucket_exists(bucket):
            self._client.make_bucket(bucket)
            for name, document in settings.items():
                self._s3.give(bucket, name, document)

    def _delete_others(self, bucket: str, saved: set[tuple[str, str]]) -> None:
        for found in list(self._versions(bucket)):
            version = found.version_id or _NULL
            key = str(found.object_name)
            if (key, version) not in saved:
                self._client.remove_object(bucket, key, version_id=version)

    def _count(self) -> Counts:
        return {
            found.name: sum(1 for _ in self._versions(found.name))
            for found in self._client.list_buckets()
        }


class _Hashed:
    """A stream that hashes what is read of it."""

    def __init__(self, stream: Any, digest: Any) -> None:
        self._stream, self._digest = stream, digest

    def read(self, size: int = -1) -> bytes:
        chunk: bytes = self._stream.read(size)
        self._digest.update(chunk)
        return chunk


def _pool(authority: str) -> urllib3.PoolManager:
    """The library's own pool, but for the authority that it trusts."""
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=300, read=300),
        maxsize=10,
        cert_reqs="CERT_REQUIRED",
        ca_certs=authority,
        retries=urllib3.Retry(total=5, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
    )


def _add(
    archive: tarfile.TarFile, name: str, content: bytes, headers: Mapping[str, str] | None = None
) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.pax_headers = dict(headers or {})
    archive.addfile(member, BytesIO(content))


def _time(moment: datetime | None) -> str:
    """RFC 3339, as MinIO reads it."""
    return f"{(moment or datetime.now(UTC)).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
