"""How tests and health checks wait: by a clock that stands still but for the waiting."""

import operator
from collections.abc import Callable

import pytest

from tests.support import waiting
from tests.support.waiting import TimedOut, wait_until


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(waiting, "time", made)
    return made


def after(clock: Clock, seconds: float, early: object, late: object) -> Callable[[], object]:
    return lambda: late if clock.now >= seconds else early


def test_returns_the_first_answer_that_is_true(clock: Clock) -> None:
    assert wait_until(after(clock, 3, [], ["x"]), timeout=5, interval=1, reason="x") == ["x"]
    assert clock.now == 3


def test_does_not_wait_for_what_is_there(clock: Clock) -> None:
    assert wait_until(lambda: "there", timeout=0, interval=1, reason="it is there") == "there"
    assert clock.now == 0


def test_asks_once_more_after_the_time_is_up(clock: Clock) -> None:
    assert wait_until(after(clock, 5, "", "late"), timeout=4.5, interval=1, reason="it") == "late"


def test_waits_for_what_is_accepted_where_an_answer_must_not_be_true(clock: Clock) -> None:
    gone = after(clock, 2, {"left"}, set())
    assert wait_until(gone, timeout=5, interval=1, reason="none", until=operator.not_) == set()
    assert clock.now == 2


def test_names_what_it_waited_for_and_the_last_answer(clock: Clock) -> None:
    said = r"waited 3 s in vain until all are up; the last answer: \{'minio': 'down'\}"
    with pytest.raises(TimedOut, match=said) as raised:
        wait_until(
            lambda: {"minio": "down"},
            timeout=3,
            interval=1,
            reason=lambda: "all are up",
            until=operator.not_,
        )
    assert raised.value.last == {"minio": "down"}
    assert clock.now == 3


def test_what_the_condition_raises_ends_the_wait(clock: Clock) -> None:
    def ended() -> bool:
        raise RuntimeError("the process has ended")

    with pytest.raises(RuntimeError, match="has ended"):
        wait_until(ended, timeout=5, interval=1, reason="it answers")
    assert clock.now == 0
