"""What is refused before minutes are spent on tools and images."""

from typing import Any

import pytest

from infra.refusal import PreflightError
from infra.units import GIB
from ops.commands import early
from ops.review import sources
from ops.review.sources import Unavailable
from tests.unit.test_description import describe


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stack's file, on an engine with plenty of disk."""
    file: dict[str, Any] = {"config": {}}
    monkeypatch.setattr(sources, "file_of", lambda _: file)
    monkeypatch.setattr(early, "_free", lambda _: 500 * GIB)
    monkeypatch.setattr(early, "_built", lambda: False)
    return file


def test_a_good_file_passes(stack: dict[str, Any]) -> None:
    early.refuse("dev")


def test_a_mistyped_key_is_refused(stack: dict[str, Any]) -> None:
    stack["config"]["groundwork:postgress"] = {}
    with pytest.raises(PreflightError, match="did you mean `postgres`"):
        early.refuse("dev")


def test_a_new_stack_has_no_file_yet(
    stack: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: str) -> None:
        raise Unavailable("no file")

    monkeypatch.setattr(sources, "file_of", missing)
    early.refuse("new")


def test_too_little_disk_is_refused_with_what_is_built(
    stack: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early, "_free", lambda _: 40 * GIB)
    with pytest.raises(PreflightError, match="what is built once takes 22GiB more") as raised:
        early.refuse("dev")
    assert "lower the `disk` of services" in str(raised.value)


def test_a_cluster_has_other_disks(stack: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "_free", lambda _: 0)
    stack["config"] = {
        "groundwork:target": "kubernetes",
        "groundwork:kubernetes": {"context": "c"},
    }
    early.refuse("dev")


@pytest.mark.parametrize(("free", "refused"), [(100, False), (10, True)])
def test_without_builds_only_volumes_count(free: int, refused: bool) -> None:
    problems = early.disk(describe(images="packages"), free * GIB, builds=False)
    assert bool(problems) == refused
    assert not [item for item in problems if "built once" in item.reason]
