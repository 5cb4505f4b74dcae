"""Upgrades of stores: a backup first, and a way back if the new version does not become healthy."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from infra.consent import Consent
from infra.services import postgres
from infra.targets.checks import version_tuple
from ops import console
from ops.commands import backups, health
from ops.sites.interface import Site
from ops.stacks.stack import Stack, outputs_of

Moves = Mapping[str, tuple[str, str]]
"""Store to its versions before and after."""


def back_up_before(
    stack: Stack, place: Site, services: Mapping[str, Any], described: Mapping[str, Any]
) -> Moves:
    """Backs up and checks, if a deploy would change the version of a store that runs; returns which
    stores move.

    `services` are those of the last deploy, `described` those of the description of this one.
    Raises Failed, before anything changes, if that backup is not complete.
    """
    moved = moves(services, described)
    if not moved or any(_refused(name, *versions) for name, versions in moved.items()):
        return moved
    told = ", ".join(f"{name} {before} → {after}" for name, (before, after) in moved.items())
    if backups.SERVICE not in services:
        console.err.print(
            f"warning: stores change their version ({told}), and this stack makes no backups"
        )
        return moved
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
    return moved


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


def _refused(name: str, before: str, after: str) -> bool:
    """True if the program refuses it, so that no backup is needed."""
    had, wanted = version_tuple(before), version_tuple(after)
    return wanted < had or (name == postgres.NAME and wanted[:1] != had[:1])


def unhealthy(
    moved: Moves, was: Mapping[str, str], now: Mapping[str, str], states: Mapping[str, str]
) -> set[str]:
    """The stores that go back after a failed deploy, none if the failure is not theirs: those that
    have not become healthy in their new version, and those that have not left their old one.

    `was` and `now` are the identities of services before and after it.
    """
    changed = {name for name in moved if now.get(name) != was.get(name)}
    healthy = {name for name in changed if states.get(name) == "healthy"}
    return set(moved) - healthy if changed - healthy else set()


def go_back(
    stack: Stack,
    place: Site,
    kept: Mapping[str, Mapping[str, str]],
    deploy: Callable[[Stack], Any],
    then: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> None:
    """Deploys stores with the `image` and `version` of before, the rest as described, does what is
    to be done `then` with the services that run, and verifies the platform. Raises Failed if that
    does not succeed.
    """
    told = ", ".join(f"{name} {item['version']}" for name, item in sorted(kept.items()))
    majors = kept.keys() & {postgres.NAME}
    console.out.print(f"[bold]going back[/bold] to {told} …")
    try:
        deploy(stack.allowing(Consent(previous=kept, majors=frozenset(majors))))
        outputs = outputs_of(stack.export() or [])
        then(outputs["services"])
        health.verify(stack, place, outputs, deep=False)
    except console.Failed as failed:
        raise console.Failed(
            f"the version before ({told}) does not become healthy either: {failed.what}",
            f"{failed.fix}; then `make restore` with the backup that was made before",
        ) from None


def kept(services: Mapping[str, Any], names: Collection[str]) -> dict[str, dict[str, str]]:
    """Name to the image and the version that a deploy's `services` have."""
    return {name: {key: services[name][key] for key in ("image", "version")} for name in names}
