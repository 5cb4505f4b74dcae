"""A backup: every stream of every store under one run, and a manifest at its end.

A run without a manifest was interrupted: it is never restored, and the next run removes it.
"""

import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any

from groundwork_backup import manifests, status
from groundwork_backup.config import Config, Source
from groundwork_backup.failure import Failed, Full, told
from groundwork_backup.manifests import Manifest, Saved, Stream, stream_name
from groundwork_backup.restic import Restic
from groundwork_backup.stores import kinds
from groundwork_backup.units import size

FACTS = "GROUNDWORK_BACKUP_FACTS"
_PROGRESS_SECONDS = 5
_AGAIN_SECONDS = 15
Say = Callable[[str], None]


def repositories(config: Config) -> list[Restic]:
    """The repositories, the one to restore from first."""
    return [Restic(item, config.folder / "cache", config.stack) for item in config.repositories]


@contextmanager
def alone(config: Config, doing: str) -> Iterator[None]:
    """Holds the stack's backup for one process. Raises Failed if another one has it."""
    path = config.folder / "state" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Failed(
                f"a {file.read().strip() or 'backup or restore'} is running",
                "wait for it, then run the same command again",
            ) from None
        file.truncate(0)
        file.write(f"{doing} (since {datetime.now(UTC):%H:%M:%S} UTC)")
        file.flush()
        yield


def back_up(config: Config, say: Say, *, only: Sequence[str] = ()) -> Manifest:
    """Saves every store, or those named. A store that cannot be saved does not stop the others.

    Raises Failed if the repository cannot be used.
    """
    if config.read_only:
        raise Failed(
            "this stack only reads its repository (groundwork:backup.readOnly)",
            "back up the stack that writes to it, or set readOnly to false",
        )
    chosen = [config.source(name) for name in only] or config.sources
    with alone(config, "backup"):
        status.attempted(config)
        first, *others = repositories(config)
        first.open()
        last = manifests.last_sequence(first.snapshots())
        started = datetime.now(UTC)
        run = f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        stores = _save_all(_Run(run, config, first, say), chosen)
        manifest = Manifest(
            run=run,
            sequence=last + 1,
            stack=config.stack,
            started=started.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            stores=stores,
        )
        _conclude(config, first, manifest)
        status.saved(config, manifest)
        _tidy(config, first, say)
        for other in others:
            _copy(config, first, other, say)
        status.sized(config, first)
    return manifest


def _save_all(run: "_Run", sources: Sequence[Source]) -> tuple[Saved, ...]:
    """Saves every store. One of which nothing could be read is tried once more at the end: a deploy
    may be replacing it at this moment.
    """
    saved = {source.name: run.save(source) for source in sources}
    late = [
        source for source in sources if saved[source.name].error and source.name not in run.begun
    ]
    if late and not run.full:
        run.say(f"trying {names(item.name for item in late)} again in {_AGAIN_SECONDS} s …")
        time.sleep(_AGAIN_SECONDS)
        saved |= {source.name: run.save(source) for source in late}
    return tuple(saved.values())


