"""Applications beside the stack's own: each has its own place in every store."""

import json
from typing import Any

import jwt
import pytest
import yaml

from infra import outputs, validation
from infra.secret import Keyring
from infra.services.context import Context
from infra.services.platform import build as build_platform
from tests.support.identity import IDENTITY
from tests.unit.conftest import make_platform, make_settings, text

SHOP = {
    "name": "shop",
    "buckets": [{"name": "shop-pictures"}],
    "collections": ["products"],
    "models": ["default"],
    "dailyBudgetUsd": 0.5,
}
BILLING = {"name": "billing"}
KEYS: dict[str, Any] = {
    "applications": [SHOP, BILLING],
    "litellm": {"providers": {"openai": {"apiKey": "key-oa"}}},
    "postgres": {"shadowDatabase": True},
}


def told(**keys: Any) -> dict[str, Any]:
    settings = make_settings(**{**KEYS, **keys})
    context = Context(settings, Keyring(settings.master_secret))
    return outputs.build(settings, build_platform(settings), context, IDENTITY, ())


def environment(name: str, part: str = "environment", **keys: dict[str, Any]) -> dict[str, str]:
    return {key: value.reveal() for key, value in told(**keys)["applications"][name][part].items()}


def test_an_application_is_told_its_own_logins() -> None:
    shop = environment("shop")
    assert shop["DATABASE_URL"].startswith("postgresql://shop:")
    assert shop["DATABASE_URL"].endswith(":5432/shop")
    assert shop["REDIS_CACHE_URL"].startswith("redis://shop:")
    assert (shop["REDIS_KEY_PREFIX"], shop["S3_ACCESS_KEY_ID"]) == ("shop:", "shop")
    assert (shop["S3_BUCKET"], shop["CLICKHOUSE_DATABASE"]) == ("shop-pictures", "shop")


def test_no_two_applications_share_a_secret() -> None:
    """Only what all write to and nobody reads from, the endpoint of traces, has one token."""
    found = told()
    logins = [
        {value.reveal() for key, value in item.items() if key.endswith(("_KEY", "PASSWORD", "URL"))}
        for item in (
            found["environment"],
            *(own["environment"] for own in found["applications"].values()),
        )
    ]
    addresses = {"http://127.0.0.1:4000/v1", "http://127.0.0.1:6333", "http://127.0.0.1:8123"}
    assert logins[0] & logins[1] <= addresses
    assert logins[1] & logins[2] <= addresses


def test_administrators_logins_stay_with_the_stack() -> None:
    assert set(environment("shop", "administration")) == {
        "DATABASE_OWNER_URL",
        "DATABASE_OWNER_URL_INTERNAL",
        "SHADOW_DATABASE_URL",
        "SHADOW_DATABASE_URL_INTERNAL",
    }


def test_the_own_application_is_told_the_same_with_and_without_others() -> None:
    alone = told(applications=[])
    assert told()["environment"] == alone["environment"]


def test_an_external_store_gives_nobody_a_login_of_its_own() -> None:
    external = {"host": "db.example.org", "port": 5432, "username": "u", "database": "d"}
    keys: dict[str, Any] = {
        "postgres": {"external": {**external, "password": "Zx81Zx82Zx83Zx84Zx85"}}
    }
    assert "DATABASE_URL" not in environment("shop", **keys)
    assert "REDIS_CACHE_URL" in environment("shop", **keys)


def test_redis_holds_an_application_to_its_prefix() -> None:
    lines = text(make_platform(**KEYS).by_name("redis-queue"), "users.acl").splitlines()
    users = {line.split()[1]: line.split()[4:] for line in lines if " on " in line}
    assert users["shop"][:2] == ["~shop:*", "&shop:*"]
    # These name the keys and channels of others.
    assert {"-scan", "-randomkey", "-pubsub", "-client|tracking"} <= set(users["shop"])
    # Libraries of functions belong to nobody: one application could replace another's.
    assert {"-function", "-fcall", "-fcall_ro", "-script|flush"} <= set(users["shop"])
    assert "+keys" not in users["shop"]
    assert users["app"][:2] == ["~*", "&*"]


def test_buckets_belong_to_one_application() -> None:
    minio = make_platform(**KEYS).by_name("minio")
    policy = json.loads(text(minio, "shop-policy.json"))
    resources = {item for part in policy["Statement"] for item in part["Resource"]}
    assert resources == {"arn:aws:s3:::shop-pictures", "arn:aws:s3:::shop-pictures/*"}
    assert "shop-pictures" not in text(minio, "app-policy.json")
    nothing = json.loads(text(minio, "billing-policy.json"))["Statement"]
    assert [part["Effect"] for part in nothing] == ["Deny"]


def test_qdrants_token_opens_the_declared_collections() -> None:
    key = told()["credentials"]["qdrant"]["api-key"].reveal()
    token = environment("shop")["QDRANT_API_KEY"]
    assert jwt.decode(token, key, algorithms=["HS256"]) == {
        "access": [{"collection": "products", "access": "rw"}]
    }
    assert "QDRANT_API_KEY" not in environment("billing")


def test_clickhouse_grants_an_application_its_own_database() -> None:
    service = make_platform(**KEYS).by_name("clickhouse")
    users = yaml.safe_load(text(service, "users.d/groundwork.yaml"))["users"]
    assert all("`shop`.*" in grant for grant in users["shop"]["grants"]["query"])
    assert "CREATE DATABASE IF NOT EXISTS `shop`" in text(service, "schema.sql")


def test_the_gateway_knows_keys_models_and_budgets() -> None:
    known = json.loads(text(make_platform(**KEYS).by_name("litellm"), "applications.json"))
    assert (known["shop"]["models"], known["shop"]["budget"]) == (["default"], 0.5)
    assert known["shop"]["key"] == environment("shop")["LLM_API_KEY"]
    assert known["billing"]["budget"] is None


@pytest.mark.parametrize(
    ("applications", "key", "fix"),
    [
        ([{"name": "shop"}, {"name": "shop"}], "groundwork:applications", "rename"),
        ([{"name": "analytics"}], "groundwork:applications.0.name", "rename"),
        ([{"name": "shop", "models": ["gpt"]}], "groundwork:applications.0.models", "declare"),
        (
            [{"name": "shop", "buckets": [{"name": "documents"}]}],
            "groundwork:minio.buckets",
            "remove",
        ),
    ],
    ids=["twice", "the own database", "an unknown model", "another's bucket"],
)
def test_contradictions_are_refused(applications: list[dict[str, Any]], key: str, fix: str) -> None:
    found = validation.check(make_settings(applications=applications))
    assert [problem.key for problem in found] == [key]
    assert fix in found[0].fix


@pytest.mark.parametrize(
    "name",
    [
        "app",
        "root",
        "postgres",
        "litellm",
        "pg_x",
        "shop_owner",
        "shop_shadow",
        "ab",
        "pgbouncer",
        "Shop",
    ],
)
def test_names_that_stores_have_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"applications\.0\.name|applications"):
        make_settings(applications=[{"name": name}])
