"""The commands about data: backups, recovery, and moves between versions and stores."""

from pathlib import Path
from typing import Annotated

import typer

from ops.cli import command


@command
def upgrade_postgres(
    drop: Annotated[
        int | None,
        typer.Option(help="Delete the kept data directory of this major version instead."),
    ] = None,
    back: Annotated[
        bool, typer.Option("--back", help="Return to the version before, if it was interrupted.")
    ] = False,
) -> None:
    """Move Postgres, with its data, to the major version that this Groundwork deploys."""
    from ops.commands import deploy

    deploy.upgrade_postgres(drop=drop, back=back)


@command
def backup() -> None:
    """Back up every store now."""
    from ops.commands import backups as commands

    commands.back_up()


@command
def backups() -> None:
    """List the backups."""
    from ops.commands import backups as commands

    commands.listing()


@command
def backup_check() -> None:
    """Check the repositories of backups for damage."""
    from ops.commands import backups as commands

    commands.check()


@command
def restore(
    at: Annotated[
        str, typer.Option(help="A backup's number or id, a time (UTC), or `latest`.")
    ] = "latest",
    only: Annotated[str, typer.Option(help="Stores, separated by commas; all, if empty.")] = "",
    replace: Annotated[
        str, typer.Option(help="Stores whose present content may be replaced, or `all`.")
    ] = "",
    of: Annotated[
        str, typer.Option(help="Instance id of another stack in the same repository.")
    ] = "",
) -> None:
    """Restore a backup into the deployed stack."""
    from ops.commands import backups as commands

    commands.restore(at=at, only=_names(only), replace=_names(replace), of=of)


@command
def migrate_chroma(
    to: Annotated[str, typer.Option(help="`qdrant` or `pgvector`.")],
    source: Annotated[str, typer.Argument(help="ChromaDB's folder, or its server's URL.")] = "",
    only: Annotated[
        str, typer.Option(help="Collections, separated by commas; all, if empty.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the collections, change nothing.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Remove what earlier runs have moved.")
    ] = False,
) -> None:
    """Move ChromaDB's collections to Qdrant or pgvector."""
    from ops.commands import migrate

    migrate.run(source, to, only=_names(only), dry=dry_run, undo=undo)


@command
def drill() -> None:
    """Restore the last backup into a scratch stack beside this one, and report the time."""
    from ops.commands import drill as drills

    drills.run()


@command
def kit(
    path: Annotated[
        Path | None, typer.Argument(help="The file to write; one in your home, if not given.")
    ] = None,
) -> None:
    """Write the recovery kit: what opens the backups and makes the stack again."""
    from ops.commands import kit as kits

    kits.write(path)


@command
def recover(path: Annotated[Path, typer.Argument(help="The kit's file.")]) -> None:
    """Make a stack's file and passphrase again from its recovery kit."""
    from ops.commands import kit as kits

    kits.recover(path)


def _names(text: str) -> list[str]:
    return [name for name in text.replace(" ", "").split(",") if name]
