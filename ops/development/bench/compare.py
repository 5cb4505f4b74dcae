"""The same containers by Groundwork, Docker Compose and Terraform, in one run on one machine."""

import os
import secrets
import shutil
import string
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from infra.configuration import NAMESPACE
from infra.images import BASE_TAG
from infra.services.platform import build as build_platform
from infra.settings import Settings
from infra.targets.checks import published
from infra.units import MIB, format_size
from ops import console, ports
from ops.development.bench import tools
from ops.development.bench.description import Description, describe
from ops.development.bench.loaded import with_files
from ops.development.bench.peers import Compose, Peer, Scratch, Terraform
from ops.paths import ROOT, cache
from ops.stacks import generated
from ops.stacks.stack import Stack

NOTHING, UNCHANGED, BLIND, CHANGED = (
    "nothing → all healthy",
    "nothing changed",
    "nothing changed, without a look at the engine",
    "one setting of one service changed",
)
REPEATS = 3
SMALL = (10, 25, 50, 100)
_STACK = "bench"
# No tool finds the other's containers, and no port is used twice.
_SHIFT = 113


@dataclass(slots=True)
class Figures:
    """Seconds by operation and tool."""

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, operation: str, tool: str, call: Callable[[], object]) -> None:
        """Times a call."""
        began = time.monotonic()
        call()
        taken = time.monotonic() - began
        self.seconds.setdefault(operation, {}).setdefault(tool, []).append(taken)
        console.out.print(f"  {tool}: {operation}: {taken:.1f} s", markup=False)


def platform(stack: Stack, figures: Figures, *, repeats: int) -> None:
    """Measures the platform that a stack's settings describe, in a scratch stack beside it."""
    settings = stack.settings()
    config = dict(_plain(stack.config()))
    config[f"{NAMESPACE}:images"] = settings.images
    config[f"{NAMESPACE}:portOffset"] = _free_offset(settings)
    memory = settings.redis.queue.memory + 64 * MIB  # type: ignore[attr-defined]
    redis = config.get(f"{NAMESPACE}:redis") or {}
    queue = {**(redis.get("queue") or {}), "memory": format_size(memory)}
    change = {**config, f"{NAMESPACE}:redis": {**redis, "queue": queue}}
    with _scratch(stack, ROOT / "infra") as (scratch, folder, secret):
        for number in range(repeats):
            console.out.print(f"[bold]the platform, run {number + 1} of {repeats}[/bold]")
            instance = {f"{NAMESPACE}:instance": generated.instance_id()}
            scratch.configure({**config, **instance}, secret)
            _Round(scratch, folder, figures).measure(
                partial(scratch.configure, {**change, **instance}, secret)
            )


def small(stack: Stack, figures: Figures, counts: Sequence[int], *, repeats: int) -> None:
    """Measures numbers of small services."""
    with _scratch(stack, Path(__file__).parent / "small") as (scratch, folder, secret):
        for count in counts:
            for number in range(repeats):
                console.out.print(f"[bold]{count} services, run {number + 1} of {repeats}[/bold]")
                config = {
                    f"{NAMESPACE}:count": count,
                    f"{NAMESPACE}:image": BASE_TAG,
                    f"{NAMESPACE}:instance": generated.instance_id(),
                }
                scratch.configure(config, secret)
                _Round(scratch, folder, figures, f"{count} small services: ").measure()


@dataclass(frozen=True, slots=True)
class _Round:
    """One run of every tool, one after the other: two at once would slow each other down."""

    scratch: Scratch
    folder: Path
    figures: Figures
    prefix: str = ""

    def measure(self, change: Callable[[], None] | None = None) -> None:
        """From nothing to removed. `change` changes the configured scratch stack."""
        after: Description | None = None
        with _removed(self.scratch):
            self._times(self.scratch)
            before = with_files(describe(self.scratch.export()))
            if change is not None:
                change()
                self._time(CHANGED, self.scratch, refresh=False)
                after = with_files(describe(self.scratch.export()))
        for number, peer in enumerate(_peers(self.folder), start=1):
            # Of its own, since volumes that an interrupted run has left hold another's data.
            name = f"gwpeer{number}-{generated.instance_id()}-"
            rename = partial(_renamed, peer=name, shift=_SHIFT * number)
            peer.write(rename(before))
            with _removed(peer):
                self._times(peer)
                if after is not None:
                    peer.write(rename(after))
                    try:
                        self._time(CHANGED, peer, refresh=False)
                    except console.Failed:
                        # Terraform makes before it removes, which names of containers forbid.
                        console.out.print(f"  {peer.title}: {CHANGED}: it cannot", markup=False)

    def _times(self, peer: Peer) -> None:
        self._time(NOTHING, peer, refresh=False)
        self._time(UNCHANGED, peer, refresh=True)
        if not isinstance(peer, Compose):
            self._time(BLIND, peer, refresh=False)

    def _time(self, operation: str, peer: Peer, *, refresh: bool) -> None:
        self.figures.add(self.prefix + operation, peer.title, lambda: peer.apply(refresh=refresh))


def _renamed(description: Description, *, peer: str, shift: int) -> Description:
    name = description.containers[0].name
    prefix = "-".join(name.split("-")[:3]) + "-"
    return description.renamed(prefix, peer, shift=shift)


def _peers(folder: Path) -> Iterator[Peer]:
    for name, make in (("compose", _compose), ("terraform", _terraform)):
        place = folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
        peer = make(place)
        if peer is not None:
            yield peer


def _compose(folder: Path) -> Peer:
    return Compose(tools.compose(), folder)


def _terraform(folder: Path) -> Peer | None:
    found = tools.terraform()
    return Terraform(found, tools.provider(), folder) if found else None


@contextmanager
def _removed(peer: Peer) -> Iterator[None]:
    try:
        yield
    finally:
        peer.remove()


@contextmanager
def _scratch(stack: Stack, program: Path) -> Iterator[tuple[Scratch, Path, dict[str, str]]]:
    """A Pulumi project, its state and its keys in a folder that goes afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=cache()))
    try:
        (folder / "state").mkdir()
        letters = string.ascii_letters + string.digits
        environment = {
            **stack.environment,
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "".join(secrets.choice(letters) for _ in range(40)),
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        environment.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        master = generated.generate(generated.MASTER_LENGTH)
        name = "masterSecret" if program.name == "infra" else "master"
        yield Scratch(folder, program, environment), folder, {f"{NAMESPACE}:{name}": master}
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)


def _plain(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys of a stack's file without secrets, which another passphrase encrypts, and without
    what would call the receivers of the stack.
    """
    for key, value in config.items():
        if key != f"{NAMESPACE}:alertmanager" and "secure" not in str(value):
            yield key, value


def _free_offset(settings: Settings) -> int:
    """A port offset at which all ports are free, for each of the tools."""
    wanted = [
        port - settings.port_offset + _SHIFT * number
        for _, _, port in published(build_platform(settings))
        for number in range(3)
    ]
    return ports.free_offset(wanted, range(10000, ports.EPHEMERAL, 13))
