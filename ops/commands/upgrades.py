"""Upgrades of stores: a backup first, so that there is a way back."""

from collections.abc import Mapping
from typing import Any

from infra.description import describe
from ops import console
from ops.commands import backups
from ops.review import sources
from ops.sites.interface import Site
from ops.stacks.stack import Stack


def back_up_before(stack: Stack, place: Site, services: Mapping[str, Any]) -> None:
    """Backs up and checks, if a deploy would change the version of a store that runs.

    `services` are those of the last deploy. Raises Failed, before anything changes, if that backup
    is not complete.
    """
    if not services:
        return
    moved = moves(services, describe(sources.file_of(stack.name), stack.name)["services"])
    if not moved:
        return
    told = ", ".join(f"{name} {before} → {after}" for name, (before, after) in moved.items())
    if backups.SERVICE not in services:
        console.err.print(
            f"warning: stores change their version ({told}), and this stack makes no backups"
        )
        return
    console.out.print(f"stores change their version ({told}): backing up first")
    try:
        backups.save(stack, place, services)
        backups.check_of(place, services)
    except console.Failed as failed:
        raise console.Failed(
            f"no version is changed without a complete backup: {failed.what}",
            f"{failed.fix}; or `make up` with groundwork:backup.enabled: false, if you do not need"
            " one",
        ) from None


def moves(
    services: Mapping[str, Any], described: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[str, str]]:
    """Stores whose image changes to one of another version: name to the versions before and after.
    `described` are the services of a description.
    """
    return {
        name: (services[name]["version"], after["version"])
        for name, after in described.items()
        if name in services.keys() - {backups.SERVICE}
        and after["volumes"]
        and all(services[name][key] != after[key] for key in ("image", "version"))
    }
