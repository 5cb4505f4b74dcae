"""Postgres to another major version: guided, and back if anything fails.

Each major version has a data directory of its own in the volume, so the old one stays as it was
until it is dropped by its number. What is in it reaches the new one through a backup.
"""

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.consent import Consent
from infra.description import describe
from infra.services import postgres
from infra.spec import CONFIG_DIR
from infra.targets.checks import version_tuple
from ops import console
from ops.commands import backups, health, upgrades
from ops.review import sources
from ops.sites.interface import Site
from ops.stacks import private
from ops.stacks.stack import Stack, outputs_of
from ops.stacks.state import read_record

_COMMAND = "make upgrade-postgres"
_DATA = "/var/lib/postgresql"
_READ_ONLY = (
    "ALTER SYSTEM SET default_transaction_read_only = on",
    "SELECT pg_reload_conf()",
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
)
_WRITABLE = ("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")

Deploy = Callable[[Stack], Any]


@dataclass(frozen=True, slots=True)
class Move:
    """A move that has begun: the version before with its image, the one after, and the number of
    the backup that was made between.
    """

    image: str
    before: str
    after: str
    backup: int

    @property
    def majors(self) -> tuple[int, int]:
        """The major versions before and after."""
        return version_tuple(self.before)[0], version_tuple(self.after)[0]


def refuse_half_way(stack: Stack) -> None:
    """Raises Failed if a move has begun and not ended."""
    if begun := _begun(stack):
        raise console.Failed(
            "Postgres is on its way from {} to {}".format(*begun.majors),
            f"`{_COMMAND}` continues it",
        )


def upgrade(stack: Stack, place: Site, deploy: Deploy) -> None:
    """Moves Postgres to the major version that this version of Groundwork deploys, or continues.

    Raises Failed if it does not succeed; then the version before runs again, and has lost nothing.
    """
    outputs = stack.outputs()
    services = outputs["services"]
    move = _begun(stack)
    if move is None:
        move = _begin(stack, place, services)
        private.write(_record(stack), json.dumps(asdict(move)))
    before, after = move.majors
    console.out.print(f"[bold]Postgres {before} → {after}[/bold]: deploying {move.after} …")
    allowed = stack.allowing(Consent(majors=frozenset({postgres.NAME})))
    try:
        deploy(allowed)
        backups.restore_into(
            place,
            outputs_of(stack.export() or [])["services"],
            f"--at={move.backup}",
            f"--only={postgres.NAME}",
        )
    except console.Failed as failed:
        _return(stack, place, move, deploy)
        raise console.Failed(
            f"Postgres stays at {before}, which has lost nothing: {failed.what}", failed.fix
        ) from None
    # Only now may applications write.
    deploy(stack)
    _record(stack).unlink()
    health.verify(stack, place, outputs_of(stack.export() or []))
    console.out.print(
        f"Postgres {after} holds what {before} held. Its old data directory is kept;"
        f" `{_COMMAND} DROP={before}` deletes it."
    )


def drop(stack: Stack, place: Site, major: int) -> None:
    """Deletes the data directory of a major version. Raises Failed if it is in use or not there."""
    refuse_half_way(stack)
    entry = stack.outputs()["services"][postgres.NAME]
    used = version_tuple(entry["version"])[0]
    if major >= used:
        raise console.Failed(
            f"the data directory of Postgres {major} is not an old one: {used} is deployed",
            f"{_COMMAND} DROP=<the major version before>",
        )
    folder = f"{_DATA}/{major}"
    if _inside(place, entry, "test", "-d", folder).returncode != 0:
        raise console.Failed(f"there is no data directory of Postgres {major}")
    size = _inside(place, entry, "du", "-sm", folder).stdout.split()[0]
    done = _inside(place, entry, "rm", "-rf", folder)
    if done.returncode != 0:
        raise console.Failed(f"Postgres {major}: {done.stderr.strip()[-300:]}")
    console.out.print(f"deleted the data directory of Postgres {major} ({size} MiB)")


def _begin(stack: Stack, place: Site, services: Mapping[str, Any]) -> Move:
    """Saves all that the old version holds, which then takes no more writes."""
    entry = services.get(postgres.NAME)
    described = describe(sources.file_of(stack.name), stack.name)["services"].get(postgres.NAME)
    if entry is None or described is None:
        raise console.Failed(f"the stack `{stack.name}` deploys no Postgres")
    before, after = (version_tuple(item["version"])[0] for item in (entry, described))
    if after <= before:
        raise console.Failed(
            f"there is nothing to move: Postgres {before} is deployed, and this version of"
            f" Groundwork has {after}"
        )
    if described["replicas"] > 1:
        raise console.Failed(
            "several instances are moved by their operator",
            "see CloudNativePG's documentation, major upgrades",
        )
    if backups.SERVICE not in services:
        raise console.Failed(
            "the data is moved by a backup, and this stack makes none",
            "set groundwork:backup.enabled to true, then run `make up` with the version before",
        )
    console.out.print(
        f"[bold]Postgres {before} → {after}[/bold]: from now on it refuses writes; saving it …"
    )
    _tell(place, entry, *_READ_ONLY)
    try:
        backup = backups.save(stack, place, services)
        backups.check_of(place, services)
    except BaseException:
        _tell(place, entry, *_WRITABLE)
        raise
    return Move(entry["image"], entry["version"], described["version"], backup)


def _return(stack: Stack, place: Site, move: Move, deploy: Deploy) -> None:
    """The version before runs again, on its own data directory, and takes writes."""
    kept = {postgres.NAME: {"image": move.image, "version": move.before}}

    def open_again(services: Mapping[str, Any]) -> None:
        _tell(place, services[postgres.NAME], *_WRITABLE)

    upgrades.go_back(stack, place, kept, deploy, open_again)
    place.unrecord(stack, postgres.NAME, move.after)
    _record(stack).unlink()


def _tell(place: Site, entry: Mapping[str, Any], *statements: str) -> None:
    """Runs statements as the superuser. Raises Failed."""
    script = (
        f'PGPASSWORD=$(cat {CONFIG_DIR}/superuser-password) exec psql -h 127.0.0.1 -U postgres "$@"'
    )
    arguments = [part for statement in statements for part in ("-c", statement)]
    options = ("-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", "-d", "postgres")
    done = _inside(place, entry, "sh", "-c", script, "sh", *options, *arguments)
    if done.returncode != 0:
        raise console.Failed(f"Postgres: {done.stderr.strip()[-300:]}", "make logs S=postgres")


def _inside(
    place: Site, entry: Mapping[str, Any], *command: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*place.inside(entry), *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _begun(stack: Stack) -> Move | None:
    found = read_record(_record(stack))
    return Move(**found) if found else None


def _record(stack: Stack) -> Path:
    return private.folder() / f"{stack.name}.postgres-move.json"
