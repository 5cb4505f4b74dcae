"""PgBouncer: it hands queries on to Postgres, for whoever proves a password."""

import psycopg
import pytest

from tests.health.conftest import Deployed

pytestmark = pytest.mark.kind("pooler")


def _connect(
    service: Deployed, password: str, sslmode: str | None = None
) -> psycopg.Connection[tuple[object, ...]]:
    host, port = service.endpoint("postgres")
    return psycopg.connect(
        host=host,
        port=port,
        user="app",
        password=password,
        dbname=service.of("postgres").check("database"),
        connect_timeout=5,
        sslmode=sslmode or ("verify-full" if service.authority else None),
        sslrootcert=service.authority,
    )


def test_hands_queries_on(service: Deployed) -> None:
    """In a transaction of the application's role."""
    with _connect(service, service.of("postgres").credentials["app"]) as db:
        assert db.execute("SELECT current_user").fetchone() == ("app",)


def test_refuses_without_credentials(service: Deployed) -> None:
    """A wrong password opens nothing."""
    with pytest.raises(psycopg.OperationalError, match=r"SASL|password"):
        _connect(service, "not-the-password")


@pytest.mark.encrypted
def test_refuses_what_is_not_encrypted(service: Deployed) -> None:
    """Where TLS is required the password is not even asked for."""
    with pytest.raises(psycopg.OperationalError, match="SSL required"):
        _connect(service, service.of("postgres").credentials["app"], sslmode="disable")
