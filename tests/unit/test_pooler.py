"""The connection pooler."""

import configparser
from typing import Any

import pytest

from infra import validation
from tests.unit.conftest import make_platform, make_settings, text

KEYS: dict[str, Any] = {"pooler": {"enabled": True}, "applications": [{"name": "shop"}]}


def test_it_is_deployed_only_where_it_is_asked_for() -> None:
    assert "pooler" not in {service.name for service in make_platform().services}
    assert "pooler" in {service.name for service in make_platform(**KEYS).services}


def test_it_knows_each_applications_database() -> None:
    parsed = configparser.ConfigParser()
    parsed.read_string(text(make_platform(**KEYS).by_name("pooler"), "pgbouncer.ini"))
    assert dict(parsed["databases"]) == {
        "app": "host=postgres port=5432 dbname=app",
        "shop": "host=postgres port=5432 dbname=shop",
    }
    assert parsed["pgbouncer"]["auth_type"] == "scram-sha-256"


def test_it_has_postgres_own_verifiers_and_no_password() -> None:
    platform = make_platform(**KEYS)
    users = text(platform.by_name("pooler"), "users.txt")
    roles = text(platform.by_name("postgres"), "roles.sql")
    lines = dict(line.split(" ", 1) for line in users.splitlines())
    assert set(lines) == {'"app"', '"shop"'}
    assert all(verifier.strip('"') in roles for verifier in lines.values())
    passwords = platform.by_name("postgres").credentials
    assert not [name for name, password in passwords.items() if password.reveal() in users]


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"postgres": {"enabled": False}, "litellm": {"enabled": False}}, "pooler.enabled"),
        ({"pooler": {"enabled": True, "poolSize": 100}}, "pooler.poolSize"),
    ],
    ids=["without Postgres", "more than Postgres allows"],
)
def test_contradictions_are_refused(keys: dict[str, Any], key: str) -> None:
    found = validation.check(make_settings(**{**KEYS, **keys}))
    assert f"groundwork:{key}" in {problem.key for problem in found}


def test_a_cluster_needs_an_image_of_the_users() -> None:
    cluster = {"target": "kubernetes", "kubernetes": {"context": "test"}}
    without = make_platform(**KEYS, **cluster)
    assert [item.reason for item in without.left_out if item.service == "pooler"]
    image = "registry.example.org/pooler:1@sha256:" + "a" * 64
    named = make_platform(**{**KEYS, "pooler": {"enabled": True, "image": image}}, **cluster)
    assert named.by_name("pooler").image.reference == image
