"""Schedules: people are told how many builds there are, and how long they take."""

import json
from pathlib import Path

import pytest

from ops import console
from ops.build import schedule
from ops.build.schedule import Schedule


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDWORK_CACHE", str(tmp_path))
    monkeypatch.setattr(schedule, "SECONDS", {"slow": 600.0, "quick": 20.0})


def test_it_says_how_many_how_long_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    Schedule(["slow", "quick"]).announce("tools", "there is no download")
    said = capsys.readouterr().out
    assert "2 to build" in said
    assert "about 10 min" in said
    assert said.rstrip().endswith("there is no download")


def test_nothing_to_build_is_not_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    Schedule([]).announce("tools", "there is no download")
    assert capsys.readouterr().out == ""


def test_steps_are_counted_and_the_rest_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    plan = Schedule(["slow", "quick"])
    with plan.step("quick", "building quick"):
        pass
    said = capsys.readouterr().out
    assert "[1/2] building quick (about 20 s)" in said
    assert "about 10 min left" in said


def test_what_a_build_took_here_counts_the_next_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "durations.json").write_text(json.dumps({"slow": 200}))
    Schedule(["slow"]).announce("tools", "why")
    assert "about 3 min" in capsys.readouterr().out
    with Schedule(["slow"]).step("slow", "building"):
        pass
    assert json.loads((tmp_path / "durations.json").read_text())["slow"] < 200


def test_a_failed_build_is_not_remembered(tmp_path: Path) -> None:
    with pytest.raises(console.Failed), Schedule(["slow"]).step("slow", "building"):
        raise console.Failed("no")
    assert not (tmp_path / "durations.json").exists()


def test_a_record_that_cannot_be_read_is_as_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "durations.json").write_text("{")
    Schedule(["quick"]).announce("tools", "why")
    assert "about 20 s" in capsys.readouterr().out


def test_the_longest_go_first() -> None:
    assert schedule.longest_first(["quick", "unknown", "slow"]) == ["slow", "quick", "unknown"]
