"""What is spent, and what the cache saves: by day and application, kept in Redis for thirteen
months, so that a restart, a second replica or Prometheus' retention forgets nothing.

LiteLLM itself keeps spend in its database only, which an image from packages cannot use.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import litellm
import redis
import redis.asyncio
import redis.asyncio.retry
from litellm.integrations.custom_logger import CustomLogger
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.backoff import NoBackoff
from redis.retry import Retry

_DAYS = 400
_LOGIN = json.loads((Path(__file__).parent / "spending.json").read_text())
# Whoever asks meanwhile waits: for a second, and not for ten attempts.
_OPTIONS: dict[str, Any] = {
    **_LOGIN,
    "decode_responses": True,
    "socket_timeout": 1,
    "socket_connect_timeout": 1,
}
_KINDS = {
    "spent": "Cost of requests to models",
    "saved": "Cost of the answers that came from the cache",
}
_client = redis.asyncio.Redis(**_OPTIONS, retry=redis.asyncio.retry.Retry(NoBackoff(), 0))
# Where Redis does not answer, what this process has seen still counts.
_seen: Counter[str] = Counter()


def _key(kind: str, day: date) -> str:
    return f"litellm:groundwork:{kind}:{day:%Y-%m-%d}"


def _today() -> date:
    return datetime.now(UTC).date()


async def today(application: str) -> float:
    """US dollars that an application has spent since midnight UTC."""
    key = _key("spent", _today())
    counted = None
    with suppress(redis.RedisError):
        counted = await _client.hget(key, application)
    return max(float(counted or 0), _seen[f"{key}/{application}"])


async def _add(kind: str, application: str, dollars: float) -> None:
    if dollars <= 0:
        return
    key = _key(kind, _today())
    _seen[f"{key}/{application}"] += dollars
    await _client.hincrbyfloat(key, application, dollars)
    await _client.expire(key, _DAYS * 86400)


class _Counter(CustomLogger):
    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Adds the cost of an answer, or what the cache saved; called once for each answer."""
        told = kwargs.get("standard_logging_object") or {}
        parameters = kwargs.get("litellm_params") or {}
        # Some routes keep who asked beside a caller's own metadata; the first has both.
        places = (told, {"metadata": parameters.get("litellm_metadata")}, parameters)
        aliases = ((place.get("metadata") or {}).get("user_api_key_alias") for place in places)
        application = next(filter(None, aliases), "unknown")
        await _add("saved", application, float(told.get("saved_cache_cost") or 0))
        if not kwargs.get("cache_hit"):
            await _add("spent", application, float(kwargs.get("response_cost") or 0))


class _Ledger(Collector):
    """The days as metrics. Those before yesterday do not change, and are read once."""

    def __init__(self) -> None:
        self._past: dict[str, dict[str, float]] = {}

    def describe(self) -> list[Any]:
        """Nothing before it is asked: it would ask Redis while LiteLLM starts."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Gauges: by day, by month, and of this month by application."""
        try:
            with redis.Redis(**_OPTIONS, retry=Retry(NoBackoff(), 0)) as client:
                days = {kind: self._days(client, kind) for kind in _KINDS}
        except redis.RedisError:
            return
        month = f"{_today():%Y-%m}"
        for kind, meaning in _KINDS.items():
            by_day = GaugeMetricFamily(
                f"ai_{kind}_day_usd", f"{meaning}, by day (UTC).", labels=["day"]
            )
            by_month = GaugeMetricFamily(
                f"ai_{kind}_month_usd", f"{meaning}, by month (UTC).", labels=["month"]
            )
            now = GaugeMetricFamily(
                f"ai_{kind}_this_month_usd",
                f"{meaning}, in this month (UTC).",
                labels=["application"],
            )
            months: Counter[str] = Counter()
            applications: Counter[str] = Counter()
            for day, amounts in sorted(days[kind].items()):
                by_day.add_metric([day], sum(amounts.values()))
                months[day[:7]] += sum(amounts.values())
                if day.startswith(month):
                    applications.update(amounts)
            for name, amount in sorted(months.items()):
                by_month.add_metric([name], amount)
            for name, amount in sorted(applications.items()):
                now.add_metric([name], amount)
            yield from (by_day, by_month, now)

    def _days(self, client: "redis.Redis[str]", kind: str) -> dict[str, dict[str, float]]:
        last = _today()
        wanted = [last - timedelta(days=age) for age in range(_DAYS)]
        asked = [
            day for age, day in enumerate(wanted) if age < 2 or _key(kind, day) not in self._past
        ]
        with client.pipeline(transaction=False) as pipeline:
            for day in asked:
                pipeline.hgetall(_key(kind, day))
            for day, amounts in zip(asked, pipeline.execute(), strict=True):
                self._past[_key(kind, day)] = {
                    name: float(amount) for name, amount in amounts.items()
                }
        found = {f"{day:%Y-%m-%d}": self._past[_key(kind, day)] for day in wanted}
        return {day: amounts for day, amounts in found.items() if amounts}


def count() -> None:
    """Begins to count, and to show what is counted."""
    litellm.logging_callback_manager.add_litellm_callback(_Counter())
    REGISTRY.register(_Ledger())
