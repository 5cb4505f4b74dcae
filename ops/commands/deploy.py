"""Up, preview, down and purge: thin wrappers around the Pulumi CLI, plus what it cannot do."""

import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from infra.description import describe
from infra.identity import name_prefix
from ops import console
from ops.commands import backups, early, health, interruptions, kit, majors, summary, upgrades
from ops.review import held, sources
from ops.sites import site
from ops.sites.interface import Resources, Site
from ops.stacks import failures, key_backup, lock
from ops.stacks.progress import Watch
from ops.stacks.stack import Stack, instance_of, open_stack, outputs_of, stack_name

_UNCHANGED = "nothing has changed: same files, state, images and containers"
_DESTROY = ("destroy", "--yes", "--skip-preview", "--suppress-outputs", "--refresh")


def up(*, reviewed: Path | None = None, verify: bool = True) -> None:
    """Sets up, deploys, and verifies unless told not to. Raises Failed if the platform is not
    healthy at the end, and before anything changes if the deploy would cut off or lose what a
    review does not name.
    """
    with _held("make up"):
        _up(reviewed, verify=verify)


def _up(reviewed: Path | None, *, verify: bool) -> None:
    total = time.monotonic()
    site.ensure_engine()
    stack = open_stack(meanwhile=_begin)
    majors.refuse_half_way(stack)
    resources = stack.initialise()
    if reviewed is not None:
        held.hold(stack, outputs_of(resources), reviewed)
    place = site.of(stack)
    place.prepare(stack)
    place.recover(stack, resources)
    clock = time.monotonic()
    drifted, mending = place.repairs(resources)
    console.out.print(
        f"[bold]deploying `{stack.name}`[/bold] …"
        + (f" (differs from the state: {', '.join(drifted)})" if drifted else "")
    )
    before = outputs_of(resources)
    facts = place.facts(before)
    watch = None
    if not drifted and interruptions.unchanged(stack, resources, facts):
        console.out.print(_UNCHANGED)
        outputs = before
    else:
        watch = _change(stack, place, resources, mending, facts)
        resources = stack.export() or []
        outputs = outputs_of(resources)
        interruptions.remember(stack, watch, resources, place.facts(outputs))
    deployed = time.monotonic() - clock
    with ThreadPoolExecutor(1) as beside:
        # For the next backup; the checks need not wait for it.
        kept = watch and beside.submit(backups.keep_stack, stack, place, outputs["services"])
        if verify:
            health.verify(stack, place, outputs, deep=not health.verified(stack, place, outputs))
    if kept:
        kept.result()
    summary.show(place, outputs, watch)
    if note := kit.reminder(stack):
        console.out.print(f"  note: {note}", markup=False)
    console.out.print(
        f"Deployed in {deployed:.1f} s; set-up, deploy and checks took"
        f" {time.monotonic() - total:.1f} s in total."
    )
    kit.offer(stack)


def _change(
    stack: Stack,
    place: Site,
    resources: Resources,
    mending: list[str],
    facts: Mapping[str, Any],
) -> Watch:
    """Deploys, after telling what is interrupted. Stores that change their version are backed up
    before, and go back to the one before if they do not become healthy.
    """
    before = outputs_of(resources)
    after = describe(sources.file_of(stack.name), stack.name) if before else None
    if resources:
        prefix = name_prefix(stack.name, instance_of(stack.name))
        interruptions.announce(stack, prefix, resources, facts, after)
    moved = (
        upgrades.back_up_before(stack, place, before["services"], after["services"])
        if after
        else {}
    )
    was = place.identities(before) if moved else {}
    try:
        return _deploy(stack, place, mending)
    except console.Failed as failed:
        names = moved and upgrades.unhealthy(
            moved, was, place.identities(before), place.states(before)
        )
        if not names:
            raise
        upgrades.go_back(
            stack, place, upgrades.kept(before["services"], names), partial(_redeploy, place)
        )
        told = ", ".join(f"{name} {moved[name][1]}" for name in sorted(names))
        raise console.Failed(
            f"{told} did not become healthy; the version before runs again, with its data."
            f" {failed.what}",
            failed.fix,
        ) from None


def _redeploy(place: Site, stack: Stack) -> Watch:
    """Deploys over what the last deploy, which may have failed, has left."""
    _, mending = place.repairs(stack.export() or [])
    return _deploy(stack, place, mending)


def upgrade_postgres(*, drop: int | None, back: bool) -> None:
    """Moves Postgres to the major version of this version of Groundwork; or goes back while that
    has not ended; or drops an old data directory.
    """
    with _held("make upgrade-postgres"):
        stack = site.open_target()
        place = site.of(stack)
        if drop is not None:
            majors.drop(stack, place, drop)
            return
        resources = stack.export() or []
        place.prepare(stack)
        place.recover(stack, resources)
        act = majors.back if back else majors.upgrade
        act(stack, place, partial(_redeploy, place))


