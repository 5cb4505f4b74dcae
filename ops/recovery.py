"""After an `up` that was killed: its lock, its plug-in processes, and what no state records."""

import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound

from infra.configuration import NAMESPACE
from infra.identity import PREFIX
from ops import console
from ops.paths import STATE
from ops.stack import Stack


def recover(stack: Stack, resources: Sequence[Mapping[str, Any]]) -> None:
    """Makes the next `up` possible; `resources` are what the state records. It touches only what is this stack's own, and only if nobody works on it."""
    if not unlock(stack):
        # Without an interrupted run nothing is unrecorded that is ours: another clone with this stack's
        # file and a state of its own may be at work.
        return
    removed = _remove_unrecorded(stack, {resource.get("id") for resource in resources})
    if removed:
        console.out.print(f"recovery: removed what an interrupted run had left unrecorded: {', '.join(removed)}")


def unlock(stack: Stack) -> bool:
    """Removes the lock and ends the plug-ins of a run that was killed; whether there was one. Raises Failed if somebody works on the stack."""
    if not stack.backend.local:
        # Who else works on a shared backend cannot be seen here, and what looks unrecorded may be
        # somebody's deploy at this moment.
        return False
    locks = list(_locks(stack))
    alive = [lock for lock in locks if _alive(lock)]
    if alive:
        raise console.Failed(f"another `pulumi` works on the stack `{stack.name}` ({_describe(alive[0])})", "wait for it to end, or stop it")
    if not locks:
        return False
    _end_orphans()
    stack.ask("cancel", "--yes", "--stack", stack.name)
    console.out.print("recovery: the last run was interrupted; its lock is removed")
    return True


def _locks(stack: Stack) -> Iterator[Path]:
    folder = STATE / "state" / ".pulumi" / "locks"
    for path in folder.rglob("*.json") if folder.is_dir() else ():
        if path.parent.name == stack.name:
            yield path


def _read(lock: Path) -> dict[str, object]:
    try:
        found: dict[str, object] = json.loads(lock.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _describe(lock: Path) -> str:
    held = _read(lock)
    return f"process {held.get('pid')} on {held.get('hostname')}"


def _alive(lock: Path) -> bool:
    held = _read(lock)
    pid = held.get("pid")
    if held.get("hostname") != socket.gethostname():
        return True
    # A process id is used again after a reboot, so the name is looked at too.
    return isinstance(pid, int) and _is_pulumi(pid)


def _end_orphans() -> None:
    """Ends plug-in processes of this tree's backend whose CLI is gone: they might still be changing things."""
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
    """Whether a process is a `pulumi` that still runs; one that ended and was not waited for does not."""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return False
    return before.partition("(")[2].startswith("pulumi") and after.split()[0] != "Z"


def owner_labels(stack: Stack) -> list[str]:
    """Labels that this stack of this instance carries, and nothing else does."""
    instance = stack.config().get(f"{NAMESPACE}:instance")
    if not isinstance(instance, str) or not instance:
        raise console.Failed(f"{stack.file.name} names no instance, so nothing can be told to be this stack's", "make up")
    return [f"{PREFIX}project=groundwork", f"{PREFIX}stack={stack.name}", f"{PREFIX}instance={instance}"]


def owner_filter(stack: Stack) -> dict[str, str | list[str] | bool]:
    """The same as a filter of the Docker API."""
    return {"label": owner_labels(stack)}


def _remove_unrecorded(stack: Stack, recorded: Set[Any]) -> list[str]:
    removed: list[str] = []
    client = docker.from_env()
    try:
        for container in client.containers.list(all=True, filters=owner_filter(stack), ignore_removed=True):
            if container.id not in recorded:
                removed.append(str(container.name))
                container.stop(timeout=30)
                container.remove(force=True, v=True)
        for network in client.networks.list(filters=owner_filter(stack)):
            if network.id not in recorded:
                removed.append(str(network.name))
                _remove_network(client, str(network.id))
    finally:
        client.close()
    return removed


def release_networks(stack: Stack) -> None:
    """Disconnects containers that are not this stack's from its networks, which could not be removed otherwise; says which."""
    client = docker.from_env()
    try:
        own = {container.id for container in client.containers.list(all=True, filters=owner_filter(stack), sparse=True)}
        for found in client.networks.list(filters=owner_filter(stack)):
            network = client.networks.get(str(found.id))
            for container_id, shown in (network.attrs.get("Containers") or {}).items():
                if container_id not in own:
                    network.disconnect(container_id, force=True)
                    console.out.print(f"network {network.name}: disconnected {shown['Name']}, which is not of this stack")
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
