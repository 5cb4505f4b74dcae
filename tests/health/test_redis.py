"""Redis: values, messages, the eviction policy of its use, and no entry without a password."""

import uuid

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.retry import Retry

from tests.health.conftest import Deployed

pytestmark = pytest.mark.kind("redis")


def _client(
    service: Deployed, user: str | None = "app", *, encrypted: bool = True
) -> "redis.Redis":
    host, port = service.endpoint("redis")
    password = service.credentials[user] if user else None
    return redis.Redis(
        host=host,
        port=port,
        username=user,
        password=password,
        ssl=encrypted and service.authority is not None,
        ssl_ca_certs=service.authority,
        socket_timeout=5,
        socket_connect_timeout=5,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )


def test_returns_what_was_set(service: Deployed) -> None:
    """A value with a lifetime is set, read back, and gone when deleted."""
    key, value = f"groundwork:health:{uuid.uuid4()}", f"value — {uuid.uuid4()}"
    with _client(service) as client:
        client.set(key, value, ex=60)
        assert client.get(key) == value
        assert client.delete(key) == 1
        assert client.get(key) is None


def test_delivers_a_message(service: Deployed) -> None:
    """A published message arrives at a subscriber."""
    channel, message = f"groundwork:health:{uuid.uuid4()}", str(uuid.uuid4())
    with _client(service) as client, client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(channel)
        subscription.get_message(timeout=5)
        assert client.publish(channel, message) == 1
        received = subscription.get_message(timeout=5)
        assert received is not None
        assert received["data"] == message


def test_evicts_as_its_use_needs(service: Deployed) -> None:
    """The cache evicts, the queue never does, and memory is bounded below the container's limit."""
    with _client(service) as client:
        assert client.config_get("maxmemory-policy") == {
            "maxmemory-policy": service.check("policy")
        }
        assert (
            0
            < int(client.config_get("maxmemory")["maxmemory"])
            < int(client.info("memory")["total_system_memory"])
        )


def test_keeps_its_data_on_disk(service: Deployed) -> None:
    """The append-only file is on and its last write succeeded."""
    with _client(service) as client:
        persistence = client.info("persistence")
    assert (persistence["aof_enabled"], persistence["aof_last_write_status"]) == (1, "ok")


def test_refuses_without_credentials(service: Deployed) -> None:
    """Without a password the server answers, and its answer is no."""
    with _client(service, user=None) as client, pytest.raises(AuthenticationError):
        client.ping()


@pytest.mark.parametrize(
    "command", [("CONFIG", "SET", "maxmemory", "1"), ("FLUSHALL",), ("ACL", "LIST")], ids=" ".join
)
def test_application_user_is_no_administrator(service: Deployed, command: tuple[str, ...]) -> None:
    """The application's user can neither reconfigure nor empty the server, nor see its users."""
    with _client(service) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


@pytest.mark.encrypted
def test_refuses_what_is_not_encrypted(service: Deployed) -> None:
    """Where TLS is required a command in plain text has no answer."""
    with _client(service, encrypted=False) as client, pytest.raises(redis.ConnectionError):
        client.ping()
