"""The engine itself is killed under write load. No other test may run meanwhile."""

import gc
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.sites import engine
from tests.live.clone import Clone
from tests.live.writers import STORES, wait_ready, writing
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(
        Path("/run/systemd/system").is_dir() or bool(os.environ.get("DOCKER_HOST")),
        reason="this engine is not the tests' own: killing it would stop what else it runs",
    ),
    # The connections that it held were not closed but cut.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What was cut off is collected here, where its warnings are ignored, not at pytest's end."""
    yield
    gc.collect()


def test_no_acknowledged_write_is_lost_when_the_engine_is_killed(
    safe: Clone, say: Callable[[str], None]
) -> None:
    """SIGKILL, with all containers under load; the next engine starts them again, and `up` has
    nothing to do but to see that.
    """
    with writing(safe, say) as kills:
        time.sleep(3)
        found = subprocess.run(
            ["pgrep", "-x", "dockerd"], capture_output=True, text=True, check=True
        )
        for pid in found.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        wait_until(lambda: not engine.answers(), timeout=20, reason="the engine is gone")
        engine.ensure()
        # Its connections led to the engine before.
        safe.docker.close()
        wait_ready(safe, STORES)
        for name in STORES:
            kills[name] += 1
        time.sleep(1)
    text = safe.ops("up").stdout
    assert "Deployed in" in text
