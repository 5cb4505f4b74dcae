"""Other names for the environment's values, and files rendered from it."""

from typing import Any

import pytest

from infra import aliases, outputs, validation
from infra.secret import Keyring
from infra.services.context import Context
from infra.services.platform import build as build_platform
from tests.unit.conftest import make_settings


def environment(**keys: Any) -> dict[str, str]:
    settings = make_settings(**keys)
    context = Context(settings, Keyring(settings.master_secret))
    found = outputs.environment(settings, build_platform(settings), context)
    return {name: value.reveal() for name, value in found.items()}


@pytest.fixture(scope="module")
def everything() -> dict[str, str]:
    return environment(contract={"aliases": sorted(aliases.SETS)})


@pytest.mark.parametrize(
    ("alias", "value"),
    [
        ("MINIO_ENDPOINT", "127.0.0.1:9000"),
        ("MINIO_ENDPOINT_INTERNAL", "minio:9000"),
        ("MINIO_USE_SSL", "false"),
        ("MINIO_BUCKET_NAME", "documents"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000"),
        ("LITELLM_BASE_URL", "http://127.0.0.1:4000"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:4000/v1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces"),
        ("PGHOST", "127.0.0.1"),
        ("PGHOST_INTERNAL", "postgres"),
        ("PGUSER", "app"),
        ("CLICKHOUSE_HOST", "127.0.0.1"),
        ("REDIS_PORT", "6380"),
    ],
)
def test_a_set_gives_the_names_that_clients_expect(
    everything: dict[str, str], alias: str, value: str
) -> None:
    assert everything[alias] == value


@pytest.mark.parametrize(
    ("alias", "source"),
    [
        ("PGVECTOR_CONNECTION_STRING", "DATABASE_URL"),
        ("REDIS_URL", "REDIS_QUEUE_URL"),
        ("REDIS_FALLBACK_URL", "REDIS_CACHE_URL"),
        ("LITELLM_API_KEY", "LLM_API_KEY"),
        ("MINIO_SECRET_KEY", "S3_SECRET_ACCESS_KEY"),
    ],
)
def test_a_name_has_the_value_of_its_source(
    everything: dict[str, str], alias: str, source: str
) -> None:
    assert everything[alias] == everything[source]


def test_every_source_is_a_variable_of_the_contract(everything: dict[str, str]) -> None:
    wanted = {source for names in aliases.SETS.values() for source, _ in names.values()}
    assert wanted <= set(everything)


def test_no_other_names_unless_asked_for() -> None:
    asked = {alias for names in aliases.SETS.values() for alias in names}
    assert not asked & set(environment())


def test_a_name_of_ones_own_follows_its_source_and_its_internal_form() -> None:
    found = environment(contract={"names": {"PRISMA_URL": "DATABASE_URL"}})
    assert found["PRISMA_URL"] == found["DATABASE_URL"]
    assert found["PRISMA_URL_INTERNAL"] == found["DATABASE_URL_INTERNAL"]


@pytest.mark.parametrize(
    ("names", "fix"),
    [
        ({"X": "NOTHING"}, "variable"),
        ({"S3_BUCKET": "DATABASE_URL"}, "another name"),
        ({"DATABASE_URL_INTERNAL": "REDIS_QUEUE_URL"}, "another name"),
        ({"X": "DATABASE_POOL_URL"}, "variable"),
    ],
    ids=["of nothing", "that hides another", "that hides an internal one", "of what is not there"],
)
def test_a_name_that_misleads_is_refused(names: dict[str, str], fix: str) -> None:
    (found,) = validation.check(make_settings(contract={"names": names}))
    assert found.key == f"groundwork:contract.names.{next(iter(names))}"
    assert fix in found.fix
