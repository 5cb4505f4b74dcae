"""Each declared application gets into its own place in every store, with its own logins."""

import json
import uuid
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis

from tests.health.conftest import Deployed, Outputs
from tests.support import http

_NOBODY = "no application beside the own one is declared"


class Environments(dict[str, dict[str, str]]):
    """Each application's environment. A failed check prints its arguments, and these are secret."""

    def __repr__(self) -> str:
        return f"environments of {', '.join(self)}"


@pytest.fixture
def environments(outputs: Outputs) -> Environments:
    """Each application's environment."""
    found = {name: own["environment"] for name, own in outputs.get("applications", {}).items()}
    if not found:
        pytest.skip(_NOBODY)
    return Environments(found)


def _reached(service: Deployed, port: str, url: str) -> str:
    """The same URL at the address where these checks reach the service."""
    host, number = service.endpoint(port)
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{host}:{number}"))


@pytest.mark.kind("postgres")
def test_each_enters_its_own_database(service: Deployed, environments: Environments) -> None:
    """As the role of its name, which owns nothing."""
    found = {}
    for name, told in environments.items():
        url = _reached(service, "postgres", told["DATABASE_URL"])
        with psycopg.connect(url, connect_timeout=5, sslrootcert=service.authority) as db:
            row = db.execute("SELECT current_user, current_database()").fetchone()
            found[name] = row
    assert found == {name: (name, name) for name in environments}


@pytest.mark.kind("redis")
def test_each_uses_its_own_keys(service: Deployed, environments: Environments) -> None:
    """A key with its prefix can be written, and one without is refused."""
    for name, told in environments.items():
        host, port = service.endpoint("redis")
        login = urlsplit(told["REDIS_CACHE_URL" if "cache" in service.name else "REDIS_QUEUE_URL"])
        with redis.Redis(
            host=host,
            port=port,
            username=login.username,
            password=login.password,
            ssl=service.authority is not None,
            ssl_ca_certs=service.authority,
            socket_timeout=5,
        ) as client:
            own = f"{told['REDIS_KEY_PREFIX']}health:{uuid.uuid4()}"
            assert client.set(own, "1", ex=10), name
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.set(f"groundwork:health:{uuid.uuid4()}", "1", ex=10)


@pytest.mark.kind("litellm")
def test_the_gateway_knows_each(service: Deployed, environments: Environments) -> None:
    """Its key lists models, and administers nothing."""
    for name, told in environments.items():
        login = {"Authorization": f"Bearer {told['LLM_API_KEY']}"}
        listed = http.get(f"{service.url('http')}/v1/models", headers=login, timeout=10)
        assert listed.status_code == 200, f"{name}: {listed.text}"
        refused = http.get(f"{service.url('http')}/key/list", headers=login, timeout=10)
        assert refused.status_code == 403, f"{name}: {json.dumps(refused.text)}"
