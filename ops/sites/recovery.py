"""After an `up` that was killed: its lock, its plugin processes, and unrecorded resources."""

import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound

from infra.identity import PREFIX
from infra.secret import Keyring
from infra.targets.docker.naming import FILES_ROLE
from ops import console
from ops.paths import STATE
from ops.stacks import lock as lock_file
from ops.stacks.stack import Stack, instance_of
from ops.stacks.state import read_record


def recover(stack: Stack, resources: Sequence[Mapping[str, Any]]) -> None:
    """Makes the next `up` possible; `resources` are what the state records.

    Resources with this stack's labels that are not in its state block every deploy: an interrupted
    run left them, the state was lost, or another clone deployed them. Containers and networks are
    listed and removed; volumes never are.
    """
    interrupted = unlock(stack)
    if interrupted:
        _remove_loader(stack)
    if not stack.backend.local:
        # Who else works on a shared backend cannot be seen here, and what looks unrecorded may be
        # somebody's deploy at this moment.
        return
    recorded = {resource.get("id") for resource in resources}
    found = _orphaned(stack, recorded)
    if not found:
        return
    why = (
        "an interrupted run left them"
        if interrupted
        else "the state was lost, or another clone deployed them"
    )
    console.out.print(
        f"recovery: found resources with this stack's labels that are not in its state ({why}):"
    )
    for kind, name, _ in found:
        console.out.print(f"  {kind} {name}")
    _remove(found)
    console.out.print(f"recovery: removed all {len(found)}; volumes are kept")


def _remove_loader(stack: Stack) -> None:
    """Removes the loader: it is unknown whether engines have read the files placed last, so the
    next `up` places them again and reloads.
    """
    client = docker.from_env()
    try:
        for container in client.containers.list(
            all=True, filters={"label": [*owner_labels(stack), f"{PREFIX}role={FILES_ROLE}"]}
        ):
            container.remove(force=True)
    finally:
        client.close()


def unlock(stack: Stack) -> bool:
    """Removes the lock and ends the plugins of a run that was killed; returns whether there was
    one. Raises Failed if another run is working on the stack.
    """
    if not stack.backend.local:
        # Who else works on a shared backend cannot be seen here, and what looks unrecorded may be
        # somebody's deploy at this moment.
        return False
    locks = list(_locks(stack))
    alive = [lock for lock in locks if _alive(lock)]
    if alive:
        raise console.Failed(
            f"another `pulumi` is working on the stack `{stack.name}` ({_describe(alive[0])})",
            "wait for it to end, or stop it",
        )
    if not locks:
        return False
    _end_orphans()
    stack.ask("cancel", "--yes", "--stack", stack.name)
    console.out.print("recovery: the last run was interrupted; its lock has been removed")
    return True


def _locks(stack: Stack) -> Iterator[Path]:
    folder = STATE / "state" / ".pulumi" / "locks"
    for path in folder.rglob("*.json") if folder.is_dir() else ():
        if path.parent.name == stack.name:
            yield path


def _describe(lock: Path) -> str:
    held = read_record(lock)
    return f"process {held.get('pid')} on {held.get('hostname')}"


def _alive(lock: Path) -> bool:
    held = read_record(lock)
    pid = held.get("pid")
    host = held.get("hostname")
    if host != socket.gethostname() and not lock_file.was_here(str(host)):
        # Another machine's, unless this one was started since: the file is on its own disk.
        return lock.stat().st_mtime > lock_file.started_at()
    # A process id is used again after a reboot, so the name is looked at too.
    return isinstance(pid, int) and _is_pulumi(pid)


def _end_orphans() -> None:
    """Ends plugin processes of this tree's backend whose CLI is gone: they might still be making
    changes.
    """
    marker = f"PULUMI_BACKEND_URL={(STATE / 'state').as_uri()}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if not (folder / "comm").read_text().startswith("pulumi-"):
                continue
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if marker in (folder / "environ").read_bytes().split(b"\0") and not _is_pulumi(parent):
                os.kill(int(folder.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue


def _is_pulumi(pid: int) -> bool:
    """True if a process is a running `pulumi`; a zombie is not."""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return False
    return before.partition("(")[2].startswith("pulumi") and after.split()[0] != "Z"


def owner_labels(stack: Stack) -> list[str]:
    """The labels that only this instance's stack carries."""
    instance = instance_of(stack.name)
    if not instance:
        raise console.Failed(
            f"{stack.file.name} sets no instance, so this stack's resources cannot be identified",
            "make up",
        )
    return [
        f"{PREFIX}project=groundwork",
        f"{PREFIX}stack={stack.name}",
        f"{PREFIX}instance={instance}",
    ]


def owner_filter(stack: Stack) -> dict[str, str | list[str] | bool]:
    """The same as a filter of the Docker API."""
    return {"label": owner_labels(stack)}


def _orphaned(stack: Stack, recorded: Set[Any]) -> list[tuple[str, str, str]]:
    """(kind, name, id) of the stack's unrecorded containers and networks, if they were made with
    this master secret.
    """
    client = docker.from_env()
    try:
        found = [
            ("container", item["Names"][0].lstrip("/"), item["Id"], item.get("Labels") or {})
            for item in client.api.containers(all=True, filters=owner_filter(stack))
            if item["Id"] not in recorded
        ]
        found += [
            ("network", item["Name"], item["Id"], item.get("Labels") or {})
            for item in client.api.networks(filters=owner_filter(stack))
            if item["Id"] not in recorded
        ]
    finally:
        client.close()
    if not found:
        return []
    # Another master's are not this stack's to remove: the checks refuse them, and nothing is
    # changed.
    master = Keyring(stack.master()).fingerprint
    return [
        (kind, name, identity)
        for kind, name, identity, labels in found
        if labels.get(f"{PREFIX}master") == master
    ]


def _remove(found: Sequence[tuple[str, str, str]]) -> None:
    """Containers at the same time, since each may take its grace period to stop; then networks."""
    client = docker.from_env()
    try:
        containers = [identity for kind, _, identity in found if kind == "container"]
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(lambda identity: _remove_container(client, identity), containers))
        for kind, _, identity in found:
            if kind == "network":
                _remove_network(client, identity)
    finally:
        client.close()


def _remove_container(client: docker.DockerClient, container_id: str) -> None:
    try:
        container = client.containers.get(container_id)
        container.stop(timeout=30)
        container.remove(force=True, v=True)
    except NotFound:
        return


def release_networks(stack: Stack) -> None:
    """Disconnects and names containers that are not this stack's from its networks, which could not
    be removed otherwise.
    """
    client = docker.from_env()
    try:
        own = {
            container.id
            for container in client.containers.list(
                all=True, filters=owner_filter(stack), sparse=True
            )
        }
        for found in client.networks.list(filters=owner_filter(stack)):
            network = client.networks.get(str(found.id))
            for container_id, shown in (network.attrs.get("Containers") or {}).items():
                if container_id not in own:
                    network.disconnect(container_id, force=True)
                    console.out.print(
                        f"network {network.name}: disconnected {shown['Name']}, which is not part"
                        " of this stack"
                    )
    finally:
        client.close()


def _remove_network(client: docker.DockerClient, network_id: str) -> None:
    # Recorded containers on it are re-attached by the deploy that follows.
    try:
        network = client.networks.get(network_id)
        for container_id in network.attrs.get("Containers") or {}:
            network.disconnect(container_id, force=True)
        network.remove()
    except NotFound:
        return
