"""Qdrant: points come back in the order of their distance, and the read-only key only reads."""

import ssl
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.health import plain
from tests.health.conftest import UNENCRYPTED, Deployed
from tests.support import http

# The client takes most of a second to import, so only where there is something to check.
if TYPE_CHECKING:
    from qdrant_client import QdrantClient

pytestmark = [pytest.mark.kind("qdrant"), UNENCRYPTED]


def _client(service: Deployed, key: str) -> "QdrantClient":
    from qdrant_client import QdrantClient

    return QdrantClient(
        url=service.url("rest"),
        api_key=service.credentials[key],
        timeout=10,
        prefer_grpc=False,
        # It would ask for the version without what `verify` says.
        check_compatibility=False,
        verify=ssl.create_default_context(cafile=service.authority),
    )


@pytest.fixture
def collection(service: Deployed) -> Iterator[str]:
    """A collection of its own, deleted afterwards."""
    from qdrant_client.models import Distance, VectorParams

    client, name = _client(service, "api-key"), f"groundwork-health-{uuid.uuid4()}"
    client.create_collection(name, vectors_config=VectorParams(size=4, distance=Distance.COSINE))
    yield name
    client.delete_collection(name)


def test_finds_the_nearest_point(service: Deployed, collection: str) -> None:
    """Two points written, the nearer one is found first with its payload."""
    from qdrant_client.models import PointStruct

    client = _client(service, "api-key")
    points = [
        PointStruct(id=1, vector=[1, 0, 0, 0], payload={"name": "near"}),
        PointStruct(id=2, vector=[0, 1, 0, 0], payload={"name": "far"}),
    ]
    client.upsert(collection, points=points, wait=True)
    found = client.query_points(
        collection, query=[0.9, 0.1, 0, 0], limit=1, with_payload=True
    ).points
    assert [(point.id, point.payload) for point in found] == [(1, {"name": "near"})]


def test_takes_a_snapshot(service: Deployed, collection: str) -> None:
    """A snapshot of a collection can be made and is listed."""
    client = _client(service, "api-key")
    made = client.create_snapshot(collection, wait=True)
    assert made is not None
    assert made.name in [item.name for item in client.list_snapshots(collection)]


def test_read_only_key_only_reads(service: Deployed, collection: str) -> None:
    """The read-only key lists collections and is refused when it writes."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    client = _client(service, "read-only-key")
    assert collection in [item.name for item in client.get_collections().collections]
    with pytest.raises(UnexpectedResponse, match="403"):
        client.delete_collection(collection)


@pytest.mark.parametrize("path", ["/collections", "/metrics"])
def test_refuses_without_credentials(service: Deployed, path: str) -> None:
    """Without a key the answer is 401."""
    assert http.get(f"{service.url('rest')}{path}", timeout=10).status_code == 401


@pytest.mark.encrypted
def test_refuses_what_is_not_encrypted(service: Deployed) -> None:
    """A plain request is not answered."""
    with pytest.raises(httpx.TransportError):
        http.get(service.url("rest").replace("https://", "http://"), timeout=10)


@pytest.mark.encrypted
def test_refuses_grpc_that_is_not_encrypted(service: Deployed) -> None:
    assert not plain.answers(*service.endpoint("grpc"), plain.HTTP2)
