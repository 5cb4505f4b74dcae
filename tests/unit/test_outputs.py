"""What a stack tells an application."""

import re
from functools import cache
from typing import Any

import pytest

from infra import outputs
from infra.secret import Secret
from tests.support.identity import IDENTITY
from tests.unit.conftest import make_context, make_platform, make_settings

CONTRACT = {
    "CLICKHOUSE_DATABASE",
    "CLICKHOUSE_PASSWORD",
    "CLICKHOUSE_URL",
    "CLICKHOUSE_URL_INTERNAL",
    "CLICKHOUSE_USER",
    "DATABASE_URL",
    "DATABASE_URL_INTERNAL",
    "LLM_API_KEY",
    "LLM_BASE_URL",
    "LLM_BASE_URL_INTERNAL",
    "LLM_MODEL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT_INTERNAL",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "QDRANT_API_KEY",
    "QDRANT_URL",
    "QDRANT_URL_INTERNAL",
    "REDIS_CACHE_URL",
    "REDIS_CACHE_URL_INTERNAL",
    "REDIS_QUEUE_URL",
    "REDIS_QUEUE_URL_INTERNAL",
    "S3_ACCESS_KEY_ID",
    "S3_BUCKET",
    "S3_ENDPOINT",
    "S3_ENDPOINT_INTERNAL",
    "S3_REGION",
    "S3_SECRET_ACCESS_KEY",
}
ADMINISTRATION = {
    "ALERTMANAGER_PASSWORD",
    "ALERTMANAGER_URL",
    "ALERTMANAGER_URL_INTERNAL",
    "ALERTMANAGER_USER",
    "CLICKHOUSE_ADMIN_PASSWORD",
    "DATABASE_OWNER_URL",
    "DATABASE_OWNER_URL_INTERNAL",
    "GRAFANA_PASSWORD",
    "GRAFANA_URL",
    "GRAFANA_USER",
    "LITELLM_MASTER_KEY",
    "MINIO_ROOT_PASSWORD",
    "POSTGRES_SUPERUSER_PASSWORD",
    "PROMETHEUS_PASSWORD",
    "PROMETHEUS_URL",
    "PROMETHEUS_URL_INTERNAL",
    "PROMETHEUS_USER",
}
# Names of logins that are the application's, beside `app`; everything else is an administrator's,
# or another service's.
_ITS_OWN = {"qdrant": "api-key", "litellm": "app-key", "alloy": "otlp"}


def environment(**keys: object) -> dict[str, str]:
    found = outputs.environment(make_settings(**keys), make_platform(**keys), make_context(**keys))
    return {name: value.reveal() for name, value in found.items()}


def test_names_are_a_contract() -> None:
    """A service may add names; none of these is ever taken away."""
    assert set(environment()) >= CONTRACT
    found = outputs.administration(make_settings(), make_platform(), make_context())
    assert set(found) >= ADMINISTRATION
    assert not set(found) & set(environment())


def on(target: str) -> dict[str, Any]:
    return {"target": target, "kubernetes": {"context": "test"}}


TARGETS = ("docker", "kubernetes")
LOGINS = [
    (target, service.name, name)
    for target in TARGETS
    for service in make_platform(**on(target)).services
    for name in service.credentials
]


@cache
def _told(target: str) -> str:
    return " ".join(environment(**on(target)).values())


@pytest.mark.parametrize(("target", "service", "name"), LOGINS)
def test_the_application_is_given_no_login_but_its_own(
    target: str, service: str, name: str
) -> None:
    """`.env` goes into its containers, where everybody reads it who may inspect them."""
    secret = make_platform(**on(target)).by_name(service).credentials[name]
    assert (secret.reveal() in _told(target)) == (name == _ITS_OWN.get(service, "app"))


def test_every_address_comes_from_the_host_and_from_inside() -> None:
    found = environment(portOffset=100)
    assert re.fullmatch(r"postgresql://app:\w{32}@127\.0\.0\.1:5532/app", found["DATABASE_URL"])
    assert re.fullmatch(
        r"postgresql://app:\w{32}@postgres:5432/app", found["DATABASE_URL_INTERNAL"]
    )
    assert found["REDIS_QUEUE_URL_INTERNAL"].endswith("@redis-queue:6379/0")
    assert found["S3_ENDPOINT"] == "http://127.0.0.1:9100"


def test_ports_bound_to_every_address_are_reached_on_this_one() -> None:
    """A certificate names no 0.0.0.0."""
    found = environment(bindAddress="0.0.0.0")
    assert "@127.0.0.1:" in found["DATABASE_URL"]
    assert found["S3_ENDPOINT"] == "http://127.0.0.1:9000"


def test_what_is_not_deployed_is_not_promised() -> None:
    found = environment(images="packages")
    assert [name for name in found if name.startswith(("QDRANT", "CLICKHOUSE", "GRAFANA"))] == []


