"""Postgres to another major version: guided, and back if anything fails.

Each major version has a data directory of its own in the volume, so the old one stays as it was
until it is dropped by its number. What is in it reaches the new one through a backup.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from infra.consent import Consent
from infra.description import describe
from infra.services import postgres
from infra.targets.checks import version_tuple
from ops import console
from ops.commands import backups, health, upgrades
from ops.commands.postgres_server import Server
from ops.review import sources
from ops.sites.interface import Site
from ops.stacks import private
from ops.stacks.stack import Stack, outputs_of
from ops.stacks.state import read_record

_COMMAND = "make upgrade-postgres"
_PATIENCE, _PAUSE = 1800, 10

Deploy = Callable[[Stack], Any]


@dataclass(frozen=True, slots=True)
class Move:
    """A move that has begun: the version before with its image, the one after, the number of the
    backup (0 until it is made), whether it has been restored, and the images that other stores keep
    meanwhile.
    """

    image: str
    before: str
    after: str
    backup: int = 0
    restored: bool = False
    others: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def majors(self) -> tuple[int, int]:
        """The major versions before and after."""
        return version_tuple(self.before)[0], version_tuple(self.after)[0]


def refuse_half_way(stack: Stack) -> None:
    """Raises Failed if a move has begun and not ended."""
    if begun := _begun(stack):
        raise console.Failed(
            "Postgres is on its way from {} to {}".format(*begun.majors),
            f"`{_COMMAND}` continues it; `{_COMMAND} BACK=1` returns to the version before",
        )


def upgrade(stack: Stack, place: Site, deploy: Deploy) -> None:
    """Moves Postgres to the major version that this version of Groundwork deploys, or continues.

    Raises Failed if it does not succeed; until the data has arrived the version before then runs
    again, and has lost nothing.
    """
    move = _begun(stack)
    if move is None or not move.backup:
        services = stack.outputs()["services"]
        move = move or _planned(stack, services)
        _refused(stack, move)
        # Written first: what is killed from here on is continued, or taken back.
        _keep(stack, move)
        move = replace(move, backup=_save(stack, place, services, move))
        _keep(stack, move)
    before, after = move.majors
    if not move.restored:
        try:
            _fill(stack, place, move, deploy)
        except console.Failed as failed:
            _return(stack, place, move, deploy)
            raise console.Failed(
                f"Postgres stays at {before}, which has lost nothing: {failed.what}", failed.fix
            ) from None
        # From here on applications may have written, so that there is no way back.
        _keep(stack, replace(move, restored=True))
    deploy(stack)
    outputs = outputs_of(stack.export() or [])
    Server(place, outputs["services"]).let_applications_write()
    forget(stack)
    health.verify(stack, place, outputs)
    console.out.print(
        f"Postgres {after} holds what {before} held. Its old data directory is kept;"
        f" `{_COMMAND} DROP={before}` deletes it."
    )


def forget(stack: Stack) -> None:
    """Forgets a move that has ended, or whose data is gone."""
    _record(stack).unlink(missing_ok=True)


def back(stack: Stack, place: Site, deploy: Deploy) -> None:
    """Returns to the version before. Raises Failed if no move has begun or its data has arrived."""
    move = _begun(stack)
    if move is None:
        raise console.Failed("Postgres is not on its way to another version")
    if move.restored:
        raise console.Failed(
            f"the data has arrived in Postgres {move.majors[1]}, and applications may have written"
            " since",
            f"`{_COMMAND}` continues it",
        )
    _return(stack, place, move, deploy)
    console.out.print(f"Postgres stays at {move.majors[0]}, and accepts writes again.")


def drop(stack: Stack, place: Site, major: int) -> None:
    """Deletes the data directory of a major version. Raises Failed if it is in use or not there."""
    refuse_half_way(stack)
    services = stack.outputs()["services"]
    used = version_tuple(services[postgres.NAME]["version"])[0]
    if major >= used:
        raise console.Failed(
            f"the data directory of Postgres {major} is not an old one: {used} is deployed",
            f"{_COMMAND} DROP=<the major version before>",
        )
    server = Server(place, services)
    size = server.data_of(major)
    if size is None:
        raise console.Failed(f"there is no data directory of Postgres {major}")
    server.delete_data_of(major)
    console.out.print(f"deleted the data directory of Postgres {major} ({size} MiB)")


def _planned(stack: Stack, services: Mapping[str, Any]) -> Move:
    entry = services.get(postgres.NAME)
    new = describe(sources.file_of(stack.name), stack.name)["services"]
    described = new.get(postgres.NAME)
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
    if backups.SERVICE not in services or backups.SERVICE not in new:
        raise console.Failed(
            "the data is moved by a backup, and this stack makes none",
            "set groundwork:backup.enabled to true, then run `make up` with the version before",
        )
    # Other stores do not move along: a way back would be none for them.
    moving = upgrades.moves(services, new).keys() - {postgres.NAME}
    return Move(
        entry["image"],
        entry["version"],
        described["version"],
        others=upgrades.kept(services, moving),
    )


def _refused(stack: Stack, move: Move) -> None:
    """Raises Failed if the program would refuse the deploy, before anything is changed for it."""
    done = stack.allowing(_allowed(move)).pulumi("preview", "--stack", stack.name)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()[-20:]
        raise console.Failed(
            "the deploy would be refused; nothing was changed:\n    " + "\n    ".join(lines),
            f"correct the keys that are named, then run `{_COMMAND}`",
        )


def _allowed(move: Move) -> Consent:
    return Consent(majors=frozenset({postgres.NAME}), previous=move.others)


def _save(stack: Stack, place: Site, services: Mapping[str, Any], move: Move) -> int:
    """Saves all that the old version holds, which takes no more writes then; returns the number of
    the backup. If that fails it takes them again.
    """
    before, after = move.majors
    server = Server(place, services)
    for what in server.not_saved():
        console.err.print(f"warning: {what} is in no backup, so it is not moved", markup=False)
    console.out.print(
        f"[bold]Postgres {before} → {after}[/bold]: from now on it refuses writes; saving it …"
    )
    try:
        server.refuse_writes()
        backup = backups.save(stack, place, services)
        backups.check_of(place, services)
    except console.Failed:
        server.accept_writes()
        forget(stack)
        raise
    return backup


def _fill(stack: Stack, place: Site, move: Move, deploy: Deploy) -> None:
    """Deploys the new version, to which applications cannot write, and restores the backup there.
    What an interrupted restore has left is replaced.
    """
    console.out.print("[bold]Postgres {} → {}[/bold]: deploying …".format(*move.majors))
    deploy(stack.allowing(_allowed(move)))
    services = outputs_of(stack.export() or [])["services"]
    options = (f"--at={move.backup}", f"--only={postgres.NAME}", f"--replace={postgres.NAME}")
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            backups.restore_into(place, services, *options)
        except console.Failed as failed:
            # The schedule may have begun one; it ends by itself.
            if " is running" not in failed.what or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _return(stack: Stack, place: Site, move: Move, deploy: Deploy) -> None:
    """The version before runs again, on its own data directory, and takes writes; what has arrived
    in the new one's is deleted.
    """
    kept = {postgres.NAME: {"image": move.image, "version": move.before}, **move.others}

    def open_again(services: Mapping[str, Any]) -> None:
        server = Server(place, services)
        # The backup is of no use once the first write is accepted.
        _keep(stack, replace(move, backup=0))
        server.accept_writes()
        server.delete_data_of(move.majors[1])
        place.unrecord(stack, postgres.NAME, move.majors[1])
        forget(stack)

    try:
        upgrades.go_back(stack, place, kept, deploy, open_again)
    except console.Failed:
        services = outputs_of(stack.export() or []).get("services", {})
        # Whatever else failed: what runs is the version before, and it need not wait for that.
        if services.get(postgres.NAME, {}).get("version") == move.before and _begun(stack):
            open_again(services)
        raise


def _keep(stack: Stack, move: Move) -> None:
    private.write(_record(stack), json.dumps(asdict(move)))


def _begun(stack: Stack) -> Move | None:
    found = read_record(_record(stack))
    return Move(**found) if found else None


def _record(stack: Stack) -> Path:
    return private.folder() / f"{stack.name}.postgres-move.json"
