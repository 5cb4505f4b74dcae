"""Upgrades of stores: before which a backup is made, and after which one goes back."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from infra import consent
from infra.consent import Consent
from infra.description import describe
from infra.secret import Secret
from infra.services.platform import build
from ops import console
from ops.build.toolchain import Toolchain
from ops.commands import majors
from ops.commands.upgrades import moves, unhealthy
from ops.review import sources
from ops.sites.interface import Site
from ops.stacks import private
from ops.stacks.stack import Stack
from ops.stacks.state import Backend
from tests.unit.conftest import make_platform, make_settings

CONFIG = {
    "groundwork:images": "packages",
    "groundwork:instance": "abc123",
    "groundwork:masterSecret": {"secure": "v1:made-up"},
}
DESCRIBED = describe({"config": CONFIG}, "dev")["services"]


def deployed(**changes: dict[str, str]) -> dict[str, Any]:
    """The services of the last deploy: those of DESCRIBED, but for some changes."""
    return {
        name: {
            "image": service["image"],
            "version": service["version"],
            **changes.get(name.replace("-", "_"), {}),
        }
        for name, service in DESCRIBED.items()
    }


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({}, {}),
        (
            {"postgres": {"image": "groundwork/postgres:17.2-a", "version": "17.2"}},
            {"postgres": ("17.2", "17.12")},
        ),
        ({"postgres": {"image": "groundwork/postgres:17.12-a"}}, {}),
        ({"redis_cache": {"version": "8.0.3"}}, {}),
        ({"litellm": {"image": "x", "version": "1"}}, {}),
        ({"backup": {"image": "x", "version": "1"}}, {}),
    ],
    ids=[
        "nothing",
        "another version",
        "the same version, built again",
        "what Debian put in its place",
        "no store",
        "the backup itself",
    ],
)
def test_a_store_moves(
    changes: dict[str, dict[str, str]], moved: dict[str, tuple[str, str]]
) -> None:
    assert moves(deployed(**changes), DESCRIBED) == moved


def test_a_new_store_does_not() -> None:
    known = deployed()
    del known["minio"]
    assert moves(known, DESCRIBED) == {}


def test_a_way_back_is_a_move_too() -> None:
    (name, newer), *_ = DESCRIBED.items()
    older = {**newer, "version": "0.1", "image": "groundwork/x:0.1-a"}
    expected = {name: (newer["version"], "0.1")} if newer["volumes"] else {}
    assert moves(deployed(), {**DESCRIBED, name: older}) == expected


MOVED = {"redis-cache": ("8.0.2", "8.0.3"), "redis-queue": ("8.0.2", "8.0.3")}
WAS = {"redis-cache": "a", "redis-queue": "b", "minio": "c"}


@pytest.mark.parametrize(
    ("now", "states", "back"),
    [
        ({}, {"redis-cache": "missing", "redis-queue": "healthy"}, {"redis-cache", "redis-queue"}),
        (
            {"redis-cache": "A"},
            {"redis-cache": "unhealthy", "redis-queue": "healthy"},
            {"redis-cache", "redis-queue"},
        ),
        (
            {"redis-cache": "A", "redis-queue": "B"},
            {"redis-cache": "starting", "redis-queue": "healthy"},
            {"redis-cache"},
        ),
        ({"redis-cache": "A"}, {"redis-cache": "healthy", "redis-queue": "healthy"}, set()),
        ({"minio": "C"}, {"redis-cache": "healthy", "redis-queue": "healthy"}, set()),
    ],
    ids=[
        "one is gone, the other not begun",
        "one fails, the other not begun",
        "one fails, the other has moved",
        "something else failed after a move",
        "nothing has moved",
    ],
)
def test_what_goes_back_after_a_failed_deploy(
    now: dict[str, str], states: dict[str, str], back: set[str]
) -> None:
    """What runs in its new version has opened its data, so it never goes back."""
    gone = {name for name, state in states.items() if state == "missing"}
    found = {name: key for name, key in {**WAS, **now}.items() if name not in gone}
    assert unhealthy(MOVED, WAS, found, states) == back


def test_a_service_that_goes_back_keeps_its_image_and_all_that_follows_from_its_version() -> None:
    allowed = Consent(
        previous={"postgres": {"image": "groundwork/postgres:16-a", "version": "16.14"}}
    )
    platform = build(make_settings(images="packages"), allowed)
    service = platform.by_name("postgres")
    assert (service.image.reference, service.image.version) == ("groundwork/postgres:16-a", "16.14")
    (configuration,) = [file for file in service.files if file.path.endswith("/postgresql.conf")]
    assert "/var/lib/postgresql/16/docker" in str(configuration.content)
    assert platform.by_name("minio") == make_platform(images="packages").by_name("minio")


@pytest.mark.parametrize(
    ("allowed", "frozen"),
    [
        (Consent(), False),
        (Consent(majors=frozenset({"postgres"})), True),
        (
            Consent(
                majors=frozenset({"postgres"}),
                previous={"postgres": {"image": "x", "version": "16.14"}},
            ),
            False,
        ),
    ],
    ids=["an ordinary deploy", "while data is on its way", "on the way back"],
)
def test_applications_write_only_where_their_data_is(allowed: Consent, frozen: bool) -> None:
    (job,) = build(make_settings(images="packages"), allowed).by_name("postgres").jobs
    (roles,) = [file.content for file in job.files if file.path.endswith("/roles.sql")]
    assert isinstance(roles, Secret)
    assert ('ALTER ROLE "app" SET default_transaction_read_only = on;' in roles.reveal()) is frozen


@pytest.mark.parametrize(
    "allowed",
    [
        Consent(),
        Consent(
            empty=frozenset({"minio", "redis-cache"}),
            majors=frozenset({"postgres"}),
            previous={"postgres": {"image": "a", "version": "1"}},
        ),
    ],
)
def test_consent_reaches_the_program_through_its_environment(
    allowed: Consent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in consent.variables(allowed).items():
        monkeypatch.setenv(name, value)
    assert consent.given() == allowed


class TestAMove:
    """The guided move of Postgres to another major version, up to its first change."""

    STACK = Stack("dev", Toolchain((), {}, "docker", None), Backend({}, local=True))

    @pytest.fixture(autouse=True)
    def described(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(sources, "file_of", lambda _: {"config": CONFIG})
        monkeypatch.setattr(private, "folder", lambda: tmp_path)

    @pytest.mark.parametrize(
        ("services", "why"),
        [
            ({}, "deploys no Postgres"),
            ({"postgres": {"version": "17.2", "image": "x"}}, "there is nothing to move"),
            ({"postgres": {"version": "18.1", "image": "x"}}, "there is nothing to move"),
            ({"postgres": {"version": "16.14", "image": "x"}}, "this stack makes none"),
        ],
        ids=["no Postgres", "the same major", "a newer one", "no backups"],
    )
    def test_is_refused(self, services: dict[str, Any], why: str) -> None:
        with pytest.raises(console.Failed, match=why):
            majors._planned(self.STACK, services)

    @pytest.mark.parametrize(
        ("record", "why"),
        [
            (None, "not on its way"),
            ({"image": "x", "before": "16.14", "after": "17.12", "restored": True}, "has arrived"),
        ],
        ids=["none has begun", "applications may have written"],
    )
    def test_is_not_taken_back(
        self, tmp_path: Path, record: dict[str, Any] | None, why: str
    ) -> None:
        if record:
            (tmp_path / "dev.postgres-move.json").write_text(json.dumps(record))
        with pytest.raises(console.Failed, match=why):
            majors.back(self.STACK, cast("Site", None), lambda _: None)

    def test_that_has_begun_stops_other_deploys(self, tmp_path: Path) -> None:
        majors.refuse_half_way(self.STACK)
        (tmp_path / "dev.postgres-move.json").write_text(
            json.dumps({"image": "x", "before": "16.14", "after": "17.12", "backup": 3})
        )
        with pytest.raises(console.Failed, match="from 16 to 17"):
            majors.refuse_half_way(self.STACK)
