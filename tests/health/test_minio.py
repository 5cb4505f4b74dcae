"""MinIO: objects come back unchanged, versions are kept, and the application's key opens only its
buckets.
"""

import hashlib
import io
import os
import uuid

import pytest
import urllib3
from minio import Minio
from minio.error import S3Error

from tests.health.conftest import Deployed
from tests.support import http

pytestmark = pytest.mark.kind("s3")


def _client(service: Deployed, user: str) -> Minio:
    host, port = service.endpoint("s3")
    timeout = urllib3.Timeout(connect=3, read=10)
    pool = urllib3.PoolManager(timeout=timeout, retries=False, ca_certs=service.authority)
    return Minio(
        f"{host}:{port}",
        access_key=user,
        secret_key=service.credentials[user],
        secure=service.authority is not None,
        http_client=pool,
    )


def _buckets(service: Deployed, which: str = "buckets") -> list[str]:
    """The declared buckets of a kind; without any, what is asked of them is skipped with its
    reason.
    """
    found = [name for name in service.check(which).split(",") if name]
    if not found:
        pytest.skip(f"the stack declares no such bucket ({which})")
    return found


def test_returns_what_was_put(service: Deployed) -> None:
    """A megabyte of random bytes comes back with the same hash, encrypted at rest, in every
    declared bucket.
    """
    body = os.urandom(1024 * 1024)
    found = {bucket: _put_and_read(service, bucket, body) for bucket in _buckets(service)}
    same = hashlib.sha256(body).hexdigest()
    assert {bucket: read for bucket, (read, _) in found.items()} == dict.fromkeys(found, same)
    assert {
        bucket: encryption
        for bucket, (_, encryption) in found.items()
        if encryption not in ("AES256", "aws:kms")
    } == {}


def _put_and_read(service: Deployed, bucket: str, body: bytes) -> tuple[str, str | None]:
    """The hash of what comes back, and how it is encrypted at rest."""
    client, name = _client(service, service.check("user")), f"groundwork-health/{uuid.uuid4()}"
    written = client.put_object(bucket, name, io.BytesIO(body), len(body))
    try:
        answer = client.get_object(bucket, name)
        read = hashlib.sha256(answer.read()).hexdigest()
        answer.close()
        headers = client.stat_object(bucket, name).metadata or {}
        return read, headers.get("x-amz-server-side-encryption")
    finally:
        _client(service, "root").remove_object(bucket, name, version_id=written.version_id)


def test_keeps_earlier_versions(service: Deployed) -> None:
    """An overwritten object can still be read by its version."""
    client = _client(service, service.check("user"))
    bucket, name = _buckets(service, "versioned")[0], f"groundwork-health/{uuid.uuid4()}"
    versions = [
        client.put_object(bucket, name, io.BytesIO(text), len(text)).version_id
        for text in (b"first", b"second")
    ]
    try:
        assert all(versions), "the bucket is not versioned"
        answer = client.get_object(bucket, name, version_id=versions[0])
        assert answer.read() == b"first"
        answer.close()
    finally:
        for version in versions:
            _client(service, "root").remove_object(bucket, name, version_id=version)


def test_application_key_destroys_no_earlier_version(service: Deployed) -> None:
    """It may delete an object, which leaves its versions; whoever steals the key cannot destroy
    them.
    """
    client, root = _client(service, service.check("user")), _client(service, "root")
    bucket, name = _buckets(service, "versioned")[0], f"groundwork-health/{uuid.uuid4()}"
    written = client.put_object(bucket, name, io.BytesIO(b"kept"), 4)
    try:
        with pytest.raises(S3Error, match="AccessDenied"):
            client.remove_object(bucket, name, version_id=written.version_id)
        client.remove_object(bucket, name)
        answer = client.get_object(bucket, name, version_id=written.version_id)
        assert answer.read() == b"kept"
        answer.close()
    finally:
        for version in root.list_objects(bucket, prefix=name, include_version=True):
            root.remove_object(bucket, name, version_id=version.version_id)


def test_application_key_opens_nothing_else(service: Deployed) -> None:
    """The application's key makes no bucket and reads none that is not declared for it."""
    client, root = _client(service, service.check("user")), _client(service, "root")
    with pytest.raises(S3Error, match="AccessDenied"):
        client.make_bucket(f"groundwork-health-{uuid.uuid4()}")
    private = f"groundwork-health-{uuid.uuid4()}"
    root.make_bucket(private)
    try:
        with pytest.raises(S3Error, match="AccessDenied"):
            list(client.list_objects(private))
        with pytest.raises(S3Error, match="AccessDenied"):
            client.put_object(private, "x", io.BytesIO(b"x"), 1)
    finally:
        root.remove_bucket(private)


@pytest.mark.parametrize("what", ["the list of buckets", "private buckets", "metrics"])
def test_refuses_without_credentials(service: Deployed, what: str) -> None:
    """Without a key the server answers 403."""
    paths = {"the list of buckets": ["/"], "metrics": ["/minio/v2/metrics/cluster"]}.get(what) or [
        f"/{name}" for name in _buckets(service, "private")
    ]
    answers = {
        path: http.get(f"{service.url('s3')}{path}", timeout=5).status_code for path in paths
    }
    assert answers == dict.fromkeys(paths, 403)
