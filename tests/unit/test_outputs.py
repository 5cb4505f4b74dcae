"""What a stack tells an application."""

import re

from infra import outputs
from tests.unit.conftest import make_context, make_platform, make_settings

CONTRACT = {
    "CLICKHOUSE_DATABASE", "CLICKHOUSE_PASSWORD", "CLICKHOUSE_URL", "CLICKHOUSE_URL_INTERNAL", "CLICKHOUSE_USER",
    "DATABASE_OWNER_URL", "DATABASE_OWNER_URL_INTERNAL", "DATABASE_URL", "DATABASE_URL_INTERNAL",
    "GRAFANA_PASSWORD", "GRAFANA_URL", "GRAFANA_USER",
    "LLM_API_KEY", "LLM_BASE_URL", "LLM_BASE_URL_INTERNAL", "LLM_MODEL",
    "PROMETHEUS_PASSWORD", "PROMETHEUS_URL", "PROMETHEUS_URL_INTERNAL", "PROMETHEUS_USER",
    "QDRANT_API_KEY", "QDRANT_URL", "QDRANT_URL_INTERNAL",
    "REDIS_CACHE_URL", "REDIS_CACHE_URL_INTERNAL", "REDIS_QUEUE_URL", "REDIS_QUEUE_URL_INTERNAL",
    "S3_ACCESS_KEY_ID", "S3_BUCKET", "S3_ENDPOINT", "S3_ENDPOINT_INTERNAL", "S3_REGION", "S3_SECRET_ACCESS_KEY",
}  # fmt: skip


def environment(**keys: object) -> dict[str, str]:
    found = outputs.environment(make_settings(**keys), make_platform(**keys), make_context(**keys))
    return {name: value.reveal() for name, value in found.items()}


def test_names_are_a_contract() -> None:
    assert set(environment()) == CONTRACT


def test_every_address_comes_from_the_host_and_from_inside() -> None:
    found = environment(portOffset=100)
    assert re.fullmatch(r"postgresql://app:\w{32}@127\.0\.0\.1:5532/app", found["DATABASE_URL"])
    assert re.fullmatch(r"postgresql://app:\w{32}@postgres:5432/app", found["DATABASE_URL_INTERNAL"])
    assert found["REDIS_QUEUE_URL_INTERNAL"].endswith("@redis-queue:6379/0")
    assert found["S3_ENDPOINT"] == "http://127.0.0.1:9100"


def test_what_is_not_deployed_is_not_promised() -> None:
    found = environment(images="packages")
    assert not any(name.startswith(("QDRANT", "CLICKHOUSE", "GRAFANA")) for name in found)


def test_an_external_service_has_one_address_for_both() -> None:
    external = {"host": "db.example.org", "port": 6432, "tls": True, "username": "u@x", "password": "p/w:1", "database": "d"}
    found = environment(postgres={"external": external})
    assert found["DATABASE_URL"] == found["DATABASE_URL_INTERNAL"] == "postgresql://u%40x:p%2Fw%3A1@db.example.org:6432/d?sslmode=require"


def test_shared_redis_serves_both_uses() -> None:
    found = environment(redis={"shared": True})
    assert found["REDIS_CACHE_URL"] == found["REDIS_QUEUE_URL"]


def test_description_of_a_service_holds_no_secret() -> None:
    platform = make_platform()
    secrets = {secret.reveal() for service in platform.services for secret in service.credentials.values()}
    for service in platform.services:
        text = repr(outputs.describe(service, container="c", bind_address="127.0.0.1"))
        assert not any(secret in text for secret in secrets)
