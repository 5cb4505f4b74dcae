"""ClickHouse: events arrive in the table and in its hourly view, and users are kept small."""

import uuid
from typing import Any

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.health import plain
from tests.health.conftest import Deployed
from tests.support import http

pytestmark = pytest.mark.kind("clickhouse")


def _client(service: Deployed, user: str = "app") -> Client:
    host, port = service.endpoint("http")
    return clickhouse_connect.get_client(
        host=host,
        port=port,
        username=user,
        password=service.credentials[user],
        database=service.check("database"),
        connect_timeout=5,
        secure=service.authority is not None,
        ca_cert=service.authority,
    )


def test_aggregates_what_was_inserted(service: Deployed) -> None:
    """Inserted events are read back, and the materialized view counts them."""
    client, organisation = _client(service), uuid.uuid4()
    rows: list[list[Any]] = [
        [organisation, "health", f"user-{number}", 10.0 * number] for number in range(10)
    ]
    client.insert(
        "events", rows, column_names=["organisation_id", "name", "user_id", "duration_ms"]
    )
    where = "WHERE organisation_id = {organisation:UUID}"
    parameters = {"organisation": str(organisation)}
    try:
        assert client.query(
            f"SELECT count(), sum(duration_ms) FROM events {where}", parameters=parameters
        ).result_rows == [(10, 450.0)]
        hourly = f"SELECT sum(events), uniqMerge(users) FROM events_hourly {where}"
        assert client.query(hourly, parameters=parameters).result_rows == [(10, 10)]
    finally:
        for table in ("events", "events_hourly"):
            client.command(
                f"ALTER TABLE {table} DELETE {where} SETTINGS mutations_sync = 1",
                parameters=parameters,
            )


def test_application_user_is_no_administrator(service: Deployed) -> None:
    """The application's user makes no users and reads no query log of others."""
    with pytest.raises(DatabaseError, match=r"ACCESS_DENIED|Not enough privileges"):
        _client(service).command("CREATE USER intruder")


@pytest.mark.parametrize("user", ["default", "app"])
def test_refuses_without_credentials(service: Deployed, user: str) -> None:
    """Without a password the answer is a refusal, also for the user that the image would have."""
    answer = http.get(service.url("http"), params={"query": "SELECT 1", "user": user}, timeout=10)
    assert answer.status_code in (401, 403), answer.text


@pytest.mark.encrypted
def test_refuses_what_is_not_encrypted(service: Deployed) -> None:
    """A plain request is not answered."""
    with pytest.raises(httpx.TransportError):
        http.get(service.url("http").replace("https://", "http://"), timeout=10)


@pytest.mark.encrypted
def test_refuses_the_native_protocol_that_is_not_encrypted(service: Deployed) -> None:
    assert not plain.answers(*service.endpoint("native"), plain.CLICKHOUSE)
