"""The service that makes backups: what it saves, where to, and what is refused."""

import json
from typing import Any

import pytest

from infra import validation
from infra.services.backup import stores
from tests.support.releases import CLUSTER
from tests.unit.conftest import make_context, make_platform, make_settings, text

S3 = {"s3": "https://s3.example.org/backups/dev", "accessKey": "key", "secretKey": "sec"}
PINNED = f"registry.example.org/groundwork/backup:0.18.0@sha256:{'0' * 64}"


def configured(**keys: Any) -> dict[str, Any]:
    """Its configuration."""
    backup = make_platform(images="packages", backup=keys).by_name("backup")
    found: dict[str, Any] = json.loads(text(backup, "backup.json"))
    return found


@pytest.mark.parametrize("source", ["packages", "registry"])
def test_every_store_that_is_deployed_is_saved(source: str) -> None:
    """What has a volume is a store, keeps telemetry, which is not saved, or is named here."""
    platform = make_platform(images=source)
    saved = {store.name for store in stores(make_context(images=source))}
    telemetry = {"prometheus", "loki", "tempo", "alloy-logs"}
    with_data = {service.name for service in platform.services if service.volumes}
    assert with_data - telemetry - {"backup"} == saved


def test_what_runs_elsewhere_or_is_turned_off_is_not_saved() -> None:
    context = make_context(
        minio={"enabled": False},
        postgres={
            "external": {
                "host": "db.example.org",
                "port": 5432,
                "username": "u",
                "password": "p",
                "database": "d",
            }
        },
    )
    assert {"minio", "postgres"} & {store.name for store in stores(context)} == set()


def test_without_a_repository_it_is_the_volume_and_that_is_said() -> None:
    platform = make_platform(images="packages")
    assert configured()["repositories"][0]["url"] == "/backup/repository"
    assert any("lost with the host" in note for note in platform.notes)


@pytest.mark.parametrize(
    ("repository", "url"),
    [
        ({"path": "/var/backups/dev"}, "/repository"),
        (S3, "s3:https://s3.example.org/backups/dev"),
    ],
    ids=["a folder", "a bucket"],
)
def test_a_repository_elsewhere(repository: dict[str, str], url: str) -> None:
    assert configured(repository=repository)["repositories"][0]["url"] == url
    platform = make_platform(images="packages", backup={"repository": repository})
    service = platform.by_name("backup")
    assert service.reaches_out == ("s3" in repository)
    folders = [volume.folder for volume in service.volumes if volume.folder]
    assert folders == ([repository["path"]] if "path" in repository else [])
    assert not any("lost with the host" in note for note in platform.notes)


def test_the_second_repository_has_the_same_key() -> None:
    first, second = configured(second=S3)["repositories"]
    assert first["password"] == second["password"]
    assert second["environment"] == {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "sec"}


def test_the_key_follows_from_the_master_secret_alone() -> None:
    """So that the kit, and a stack made again from it, opens the repository."""
    one = configured()["repositories"][0]["password"]
    assert one == configured(repository=S3, keep={"last": 1})["repositories"][0]["password"]
    assert len(one) == 43


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        (
            {"backup": {"repository": {"path": "/r"}}, **CLUSTER},
            "groundwork:backup.repository.path",
        ),
        ({"backup": {"second": S3, "repository": S3}}, "groundwork:backup.second"),
        (
            {"backup": {"second": {**S3, "accessKey": "other"}, "repository": S3}},
            "groundwork:backup.second.accessKey",
        ),
    ],
    ids=["a node's folder", "twice the same", "two logins"],
)
def test_is_refused(keys: dict[str, Any], key: str) -> None:
    assert key in [problem.key for problem in validation.check(make_settings(**keys))]


@pytest.mark.parametrize(
    "keys",
    [
        {"repository": {}},
        {"repository": {"path": "/r", **S3}},
        {"repository": {"s3": "https://s3.example.org/b"}},
        {"repository": {"path": "backups"}},
        {"repository": {"path": "/var/../etc"}},
        {"schedule": "every day"},
        {"schedule": "15 3 * * * *"},
        {"schedule": "75 3 * * *"},
        {"keep": {"last": 0, "daily": 0, "weekly": 0, "monthly": 0}},
        {"image": "registry.example.org/backup:latest"},
    ],
)
def test_is_not_a_setting(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="backup"):
        make_settings(backup=keys)


def test_in_a_cluster_with_official_images_it_needs_an_image_of_the_users() -> None:
    """No public image has what it needs, and no node could pull one that is built here."""
    without = make_platform(**CLUSTER)
    assert "backup" not in {service.name for service in without.services}
    assert "groundwork:backup.image" in next(
        item.reason for item in without.left_out if item.service == "backup"
    )
    with_it = make_platform(**CLUSTER, backup={"image": PINNED})
    assert with_it.by_name("backup").image.reference == PINNED


def test_only_what_it_restores_calls_it_back() -> None:
    platform = make_platform(images="packages")
    callers = {service.name for service in platform.services if "backup" in service.calls_back}
    assert callers == {"redis-cache", "redis-queue"}
    off = make_platform(images="packages", backup={"enabled": False})
    assert [service.name for service in off.services if service.calls_back] == []
