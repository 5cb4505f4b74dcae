"""Restores: one run, all stores or some, with everything that can be refused refused first."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import IO

from groundwork_backup import manifests, runs
from groundwork_backup.config import Config
from groundwork_backup.failure import Failed, told
from groundwork_backup.manifests import Entry, Saved
from groundwork_backup.restic import Restic
from groundwork_backup.stores import kinds
from groundwork_backup.stores.interface import Store
from groundwork_backup.units import size

LATEST = "latest"
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A restored store: how much was saved, how much it holds, and seconds."""

    store: str
    size: int
    saved: int
    holds: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be restored: which run, `of` this stack or another one in the repository, which
    stores (all, if none is named), and whose present content may be replaced.
    """

    at: str = LATEST
    of: str = ""
    only: Sequence[str] = ()
    replace: Collection[str] = ()


def restore(config: Config, wanted: Wanted, say: Callable[[str], None]) -> list[Restored]:
    """Restores what a run saved. Raises Failed before anything is changed if a store is not empty
    and not named, is older than what was saved, or was not saved.
    """
    with runs.alone(config, "restore"):
        restic = runs.repositories(config)[0]
        stack = wanted.of or config.stack
        entry = choose(manifests.listed(restic, stack), wanted.at, stack=stack, only=wanted.only)
        chosen = _chosen(manifests.read(restic, entry).stores, wanted.only)
        known = {source.name for source in config.sources}
        for item in chosen:
            if item.store not in known and not wanted.only:
                say(f"{item.store}: left out, since this stack does not have it")
        saved = [item for item in chosen if item.store in known or wanted.only]
        stores = {item.store: kinds.store(config, config.source(item.store)) for item in saved}
        _refuse(saved, stores, wanted.replace)
        say(f"restoring backup {entry.run}, {_age(entry.started)} old")
        where = manifests.snapshots_of(restic, stack, entry.run)
        return [_restore(restic, where, item, stores[item.store], say) for item in saved]


def choose(entries: Sequence[Entry], at: str, *, stack: str, only: Sequence[str] = ()) -> Entry:
    """The run named by its id or number, the last one, or the last one before a time (ISO 8601,
    UTC if it names no zone); of those with the stores that are asked for. Raises Failed if there
    is none.
    """
    if not entries:
        raise Failed(
            f"there is no backup of `{stack}` in this repository", "`make backup` makes one"
        )
    for entry in entries:
        if at in (entry.run, str(entry.sequence)):
            return entry
    entries = [
        entry
        for entry in entries
        if (set(only) <= set(entry.stores) if only else not entry.partial)
    ]
    if not entries:
        raise Failed(
            f"no backup of `{stack}` has {' and '.join(only) or 'all stores'}",
            "`make backups` lists what there is",
        )
    if at == LATEST:
        return entries[-1]
    fix = "`make backups` lists what there is"
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise Failed(f"there is no backup `{at}`, and it is not a point in time", fix) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    earlier = [entry for entry in entries if entry.started <= moment]
    if not earlier:
        first = f"{entries[0].started:%Y-%m-%d %H:%M:%S}"
        raise Failed(f"no backup is as old as {at}; the first is of {first} UTC", fix)
    return earlier[-1]


def _chosen(saved: Sequence[Saved], only: Sequence[str]) -> list[Saved]:
    known = {item.store: item for item in saved}
    for name in only:
        if name not in known:
            raise Failed(
                f"this backup has no store `{name}`", f"name one of {', '.join(sorted(known))}"
            )
    return [item for item in saved if (not only or item.store in only) and item.kind != "stack"]


def _refuse(saved: Sequence[Saved], stores: Mapping[str, Store], replace: Collection[str]) -> None:
    if failed := [item for item in saved if item.error]:
        raise Failed(
            f"this backup is incomplete: {'; '.join(f'{i.store}: {i.error}' for i in failed)}",
            "restore an earlier one, or name the stores that it has with ONLY=",
        )
    full = []
    for item in saved:
        store = stores[item.store]
        version = store.version()
        if _reads(version, item.kind) < _reads(item.version, item.kind):
            raise Failed(
                f"{item.store} is version {version}, which cannot read what {item.version} saved",
                "deploy the version that made the backup, or a newer one",
            )
        if ALL not in replace and item.store not in replace and (held := store.holds()):
            full.append(f"{item.store} ({', '.join(f'{n}: {c}' for n, c in _few(held))})")
    if full:
        raise Failed(
            f"these stores are not empty, and a restore would replace what they hold:"
            f" {'; '.join(full)}",
            "name them: REPLACE=postgres,minio or REPLACE=all; `make backup` first keeps what they"
            " hold now",
        )


def _restore(
    restic: Restic,
    where: Mapping[str, str],
    item: Saved,
    store: Store,
    say: Callable[[str], None],
) -> Restored:
    began = time.monotonic()
    say(f"{item.store}: restoring {size(item.size)} …")

    def opened(name: str) -> AbstractContextManager[IO[bytes]]:
        if name not in where:
            raise Failed(
                f"{name} of this backup is no longer in the repository", "restore an earlier backup"
            )
        return restic.reading(where[name], name)

    streams = {
        stream.item: partial(opened, manifests.stream_name(item.store, stream.item))
        for stream in item.streams
    }
    try:
        holds = store.restore(streams, {stream.item: stream.facts for stream in item.streams})
    except Failed:
        raise
    except Exception as error:
        raise Failed(
            f"{item.store} could not be restored: {told(error)[:400]}",
            f"check the log of {item.store}, then run the same command again",
        ) from error
    seconds = time.monotonic() - began
    rate = size(item.size / max(seconds, 0.001))
    say(f"{item.store}: {sum(holds.values())} of {item.count} in {seconds:.1f} s ({rate}/s)")
    return Restored(
        store=item.store,
        size=item.size,
        saved=item.count,
        holds=sum(holds.values()),
        seconds=round(seconds, 2),
    )


def _reads(version: str, kind: str) -> tuple[int, ...]:
    """The part of a version that decides what it can read: Postgres reads dumps of its major
    version, others may change their format in a minor one.
    """
    parts = version.lstrip("v").split(".")[: 1 if kind == "postgres" else 2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def _few(held: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(held.items(), key=lambda pair: -pair[1])[:3]


def _age(started: datetime) -> str:
    minutes = int((datetime.now(UTC) - started).total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"
