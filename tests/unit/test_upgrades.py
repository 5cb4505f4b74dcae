"""What is an upgrade of a store, before which a backup is made."""

from dataclasses import replace
from typing import Any

import pytest

from infra.spec import Platform
from ops.commands.upgrades import moves
from tests.unit.conftest import make_platform

PLATFORM = make_platform(images="packages")


def deployed(**changes: dict[str, str]) -> dict[str, Any]:
    """The services of the last deploy: those of PLATFORM, but for some changes."""
    return {
        service.name: {
            "image": service.image.reference,
            "version": service.image.version,
            **changes.get(service.name.replace("-", "_"), {}),
        }
        for service in PLATFORM.services
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
    assert moves(deployed(**changes), PLATFORM) == moved


def test_a_new_store_does_not() -> None:
    known = deployed()
    del known["minio"]
    assert moves(known, PLATFORM) == {}


def test_a_way_back_is_a_move_too() -> None:
    (older, *others) = PLATFORM.services
    image = replace(older.image, version="0.1", reference="groundwork/x:0.1-a")
    going_back = Platform(services=(replace(older, image=image), *others))
    expected = {older.name: (older.image.version, "0.1")} if older.volumes else {}
    assert moves(deployed(), going_back) == expected
