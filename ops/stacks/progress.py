"""Progress while Pulumi works: changes and readiness, but nothing that stays the same."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from ops import console

# Lines of Pulumi's own progress that say that nothing happened.
_QUIET = re.compile(
    r"^(@ |\s*$|\s{4}(docker|kubernetes|pulumi):|Refreshing|Updating \(|Destroying \("
    r"|.*\brefresh(ing)? \([\d.]+s\)\s*$|.*:(Volume|Network) .* (creating|deleting) \(0s\)\s*$)"
)


def stream(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Runs a command and prints its informative lines; returns its exit status."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in telling(process.stdout or ()):
            console.out.print(line, markup=False)
    return process.returncode


def telling(lines: Iterable[str]) -> Iterator[str]:
    """The lines worth showing: all of them from the diagnostics on."""
    diagnostics = False
    for raw in lines:
        line = raw.rstrip("\n")
        diagnostics = diagnostics or line.startswith(("Diagnostics:", "Resources:"))
        if (diagnostics and line.strip()) or (not diagnostics and not _QUIET.match(line)):
            yield line


@dataclass(slots=True)
class Watch:
    """When containers of a stack were started and first became healthy, observed as it happens."""

    started: dict[str, float] = field(default_factory=dict)
    healthy: dict[str, float] = field(default_factory=dict)

    def seconds(self, container: str) -> float | None:
        """From a container's start to its first healthy state; None if it was not started
        meanwhile.
        """
        if container not in self.started or container not in self.healthy:
            return None
        return self.healthy[container] - self.started[container]

    def at(self, name: str, seconds: float, *, healthy: bool) -> None:
        """Records when something started or first became healthy."""
        (self.healthy if healthy else self.started).setdefault(name, seconds)

    def see(self, event: Mapping[str, Any]) -> None:
        """Records one event of the engine."""
        name = event["Actor"]["Attributes"].get("name", "")
        at = event["timeNano"] / 1e9
        if event["Action"] == "start":
            self.started[name] = at
            self.healthy.pop(name, None)
        elif event["Action"].startswith("health_status: healthy"):
            self.healthy.setdefault(name, at)


@contextmanager
def watching(
    labels: Sequence[str], see: Callable[[Mapping[str, Any]], None] = lambda _: None
) -> Iterator[Watch]:
    """Watches the engine's events for containers with these labels. The engine keeps too few to
    query afterwards. `see` is called with each event: create, start, health_status, die.
    """
    watch = Watch()
    client = docker.from_env()
    events = client.api.events(
        since=int(time.time()),
        decode=True,
        filters={"label": list(labels), "event": ["create", "start", "health_status", "die"]},
    )

    def follow() -> None:
        # Closing the stream from the other thread ends it, by an exception or not.
        try:
            for event in events:
                watch.see(event)
                see(event)
        except (DockerException, OSError, ValueError, AttributeError):
            return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        # The last container's first healthy answer is what its `up` waited for, so it has been
        # sent.
        time.sleep(0.1)
        events.close()
        thread.join(timeout=2)
        client.close()
