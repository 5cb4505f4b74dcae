"""Kills under write load: every write that was acknowledged is there afterwards. Prints a table."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import redis

from tests.live.clone import Clone
from tests.live.writers import STORES, wait_ready, writing

ROUNDS = 4
KILLED_UPS = int(os.environ.get("GROUNDWORK_KILLED_UPS", "3"))


def kill(clone: Clone, names: tuple[str, ...]) -> None:
    """SIGKILL for the containers' main processes, all at once."""
    pids = [clone.docker.containers.get(clone.name(name)).attrs["State"]["Pid"] for name in names]
    for pid in filter(None, pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_no_acknowledged_write_is_lost(safe: Clone, say: Callable[[str], None]) -> None:
    """One store after another, and all of them at once."""
    rounds = [(name,) for name in STORES for _ in range(ROUNDS)] + [STORES] * ROUNDS
    random.Random(1).shuffle(rounds)  # noqa: S311 - the same order each time
    with writing(safe, say) as kills:
        for names in rounds:
            time.sleep(0.7)
            kill(safe, names)
            wait_ready(safe, names)
            for name in names:
                kills[name] += 1


def test_an_up_that_is_killed_at_any_moment_converges(
    safe: Clone, say: Callable[[str], None]
) -> None:
    """Again and again, each time with another setting to change."""
    moments = random.Random(2)  # noqa: S311 - the same moments each time
    stored = []
    for attempt in range(KILLED_UPS):
        safe.configure(redis={"queue": {"memory": f"{300 + attempt}MiB"}})
        moment = moments.uniform(1, 14)
        stored.append(f"{moment:.1f}")
        with safe.started("up") as process, suppress(subprocess.TimeoutExpired):
            process.wait(timeout=moment)
    safe.ops("up")
    say(f"`up` killed after {', '.join(stored)} s; the next one converged")
    assert "nothing has changed" in safe.ops("up").stdout
    with redis.from_url(safe.outputs()["environment"]["REDIS_QUEUE_URL"]) as client:
        expected = (300 + KILLED_UPS - 1) * 1024 * 1024 * 50 // 100
        assert int(client.config_get("maxmemory")["maxmemory"]) == expected
    safe.configure(redis=None)
    safe.ops("up")
