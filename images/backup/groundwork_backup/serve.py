"""The long-running process: the schedule and the metrics."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from croniter import croniter
from prometheus_client import start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from groundwork_backup import runs, status
from groundwork_backup.config import Config

READY = Path("/tmp/ready")  # noqa: S108 - inside its own container
_TICK_SECONDS = 15


def serve(config: Config) -> None:
    """Runs until it is stopped. Raises Failed if a repository cannot be opened."""
    runs.repositories(config)[0].open(read_only=config.read_only)
    status.begun(config)
    registry = CollectorRegistry()
    registry.register(_Status(config))
    start_http_server(config.metrics_port, registry=registry)
    working: subprocess.Popen[bytes] | None = None
    while True:
        READY.touch()
        _reap()
        if working is None or working.poll() is not None:
            working = _begin_due(config)
        time.sleep(_TICK_SECONDS)


def _reap() -> None:
    """Collects what a killed command left behind: here this is the first process."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def _begin_due(config: Config) -> subprocess.Popen[bytes] | None:
    """Begins what the schedule asks for now, in a process whose memory ends with it. What it says
    is this container's log.
    """
    known, now = status.read(config), time.time()
    for schedule, mark, command in (
        (config.schedule, "attempted", "run"),
        (config.check_schedule, "check_attempted", "check"),
    ):
        if due(schedule, known.get(mark, known["first_seen"]), now):
            return subprocess.Popen([sys.executable, "-m", "groundwork_backup", command])
    return None


def due(schedule: str | None, last: float, now: float) -> bool:
    """True if a moment of the schedule (cron, UTC) lies between the last time and now.

    A last time in the future, from before the clock was set back, counts as now.
    """
    if schedule is None:
        return False
    if last > now:
        last = now - _TICK_SECONDS
    following = croniter(schedule, datetime.fromtimestamp(last, UTC)).get_next(datetime)
    return bool(following.timestamp() <= now)


def interval(schedule: str) -> float:
    """The longest time between two moments of a schedule, in seconds."""
    moments = croniter(schedule, datetime(2026, 1, 1, tzinfo=UTC))
    times = [moments.get_next(float) for _ in range(60)]
    return max(later - earlier for earlier, later in pairwise(times))


class _Status(Collector):
    """The status as metrics, read at each scrape."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family after another."""
        config, known = self._config, status.read(self._config)
        copies = [status.copy_of(item) for item in config.repositories[1:]]
        names = [*(source.name for source in config.sources), *copies]
        stores = {name: known["stores"].get(name, {}) for name in names}
        yield _family(
            "last_success_timestamp_seconds",
            "Time of each store's last successful backup; of the first start, before any.",
            "store",
            {name: entry.get("at", known["first_seen"]) for name, entry in stores.items()},
        )
        yield _family(
            "failed",
            "1 if the last backup of a store failed.",
            "store",
            {name: float(entry.get("failed", False)) for name, entry in stores.items()},
        )
        for key, name, text in (
            ("size", "size_bytes", "Bytes that were read of a store."),
            ("added", "added_bytes", "Bytes that its last backup added to the repository."),
            ("seconds", "duration_seconds", "How long its last backup took."),
            ("count", "entries", "Rows, objects or keys in its last backup."),
        ):
            values = {store: entry[key] for store, entry in stores.items() if key in entry}
            yield _family(name, text, "store", values)
        yield _family(
            "check_timestamp_seconds",
            "Time of each repository's last check.",
            "repository",
            {name: entry["at"] for name, entry in known["checks"].items()},
        )
        yield _family(
            "check_failed",
            "1 if a repository's last check found damage.",
            "repository",
            {name: float(not entry["good"]) for name, entry in known["checks"].items()},
        )
        if drill := known.get("drill"):
            for name, text, value in (
                ("drill_timestamp_seconds", "Time of the last drill.", drill["at"]),
                (
                    "drill_failed",
                    "1 if the last drill did not restore the platform.",
                    float(not drill["good"]),
                ),
                ("drill_duration_seconds", "Time to recover in the last drill.", drill["seconds"]),
            ):
                yield GaugeMetricFamily(f"groundwork_backup_{name}", text, value=value)
        if config.schedule is not None:
            yield GaugeMetricFamily(
                "groundwork_backup_interval_seconds",
                "Longest time between two scheduled backups.",
                value=interval(config.schedule),
            )
        if "repository_size" in known:
            yield GaugeMetricFamily(
                "groundwork_backup_repository_size_bytes",
                "Bytes in the repository.",
                value=known["repository_size"],
            )


def _family(name: str, text: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"groundwork_backup_{name}", text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