def _begin(declared: Mapping[str, Any]) -> None:
    """Before minutes are spent on tools: refuses what can be refused, begins what can be begun."""
    early.refuse(stack_name())
    site.begin(declared)


def _deploy(stack: Stack, place: Site, mending: list[str]) -> Watch:
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        with place.watching(stack) as watch:
            status = stack.show(
                "up", "--yes", "--skip-preview", "--suppress-outputs", *mending, log=events
            )
        if status != 0:
            place.show_failed(stack)
            prefix = name_prefix(stack.name, instance_of(stack.name))
            raise failures.explain(failures.read(events), prefix=prefix, again=_again(stack))
    return watch


def initialise() -> None:
    """Creates the stack and its keys without deploying anything."""
    with _held("ops init"):
        open_stack().initialise()


def verify() -> None:
    """Verifies the deployed stack again."""
    stack = site.open_target()
    place, outputs = site.of(stack), stack.outputs()
    health.verify(stack, place, outputs)
    summary.show(place, outputs)


def preview() -> None:
    """Shows what `up` would change. Nothing is changed, built or stored."""
    stack = site.open_target()
    resources = stack.export()
    if resources is None:
        raise console.Failed(
            f"the stack `{stack.name}` does not exist yet", f"make up STACK={stack.name}"
        )
    stack.check_passphrase()
    place = site.of(stack)
    drifted, _ = place.repairs(resources)
    facts = place.facts(outputs_of(resources))
    if not drifted and interruptions.unchanged(stack, resources, facts):
        console.out.print(f"{_UNCHANGED}; `{_again(stack)}` would change nothing")
        return
    if stack.show("preview", "--diff") != 0:
        raise console.Failed("the preview was refused; the reasons are above")


def diagnose(folder: Path) -> None:
    """Writes states, logs and events of what is deployed into a folder."""
    stack = site.open_target()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in site.of(stack).diagnosis(stack):
        (folder / name).write_text(text)
        console.out.print(f"diagnosis: {folder / name}", markup=False)


def down() -> None:
    """Removes everything but the data."""
    with _held("make down"):
        _down()


def _down() -> None:
    stack = site.open_target()
    resources = stack.export()
    place = site.of(stack)
    if resources is None:
        if instance_of(stack.name) is None:
            raise console.Failed(f"the stack `{stack.name}` does not exist")
        # Its state is gone; what runs is found by its labels, and the master secret is read with a
        # state that is new.
        resources = stack.initialise()
    place.recover(stack, resources)
    place.release(stack)
    protected = (
        ["--exclude-protected"] if any(resource.get("protect") for resource in resources) else []
    )
    if stack.show(*_DESTROY, *protected) != 0:
        raise console.Failed(
            "not everything could be removed; the messages are above", "run `make down` again"
        )
    kept = [name for name in place.data(stack) if name.startswith("volume")]
    console.out.print(
        f"Data is kept in {len(kept)} volumes; `make up` reuses it, `make purge` deletes it."
    )


def purge(*, confirmation: str | None = None) -> None:
    """Deletes the stack with its data, after confirmation by name."""
    with _held("make purge"):
        _purge(confirmation)


def _purge(confirmation: str | None) -> None:
    stack = site.open_target()
    place = site.of(stack)
    console.out.print(f"This deletes the stack `{stack.name}` and its data permanently:")
    for name in place.data(stack):
        console.out.print(f"  {name}")
    if confirmation is None:
        if not sys.stdin.isatty():
            raise console.Failed(
                "purge asks for the stack's name, but there is no terminal",
                f"python -m ops purge --confirm {stack.name}",
            )
        confirmation = console.out.input("Type the stack's name to continue: ").strip()
    if confirmation != stack.name:
        raise console.Failed(f"`{confirmation}` is not `{stack.name}`; nothing was deleted")
    resources = stack.export()
    if resources is None and instance_of(stack.name) is not None:
        resources = stack.initialise()
    if resources is not None:
        place.recover(stack, resources)
        place.release(stack)
        if any(resource.get("protect") for resource in resources):
            stack.ask("state", "unprotect", "--all", "--yes", "--stack", stack.name)
        if stack.show(*_DESTROY) != 0:
            raise console.Failed(
                "not everything could be removed; the messages are above", "run `make purge` again"
            )
        stack.ask("stack", "rm", "--yes", "--preserve-config", stack.name)
    for name in place.delete_data(stack):
        console.out.print(f"  deleted {name}")
    key_backup.forget(stack.name)
    majors.forget(stack)
    console.out.print(
        f"`{stack.name}` and its data have been deleted. Its settings remain in {stack.file.name}."
    )


def _held(command: str) -> AbstractContextManager[None]:
    """The stack that STACK names, for this command alone."""
    name = stack_name()
    return lock.held(name, instance_of(name), command)


def _again(stack: Stack) -> str:
    return "make up" if stack.name == "dev" else f"make up STACK={stack.name}"
