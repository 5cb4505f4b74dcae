"""Test runs beside each other: what they are told, what is printed, and how failures end."""

import sys
import threading
from pathlib import Path

import pytest

from ops import console, ports
from ops.development import lanes, testing
from ops.development.lanes import Lane
from ops.paths import ROOT
from tests.live.clone import BASE_PORTS
from tests.support import lanes as inside


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_each_lane_prints_what_it_printed_with_its_title(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lanes.run(
        [Lane("first", _python("print('[1]')")), Lane("second", _python("print('two')"))],
        at_once=2,
    )
    text = capsys.readouterr().out
    assert "\nfirst\n[1]\nfirst: 0 s" in text
    assert "\nsecond\ntwo\nsecond: 0 s" in text


def test_all_lanes_end_before_the_failed_ones_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = [Lane("bad", _python("exit(1)")), Lane("good", _python("print('done')"))]
    with pytest.raises(console.Failed, match=r"^bad failed"):
        lanes.run(commands, at_once=1)
    assert "done" in capsys.readouterr().out


def test_a_lane_whose_preparation_fails_has_failed() -> None:
    def prepare() -> None:
        raise console.Failed("no compiler")

    with pytest.raises(console.Failed, match=r"^unprepared failed"):
        lanes.run([Lane("unprepared", _python(""), prepare)], at_once=1)


def test_preparation_is_begun_beside_the_lanes_before_it() -> None:
    begun = threading.Event()
    code = "import time; time.sleep(0.2)"
    lanes.run([Lane("first", _python(code)), Lane("late", _python(""), begun.set)], at_once=1)
    assert begun.is_set()


def test_every_module_of_live_tests_is_in_one_lane() -> None:
    """One may also be in the lane of the other engine."""
    others = [
        module
        for title, modules in testing._LIVE.items()
        if title != testing._ON_DISTRIBUTION
        for module in modules
    ]
    listed = [*others, testing._ALONE]
    listed += set(testing._LIVE[testing._ON_DISTRIBUTION]) - set(others)
    found = {path.stem.removeprefix("test_") for path in (ROOT / "tests/live").glob("test_*.py")}
    assert sorted(listed) == sorted(found)


class TestConcerns:
    """A lane compares all of the host, but for what lanes beside it may change at any moment."""

    @pytest.fixture(autouse=True)
    def _second_of_two(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROUNDWORK_TEST_LANES", str(tmp_path))
        monkeypatch.setenv("GROUNDWORK_TEST_LANE", "0")
        inside.register("theirs")
        monkeypatch.setenv("GROUNDWORK_TEST_LANE", "1")
        inside.register("ours")

    @pytest.mark.parametrize(
        ("instance", "concerned"), [("ours", True), ("somebody", True), ("theirs", False)]
    )
    @pytest.mark.parametrize("container", [True, False])
    def test_resources_by_their_instance(
        self, instance: str, concerned: bool, container: bool
    ) -> None:
        labels = {"groundwork.instance": instance}
        assert inside.concerns("any", labels, container=container) == concerned

    @pytest.mark.parametrize(
        ("name", "concerned"),
        [("gw-live-theirs-x", False), ("gw-live-ours-x", True), ("f" * 64, False)],
    )
    def test_volumes_without_labels_by_their_name(self, name: str, concerned: bool) -> None:
        assert inside.concerns(name, None) == concerned

    def test_containers_that_no_stack_declared(self) -> None:
        assert not inside.concerns("/helper", {}, container=True)


def test_no_port_is_shared_or_taken_for_an_outgoing_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = []
    for number in range(len(testing._LIVE) + 1):
        monkeypatch.setenv("GROUNDWORK_TEST_LANE", str(number))
        taken += [port + offset for offset in inside.offsets() for port in BASE_PORTS]
    assert len(taken) == len(set(taken))
    assert max(taken) < ports.EPHEMERAL


def test_alone_everything_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDWORK_TEST_LANES", raising=False)
    assert inside.concerns("/helper", {}, container=True)
