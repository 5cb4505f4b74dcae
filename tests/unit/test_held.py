"""A deploy does what was reviewed, and no more."""

import json
from pathlib import Path
from typing import Any

import pytest

from ops import console
from ops.build.toolchain import Toolchain
from ops.review import held, sources
from ops.review.compare import compare
from ops.stacks import state
from ops.stacks.stack import Stack
from tests.unit.test_description import describe

NEW: dict[str, Any] = {"postgres": {"memory": "2GiB"}}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack whose file gives Postgres more memory than what is deployed."""
    content = {"config": {f"groundwork:{key}": value for key, value in NEW.items()}}
    monkeypatch.setattr(sources, "file_of", lambda _: content)
    return Stack("dev", Toolchain((), {}, "docker", None), state.Backend({}, local=True))


def reviewed(path: Path, before: dict[str, Any], after: dict[str, Any]) -> Path:
    review = compare(describe(**before), describe(**after), compared_with="main")
    path.write_text(json.dumps([review.as_json()]))
    return path


def outputs(**keys: Any) -> dict[str, Any]:
    return {"services": {}, "description": describe(**keys)}


def test_what_was_reviewed_is_deployed(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held.hold(stack, outputs(), reviewed(tmp_path / "r.json", {}, NEW))
    assert "no more than was reviewed" in capsys.readouterr().out


def test_a_review_of_something_else_does_not_count(stack: Stack, tmp_path: Path) -> None:
    file = reviewed(tmp_path / "r.json", {}, {"minio": {"memory": "1GiB"}})
    with pytest.raises(console.Failed, match="not reviewed") as raised:
        held.hold(stack, outputs(), file)
    assert "`postgres` is replaced" in raised.value.what
    assert "--against state" in raised.value.fix


def test_what_is_deployed_and_was_not_in_the_base_is_seen(stack: Stack, tmp_path: Path) -> None:
    """Somebody has deployed another change since: this deploy would take it back."""
    file = reviewed(tmp_path / "r.json", {}, NEW)
    with pytest.raises(console.Failed, match="`minio` is replaced"):
        held.hold(stack, outputs(minio={"memory": "1GiB"}), file)


@pytest.mark.parametrize(
    ("found", "said"),
    [({}, "for the first time"), ({"services": {}}, "no description")],
    ids=["a first deploy", "a deploy of an earlier version"],
)
def test_what_cannot_be_compared_is_said(
    stack: Stack,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    found: dict[str, Any],
    said: str,
) -> None:
    held.hold(stack, found, reviewed(tmp_path / "r.json", {}, NEW))
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "1", "[1]", '[{"stack": "dev"}]'])
def test_a_file_without_reviews_is_refused(stack: Stack, tmp_path: Path, text: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(text)
    with pytest.raises(console.Failed, match="holds no reviews"):
        held.hold(stack, outputs(), file)
