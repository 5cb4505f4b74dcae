"""Waiting, with a deadline, for what comes about by itself."""

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class TimedOut(AssertionError):
    """What was waited for did not come about; `last` is what the condition gave last."""

    def __init__(self, message: str, last: Any) -> None:
        super().__init__(message)
        self.last = last


def wait_until(
    condition: Callable[[], T],
    *,
    timeout: float,
    reason: str | Callable[[], str],
    interval: float = 0.2,
    until: Callable[[T], object] = bool,
) -> T:
    """Asks until the answer is true, or is what `until` accepts, and returns it.

    The condition is asked at least once, and once more after the time is up. Raises TimedOut, which
    names the reason ("until …") and the last answer; what the condition raises ends the wait.
    """
    deadline = time.monotonic() + timeout
    while not until(answer := condition()):
        if time.monotonic() >= deadline:
            said = reason if isinstance(reason, str) else reason()
            raise TimedOut(
                f"waited {timeout:g} s in vain until {said}; the last answer: {answer!r}", answer
            )
        time.sleep(interval)
    return answer


def patience(seconds: float) -> float:
    """How long a health check waits for what takes `seconds` at the most; less if
    GROUNDWORK_PATIENCE says so, as where the service is broken and nothing will come.
    """
    return min(seconds, float(os.environ.get("GROUNDWORK_PATIENCE", "inf")))
