"""The engine itself is killed under write load. No other test may run meanwhile."""

import gc
import time
from collections.abc import Callable, Iterator

import pytest

from tests.engines.engine import named
from tests.live.clone import Clone
from tests.live.writers import STORES, wait_ready, writing
from tests.support.waiting import wait_until

ENGINE = named()

pytestmark = [
    pytest.mark.skipif(
        ENGINE is None,
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
    assert ENGINE is not None
    with writing(safe, say) as kills:
        time.sleep(3)
        ENGINE.kill()
        wait_until(lambda: not ENGINE.answers(), timeout=20, reason="the engine is gone")
        ENGINE.start()
        # Its connections led to the engine before.
        safe.docker.close()
        wait_ready(safe, STORES)
        for name in STORES:
            kills[name] += 1
        time.sleep(1)
    text = safe.ops("up").stdout
    assert "Deployed in" in text
