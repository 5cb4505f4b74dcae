"""Backups: made, listed, checked and restored by the container `backup` of the stack."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from infra.units import format_size
from ops import console, program
from ops.sites import site
from ops.sites.interface import Site
from ops.stacks.stack import Stack

SERVICE = "backup"
"""The service that makes them."""
_PROGRAM = ("python", "-m", "groundwork_backup", "--json")


def back_up() -> None:
    """Backs up every store now. Raises Failed if one could not be saved."""
    stack, place, entry = opened()
    save(stack, place, {SERVICE: entry})


def save(stack: Stack, place: Site, services: Mapping[str, Any]) -> int:
    """The same for a stack that is open, with its deployed services; returns the number of the
    backup.
    """
    keep_stack(stack, place, services)
    manifest: dict[str, Any] = {}
    try:
        for message in _ask(place, services[SERVICE], "run"):
            manifest = message.get("manifest", manifest)
    finally:
        if manifest:
            _show_manifest(manifest)
    return int(manifest["sequence"])


def listing() -> None:
    """Lists the backups in the repository."""
    _, place, entry = opened()
    table = Table(title="Backups, the newest last", title_justify="left")
    for column in ("number", "backup", "made (UTC)", "age", "size", "entries", ""):
        table.add_column(column)
    for message in _ask(place, entry, "list"):
        item = message["backup"]
        began = datetime.fromisoformat(item["started"])
        table.add_row(
            str(item["sequence"]),
            item["run"],
            f"{began:%Y-%m-%d %H:%M:%S}",
            _age(began),
            _size(item["size"]),
            str(item["entries"]),
            _remark(item),
        )
    if table.row_count == 0:
        raise console.Failed("there is no backup yet", "`make backup` makes one")
    console.out.print(table)


def restore(*, at: str, only: Sequence[str], replace: Sequence[str], of: str) -> None:
    """Restores a backup. Raises Failed, before anything changes, if a store is not empty and not
    named in `replace`.
    """
    _, place, entry = opened()
    arguments = [f"--at={at}", f"--of={of}"]
    arguments += [f"--only={','.join(only)}", f"--replace={','.join(replace)}"]
    restore_into(place, {SERVICE: entry}, *arguments)
    console.out.print("`make health` verifies the platform with the restored data.")


def restore_into(place: Site, services: Mapping[str, Any], *options: str) -> None:
    """The same for deployed services, with the program's own options."""
    table = Table(title="Restored", title_justify="left")
    for column in ("store", "size", "saved", "holds now", "seconds", "per second"):
        table.add_column(column)
    for message in _ask(place, services[SERVICE], "restore", *options):
        if item := message.get("restored"):
            table.add_row(
                item["store"],
                _size(item["size"]),
                str(item["saved"]),
                str(item["holds"]),
                f"{item['seconds']:.1f}",
                _size(item["size"] / max(item["seconds"], 0.001)),
            )
    console.out.print(table)


def check() -> None:
    """Checks every repository for damage, reading all of it."""
    _, place, entry = opened()
    check_of(place, {SERVICE: entry}, "--subset=100%")


def check_of(place: Site, services: Mapping[str, Any], *options: str) -> None:
    """The same for deployed services; without options it reads as much as a scheduled check."""
    for _ in _ask(place, services[SERVICE], "check", *options):
        continue


def keep_stack(stack: Stack, place: Site, services: Mapping[str, Any]) -> None:
    """Leaves the stack's settings and state, whose secrets are encrypted, for the next backup; does
    nothing where there is none.
    """
    entry = services.get(SERVICE)
    if entry is None:
        return
    state = stack.ask("stack", "export", "--stack", stack.name)
    kept = {"files": {stack.file.name: stack.file.read_text(), "state.json": state}}
    _run(place, entry, "keep-stack", stdin=json.dumps(kept))


def keep_drill(place: Site, entry: Mapping[str, Any], *, good: bool, seconds: float) -> None:
    """Leaves the result of a drill for the metrics."""
    failed = () if good else ("--failed",)
    _run(place, entry, "keep-drill", f"--seconds={seconds:.1f}", *failed, stdin="")


def opened() -> tuple[Stack, Site, Mapping[str, Any]]:
    """The stack, its site, and its container for backups. Raises Failed if it has none."""
    stack = site.open_target()
    services = stack.outputs()["services"]
    if SERVICE not in services:
        raise console.Failed(
            f"the stack `{stack.name}` has no backup",
            "set groundwork:backup.enabled to true, then run `make up`; on Kubernetes with official"
            " images also groundwork:backup.image",
        )
    return stack, site.of(stack), services[SERVICE]


def _run(place: Site, entry: Mapping[str, Any], *arguments: str, stdin: str) -> None:
    command = [*place.inside(entry), *_PROGRAM, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise console.Failed(f"{arguments[0]}: {(done.stderr or done.stdout).strip()[-400:]}")


def _ask(place: Site, entry: Mapping[str, Any], *arguments: str) -> Iterator[dict[str, Any]]:
    """What the program answers. Raises Failed as it fails."""
    return program.ask(
        [*place.inside(entry), *_PROGRAM, *arguments],
        what="the backup container",
        fix="`make logs S=backup`, then the same command again",
    )


def _show_manifest(manifest: Mapping[str, Any]) -> None:
    table = Table(title=f"Backup {manifest['sequence']}: {manifest['run']}", title_justify="left")
    for column in ("store", "version", "size", "added", "entries", "seconds", ""):
        table.add_column(column)
    for store in manifest["stores"]:
        streams = store["streams"]
        counts = [stream["facts"].get("counts", {}) for stream in streams]
        table.add_row(
            store["store"],
            store["version"],
            _size(sum(stream["size"] for stream in streams)),
            _size(sum(stream["added"] for stream in streams)),
            str(sum(sum(item.values()) for item in counts)),
            f"{sum(stream['seconds'] for stream in streams):.1f}",
            "FAILED" if store["error"] else "",
        )
    console.out.print(table)


def _remark(item: Mapping[str, Any]) -> str:
    if item["failed"]:
        return f"without {', '.join(item['failed'])}"
    return f"only {', '.join(item['stores'])}" if item["partial"] else ""


def _size(count: float) -> str:
    rounded = int(count)
    if rounded < 1024:
        return f"{rounded}B"
    return format_size(rounded) if rounded % (1 << 20) == 0 else f"{count / (1 << 20):.1f}MiB"


def _age(began: datetime) -> str:
    minutes = int((datetime.now(UTC) - began).total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"
