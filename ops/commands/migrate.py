"""ChromaDB to Qdrant or pgvector: a backup first, then collection by collection, verified."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table

from ops import console, program
from ops.build import environments
from ops.commands import backups
from ops.paths import ROOT, STATE
from ops.sites import site
from ops.stacks import private
from ops.stacks.state import read_record

_LOCK = ROOT / "requirements" / "chroma.txt"
_STORES = {"pgvector": "postgres", "qdrant": "qdrant"}
_EVERY_SECONDS = 2


def run(source: str, to: str, *, only: Sequence[str], dry: bool, undo: bool) -> None:
    """Moves collections, only lists them, or removes what earlier runs have moved. Raises Failed;
    what has arrived until then stays, and the next run continues.
    """
    if to not in _STORES:
        raise console.Failed(f"`{to}` is no target", f"TO={' or TO='.join(_STORES)}")
    if not source and not undo:
        raise console.Failed(
            "the source is missing", "FROM=<ChromaDB's folder, or its server's URL>"
        )
    if "://" not in source:
        source = str(Path(source).expanduser().resolve())
    job = {"source": source, "only": list(only), "target": to, "dry": dry, "undo": []}
    if dry:
        _show_found(_ask({**job, "url": ""}))
        return
    stack = site.open_target()
    outputs = stack.outputs()
    services = outputs["services"]
    if _STORES[to] not in services:
        raise console.Failed(
            f"the stack `{stack.name}` does not deploy {_STORES[to]}",
            f"set groundwork:{_STORES[to]}.enabled to true, then run `make up`",
        )
    if outputs["target"]["kind"] != "docker":
        console.out.print("the cluster's endpoints must be forwarded: `make forward` elsewhere")
    # Before the backup: what cannot be installed costs nobody one.
    python()
    journal = STATE / f"{stack.name}.chroma-{to}.json"
    if undo:
        with _access(to, outputs) as access:
            _undo(journal, only, lambda names: _ask({**job, "undo": names, **access}))
        return
    if backups.SERVICE in services:
        backups.save(stack, site.of(stack), services)
    else:
        console.err.print("warning: this stack makes no backups, so there is none to go back to")
    with _access(to, outputs) as access:
        _show_moved(journal, to, _ask({**job, **access}))


def _undo(
    journal: Path, only: Sequence[str], remove: Callable[[list[str]], Iterator[dict[str, Any]]]
) -> None:
    """Removes the collections that earlier runs have moved, or some of them."""
    moved = list(read_record(journal))
    names = [name for name in moved if not only or name in only]
    if not names:
        raise console.Failed(
            "no run has moved such a collection", f"one of {', '.join(moved) or 'none at all'}"
        )
    for message in remove(names):
        console.out.print(f"  removed {message['removed']}", markup=False)
    rest = {name: True for name in moved if name not in names}
    private.write(journal, json.dumps(rest))


@contextmanager
def _access(to: str, outputs: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The address and login of the target; with a stack whose stores require TLS, the file of their
    authority, which is there as long as this lasts.
    """
    environment = outputs["environment"]
    access = (
        {"url": outputs["administration"]["DATABASE_OWNER_URL"]}
        if to == "pgvector"
        else {"url": environment["QDRANT_URL"], "key": environment["QDRANT_API_KEY"]}
    )
    if not outputs.get("authority"):
        yield access
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(outputs["authority"])
        file.flush()
        yield {**access, "authority": file.name}


def python() -> Path:
    """The Python of an environment with ChromaDB's and the targets' clients, made once."""
    title = "migrate: installing ChromaDB and the clients (about 400 MB, once)"
    return environments.ensure(_LOCK, title)


def _ask(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What the program says. Raises Failed as it fails."""
    return program.ask(
        [str(python()), "-m", "ops.migrate"],
        what="the migration ended",
        fix="run the same command again: it continues from here",
        # It holds a password, so it is no argument.
        stdin=json.dumps(job),
        environment={**os.environ, "PYTHONPATH": str(ROOT), "ANONYMIZED_TELEMETRY": "False"},
    )


def _show_found(messages: Iterator[dict[str, Any]]) -> None:
    table = Table(title="Collections; nothing was changed", title_justify="left")
    for column in ("collection", "records", "vector length"):
        table.add_column(column)
    for message in messages:
        item = message["found"]
        table.add_row(item["name"], str(item["count"]), str(item["length"] or "-"))
    console.out.print(table)


def _show_moved(journal: Path, to: str, messages: Iterator[dict[str, Any]]) -> None:
    table = Table(title=f"Moved to {to}, every record compared", title_justify="left")
    for column in ("collection", "records", "written now", "seconds"):
        table.add_column(column)
    shown = time.monotonic()
    for message in messages:
        if item := message.get("moved"):
            table.add_row(
                item["name"], str(item["count"]), str(item["written"]), f"{item['seconds']:.1f}"
            )
            if item["written"]:
                # At once: what has arrived stays, whatever becomes of the next one.
                known = {**read_record(journal), item["name"]: True}
                private.write(journal, json.dumps(known))
        elif name := message.get("left"):
            console.out.print(f"  {name}: left out, since it is empty", markup=False)
        elif time.monotonic() - shown > _EVERY_SECONDS:
            item, shown = message["progress"], time.monotonic()
            console.out.print(f"  {item['name']}: {item['done']} of {item['of']}", markup=False)
    console.out.print(table)
    console.out.print(
        f"The source is unchanged. `make migrate-chroma TO={to} UNDO=1` removes what was moved; so"
        " does `make restore` with the backup above."
    )
