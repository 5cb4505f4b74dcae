"""Up, preview, down and purge: thin around the Pulumi CLI, with what it cannot do itself."""

import sys
import time

import docker
from docker.models.volumes import Volume

from infra import services
from ops import console, drift, engine, health, images, keys, progress, recovery, report
from ops.stack import Stack, open_stack


def up() -> None:
    """Sets up, deploys, proves. Raises Failed if the platform is not healthy at the end."""
    total = time.monotonic()
    engine.ensure()
    stack = open_stack()
    resources = stack.initialise()
    if images.choose(stack) == "packages":
        # Bad settings are refused before minutes are spent on images, and only what is declared is built.
        images.build_missing(lambda: {str(service.image.recipe) for service in services.build(stack.settings()).services})
    recovery.recover(stack, resources)
    clock = time.monotonic()
    # What the engine shows is compared here, in a tenth of the time that a refresh takes; where
    # anything differs from the state, Pulumi refreshes.
    drifted = drift.find(resources)
    console.out.print(f"[bold]deploying `{stack.name}`[/bold] …" + (f" (differs from the state: {', '.join(drifted)})" if drifted else ""))
    with progress.watching(recovery.owner_labels(stack)) as watch:
        refresh = ["--refresh"] if drifted else []
        status = stack.show("up", "--yes", "--skip-preview", "--suppress-outputs", *refresh)
    if status != 0:
        _show_failed(stack)
        raise console.Failed("the deploy did not succeed; the messages are above", "correct what they name and run `make up` again: it goes on from here")
    deployed = time.monotonic() - clock
    outputs = stack.outputs()
    health.prove(stack, outputs, deep=not health.proven(stack, outputs))
    report.show(outputs, watch)
    console.out.print(f"Deployed in {deployed:.1f} s; set-up, deploy and proof together {time.monotonic() - total:.1f} s.")


def preview() -> None:
    """What `up` would change. Nothing is changed, built or stored."""
    engine.ensure()
    stack = open_stack()
    if stack.export() is None:
        raise console.Failed(f"the stack `{stack.name}` does not exist yet", f"make up STACK={stack.name}")
    stack.check_passphrase()
    if stack.show("preview", "--diff") != 0:
        raise console.Failed("the preview was refused; the reasons are above")


def down() -> None:
    """Removes containers and networks; volumes stay."""
    engine.ensure()
    stack = open_stack()
    resources = stack.export()
    if resources is None:
        raise console.Failed(f"the stack `{stack.name}` does not exist")
    recovery.recover(stack, resources)
    recovery.release_networks(stack)
    protected = ["--exclude-protected"] if any(resource.get("protect") for resource in resources) else []
    if stack.show("destroy", "--yes", "--skip-preview", "--refresh", *protected) != 0:
        raise console.Failed("not everything could be removed; the messages are above", "run `make down` again")
    kept = [volume.name for volume in _volumes(stack)]
    console.out.print(f"Data is kept in {len(kept)} volumes; `make up` uses it again, `make purge` deletes it.")


def purge(*, confirmation: str | None = None) -> None:
    """Deletes the stack with its data, after its name was given."""
    engine.ensure()
    stack = open_stack()
    volumes = _volumes(stack)
    console.out.print(f"This deletes the stack `{stack.name}` and its data for ever:")
    for volume in volumes:
        console.out.print(f"  volume {volume.name}")
    if confirmation is None:
        if not sys.stdin.isatty():
            raise console.Failed("purge asks for the stack's name, and there is no terminal to ask at", f"python -m ops purge --confirm {stack.name}")
        confirmation = console.out.input("Type the stack's name to go on: ").strip()
    if confirmation != stack.name:
        raise console.Failed(f"`{confirmation}` is not `{stack.name}`; nothing was deleted")
    resources = stack.export()
    if resources is not None:
        recovery.recover(stack, resources)
        recovery.release_networks(stack)
        if any(resource.get("protect") for resource in resources):
            stack.ask("state", "unprotect", "--all", "--yes", "--stack", stack.name)
        if stack.show("destroy", "--yes", "--skip-preview", "--refresh") != 0:
            raise console.Failed("not everything could be removed; the messages are above", "run `make purge` again")
        stack.ask("stack", "rm", "--yes", "--preserve-config", stack.name)
    for volume in _volumes(stack):
        volume.remove()
    keys.forget(stack.name)
    console.out.print(f"`{stack.name}` and its data are deleted. Its settings stay in {stack.file.name}.")


def _volumes(stack: Stack) -> list[Volume]:
    client = docker.from_env()
    try:
        return list(client.volumes.list(filters=recovery.owner_filter(stack)))
    finally:
        client.close()


def _show_failed(stack: Stack) -> None:
    """The last words of this stack's containers that are not healthy: a job's error is only there."""
    client = docker.from_env()
    try:
        for container in client.containers.list(all=True, filters=recovery.owner_filter(stack)):
            state = container.attrs["State"]
            status = (state.get("Health") or {}).get("Status", "")
            if status in ("unhealthy", "starting") or state.get("Restarting") or not state.get("Running"):
                console.err.print(f"\n[bold]{container.name}[/bold] is {status or state.get('Status')}; its last lines:")
                for line in container.logs(tail=15).decode(errors="replace").splitlines():
                    console.err.print(f"    {line}", markup=False)
    finally:
        client.close()