@dataclass(frozen=True, slots=True)
class _Run:
    """A run in progress. `begun` are the stores of which something has been saved, `full` those for
    which the repository had no room.
    """

    name: str
    config: Config
    restic: Restic
    say: Say
    begun: set[str] = field(default_factory=set)
    full: list[str] = field(default_factory=list)

    def save(self, source: Source) -> Saved:
        """Saves one store; what goes wrong is part of the result."""
        try:
            store = kinds.store(self.config, source)
            version = store.version()
            streams = tuple(self._stream(source, item) for item in store.items())
        except Exception as error:  # whatever it is, the other stores are saved
            why = told(error)
            if isinstance(error, Full):
                self.full.append(source.name)
            self.say(f"{source.name}: FAILED: {why}")
            return Saved(store=source.name, kind=source.kind, error=why[:500])
        return Saved(store=source.name, kind=source.kind, version=version, streams=streams)

    def _stream(self, source: Source, item: str) -> Stream:
        began = last = time.monotonic()

        def progress(done: int) -> None:
            nonlocal last
            if done and time.monotonic() - last > _PROGRESS_SECONDS:
                last = time.monotonic()
                self.say(f"{source.name}/{item}: {size(done)} …")

        with tempfile.TemporaryDirectory() as scratch:
            facts = Path(scratch) / "facts.json"
            try:
                saved = self.restic.save(
                    stream_name(source.name, item),
                    [sys.executable, "-m", "groundwork_backup", "dump", source.name, item],
                    tags=[f"run={self.name}", f"store={source.name}"],
                    environment={FACTS: str(facts)},
                    progress=progress,
                )
            except Failed:
                if facts.exists() and "error" in (known := json.loads(facts.read_text())):
                    raise Failed(known["error"]) from None
                raise
            found = json.loads(facts.read_text())
        self.begun.add(source.name)
        seconds = round(time.monotonic() - began, 2)
        self.say(
            f"{source.name}/{item}: {size(saved.size)} in {seconds:.1f} s, {size(saved.added)}"
            " added"
        )
        return Stream(
            item=item,
            size=saved.size,
            added=saved.added,
            seconds=seconds,
            facts=found,
        )


def _conclude(config: Config, restic: Restic, manifest: Manifest) -> None:
    """Writes the manifest, which makes the run one that can be restored."""
    partial = len(manifest.stores) < len(config.sources)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "manifest.json"
        file.write_text(json.dumps(asdict(manifest), indent=1))
        restic.save(
            manifests.FILE,
            ["cat", str(file)],
            tags=[
                manifests.MANIFEST,
                f"run={manifest.run}",
                f"sequence={manifest.sequence}",
                f"started={manifest.started}",
                f"size={sum(item.size for item in manifest.stores)}",
                f"entries={sum(item.count for item in manifest.stores)}",
                *(f"failed={name}" for name in manifest.failed),
                *(f"saved={item.store}" for item in manifest.stores if not item.error),
                *(["partial"] if partial else []),
                *([manifests.COMPLETE] if not partial and not manifest.failed else []),
            ],
            environment={},
        )


def _tidy(config: Config, restic: Restic, say: Say) -> None:
    """Removes complete runs that the policy does not keep, incomplete ones that are older than all
    that it keeps, and what interrupted runs left.
    """
    snapshots = ((item["id"], manifests.tags_of(item)) for item in restic.snapshots())
    tags = {snapshot: found for snapshot, found in snapshots if "run" in found}
    surplus = set(restic.surplus(manifests.COMPLETE, config.keep))
    ended = {
        found["run"][0]: found
        for snapshot, found in tags.items()
        if manifests.MANIFEST in found and snapshot not in surplus
    }
    sequences = {run: int(found["sequence"][0]) for run, found in ended.items()}
    oldest = min(
        (sequences[run] for run, found in ended.items() if manifests.COMPLETE in found), default=0
    )
    kept = {run for run, sequence in sequences.items() if sequence >= oldest}
    gone = {
        snapshot: found["run"][0] for snapshot, found in tags.items() if found["run"][0] not in kept
    }
    if gone:
        restic.forget(list(gone))
        count = len(set(gone.values()))
        say(f"removed {count} backups that the policy does not keep or that were interrupted")


def _copy(config: Config, first: Restic, other: Restic, say: Say) -> None:
    """Brings another repository to the same backups. Raises Failed if it cannot."""
    try:
        first.copy_to(other)
        _tidy(config, other, say)
    except Failed:
        status.copied(config, other.repository, good=False)
        raise
    status.copied(config, other.repository, good=True)
    say(f"copied to repository `{other.repository.name}`")


def leave_facts(facts: Mapping[str, Any]) -> None:
    """Hands what a dump learnt to the run that started it."""
    if path := os.environ.get(FACTS):
        Path(path).write_text(json.dumps(facts))


def names(items: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(f"`{item}`" for item in items)
