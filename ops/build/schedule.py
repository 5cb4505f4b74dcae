"""Long builds, told: how many, for how long, why, and how far they are."""

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ops import console
from ops.paths import cache

# On two cores at 2.6 GHz with packages from a near mirror, in the order in which `make up` and
# `make test` build them: what is shared counts for the first that needs it.
SECONDS: Mapping[str, float] = {
    "pulumi": 330,
    "language-python": 10,
    "docker-provider": 95,
    "minio": 90,
    "loki": 150,
    "alloy": 55,
    "tempo": 140,
    "cadvisor": 10,
    "litellm": 160,
    "postgres": 55,
    "docker-engine": 240,
    "runc": 20,
    "kubernetes": 270,
    "coredns": 35,
    "helm": 50,
    "local-path": 80,
}
_UNKNOWN = 15.0


class Schedule:
    """Builds to come, each with the seconds it took here the last time, or takes on two cores."""

    def __init__(self, names: Sequence[str]) -> None:
        expected = _expected()
        self._left = {name: expected.get(name, _UNKNOWN) for name in names}
        self._total = len(self._left)
        self._lock = threading.Lock()

    def announce(self, what: str, why: str) -> None:
        """Says what is to be built, for how long, and why."""
        if self._total:
            console.out.print(
                f"{what}: {self._total} to build here (about {self._remaining()}, once, kept in"
                f" {cache()}): {why}"
            )

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """One of the builds; its duration is remembered if it succeeds."""
        with self._lock:
            at = f"[{self._total - len(self._left) + 1}/{self._total}] "
            expected = self._left.pop(name, _UNKNOWN)
        began = time.monotonic()
        with console.step(f"{console.plain(at)}{title} (about {_words(expected)})"):
            yield
        with self._lock:
            _remember(name, time.monotonic() - began)
            if self._left:
                console.out.print(f"  about {self._remaining()} left")

    def _remaining(self) -> str:
        return _words(sum(self._left.values()))


def longest_first(names: Iterable[str]) -> list[str]:
    """Names in the order in which they take least time together."""
    expected = _expected()
    return sorted(names, key=lambda name: -expected.get(name, _UNKNOWN))


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _record() -> Path:
    return cache() / "durations.json"


def _expected() -> dict[str, float]:
    return {**SECONDS, **_recorded()}


def _recorded() -> dict[str, float]:
    """Seconds of builds on this machine; none if there is no record that can be read."""
    try:
        seen: dict[str, float] = json.loads(_record().read_text())
    except (OSError, ValueError):
        return {}
    return seen


def _remember(name: str, seconds: float) -> None:
    partial = _record().with_suffix(".partial")
    partial.write_text(json.dumps({**_recorded(), name: round(seconds, 1)}, sort_keys=True))
    partial.replace(_record())
