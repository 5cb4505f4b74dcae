"""What each application has spent today, counted in Redis, so that a restart or a second replica
forgets nothing.

LiteLLM itself keeps a key's budget in its database only, which an image from packages cannot use.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger

_KEPT = 2 * 86400
# Where Redis does not answer, what this process has seen still counts.
_seen: Counter[str] = Counter()


def _today(application: str) -> str:
    return f"groundwork:spend:{application}:{datetime.now(UTC):%Y-%m-%d}"


async def today(application: str) -> float:
    """US dollars since midnight UTC."""
    key = _today(application)
    try:
        counted = float(await litellm.cache.cache.async_get_cache(key) or 0)
    except Exception:
        counted = 0.0
    return max(counted, _seen[key])


class _Counter(CustomLogger):
    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Adds the cost of an answer; called once for each, streamed or whole."""
        cost = kwargs.get("response_cost") or 0
        metadata = (kwargs.get("litellm_params") or {}).get("metadata") or {}
        application = metadata.get("user_api_key_alias")
        if not cost or not application:
            return
        key = _today(application)
        _seen[key] += cost
        await litellm.cache.cache.async_increment(key, value=cost, ttl=_KEPT)


def count() -> None:
    """Begins to count."""
    litellm.logging_callback_manager.add_litellm_callback(_Counter())