def test_an_external_service_has_one_address_for_both() -> None:
    external = {
        "host": "db.example.org",
        "port": 6432,
        "tls": True,
        "username": "u@x",
        "password": "p/w:1",
        "database": "d",
    }
    found = environment(postgres={"external": external})
    assert (
        found["DATABASE_URL"]
        == found["DATABASE_URL_INTERNAL"]
        == "postgresql://u%40x:p%2Fw%3A1@db.example.org:6432/d?sslmode=verify-full"
    )


def test_an_application_verifies_what_requires_tls() -> None:
    """In the words of libpq and of Redis' clients; the pooler asks for what Postgres does."""
    found = environment(
        images="packages", postgres={"tls": True}, redis={"tls": True}, pooler={"enabled": True}
    )
    for name in ("DATABASE_URL", "DATABASE_POOL_URL"):
        assert found[name].endswith("/app?sslmode=verify-full")
        assert found[f"{name}_INTERNAL"].endswith("/app?sslmode=verify-full")
    for name in ("REDIS_CACHE_URL", "REDIS_QUEUE_URL_INTERNAL"):
        assert found[name].startswith("rediss://")


def test_a_forward_to_postgres_needs_no_tls_of_its_own() -> None:
    """`kubectl port-forward` encrypts, and would end with the first client that says goodbye."""
    found = environment(**on("kubernetes"), postgres={"tls": True}, redis={"tls": True})
    assert found["DATABASE_URL"].endswith("?sslmode=disable")
    assert found["DATABASE_URL_INTERNAL"].endswith("?sslmode=verify-full")
    assert found["REDIS_QUEUE_URL"].startswith("rediss://")


@pytest.mark.parametrize(("store", "told"), [("postgres", True), ("redis", True), (None, False)])
def test_the_authority_is_told_where_a_service_requires_tls(store: str | None, told: bool) -> None:
    keys = {"images": "packages", **({store: {"tls": True}} if store else {})}
    found = outputs.build(
        make_settings(**keys), make_platform(**keys), make_context(**keys), IDENTITY, []
    )
    assert (found["authority"] or "").startswith("-----BEGIN CERTIFICATE-----") is told


def test_shared_redis_serves_both_uses() -> None:
    found = environment(redis={"shared": True})
    assert found["REDIS_CACHE_URL"] == found["REDIS_QUEUE_URL"]


@pytest.mark.parametrize("target", TARGETS)
def test_secrets_are_secret_values_wherever_they_stand(target: str) -> None:
    """Nothing but `environment`, `administration` and `credentials` holds a secret, and those hold
    nothing else.
    """
    keys = on(target)
    platform = make_platform(**keys)
    secrets = {
        f"{service.name}: {name}": secret.reveal()
        for service in platform.services
        for name, secret in service.credentials.items()
    }
    found = outputs.build(
        make_settings(**keys), platform, make_context(**keys), IDENTITY, ["a note"]
    )
    text = repr(found)
    assert secrets
    assert [name for name, secret in secrets.items() if secret in text] == []
    assert [
        name
        for name, value in (found["environment"] | found["administration"]).items()
        if not isinstance(value, Secret)
    ] == []


@cache
def _outputs(target: str) -> dict[str, Any]:
    keys = on(target)
    return outputs.build(
        make_settings(**keys), make_platform(**keys), make_context(**keys), IDENTITY, []
    )


def test_outputs_have_one_shape_on_every_target() -> None:
    """A health check or a script that reads them works on both."""
    docker, kubernetes = _outputs("docker"), _outputs("kubernetes")
    assert set(docker) == set(kubernetes)
    # In a cluster the kubelets know the containers, and no public image makes backups.
    alone = {"backup", "cadvisor", "socket-proxy"}
    assert set(docker["services"]) - alone == set(kubernetes["services"])
    assert set(docker["environment"]) == set(kubernetes["environment"])


@pytest.mark.parametrize("name", [item.name for item in make_platform(**on("kubernetes")).services])
def test_a_service_has_one_shape_on_every_target(name: str) -> None:
    docker, kubernetes = (_outputs(target)["services"][name] for target in TARGETS)
    assert set(docker) <= set(kubernetes)
    assert {port: end["port"] for port, end in docker["endpoints"].items()} == {
        port: end["port"] for port, end in kubernetes["endpoints"].items()
    }


def test_addresses_inside_a_cluster_name_the_namespace() -> None:
    found = environment(target="kubernetes", kubernetes={"context": "test", "namespace": "shop"})
    assert re.fullmatch(
        r"postgresql://app:\w{32}@postgres\.shop:5432/app", found["DATABASE_URL_INTERNAL"]
    )
    assert re.fullmatch(r"postgresql://app:\w{32}@127\.0\.0\.1:5432/app", found["DATABASE_URL"])
