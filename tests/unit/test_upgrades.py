"""What is an upgrade of a store, before which a backup is made."""

from typing import Any

import pytest

from infra.description import describe
from ops.commands.upgrades import moves

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
