"""A Docker host as the commands see it."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import docker
from docker.errors import NotFound
from docker.models.containers import Container
from docker.models.volumes import Volume

from infra.identity import PREFIX
from infra.images import bases
from infra.services.platform import build as build_platform
from infra.targets.checks import version_tuple
from infra.targets.docker.naming import JOB_GAVE_UP, LEDGER_ROLE
from ops import console
from ops.build import images
from ops.sites import drift, recovery
from ops.sites.interface import Resources
from ops.stacks import progress
from ops.stacks.progress import Watch
from ops.stacks.stack import Stack

# Starts of a container in one deploy; the engine doubles the pause between them from 0.1 s on.
_ENDS = 6
# What the engine says of itself, as far as the program asks.
_ENGINE = ("DockerRootDir", "Driver", "ID", "MemTotal", "NCPU", "ServerVersion")


class DockerSite:
    """The engine that DOCKER_HOST or the default socket names."""

    def prepare(self, stack: Stack) -> None:
        """Chooses the image source once; builds what comes from packages."""
        source = images.choose(stack)
        # Bad settings are refused before minutes are spent on images, and only what is declared is
        # built.
        images.build_missing(
            lambda: {
                str(image.recipe) for _, image in build_platform(stack.settings()).images.values()
            },
            bases(source),
        )

    def recover(self, stack: Stack, resources: Resources) -> None:
        """Removes a dead run's lock and unrecorded containers."""
        recovery.recover(stack, resources)

    def repairs(self, resources: Resources) -> tuple[list[str], list[str]]:
        """Drift, found by one look at the engine in a tenth of a refresh's time; Pulumi refreshes
        only if there is any.
        """
        drifted = drift.find(resources)
        return drifted, ["--refresh"] if drifted else []

    def facts(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The engine, and what the services' images are on it now."""
        wanted = {service["image"] for service in outputs.get("services", {}).values()}
        client = docker.from_env()
        try:
            info = client.info()
            ids = {
                tag: image["Id"]
                for image in client.api.images()
                for tag in (*(image.get("RepoTags") or ()), *_by_digest(image))
                if tag in wanted
            }
        finally:
            client.close()
        return {"images": ids, **{key: info.get(key) for key in _ENGINE}} if wanted else {}

    def watching(self, stack: Stack) -> AbstractContextManager[Watch]:
        """Watches the engine's events, and ends the wait for what fails again and again."""
        return progress.watching(recovery.owner_labels(stack), _Patience().see)

    def show_failed(self, stack: Stack) -> None:
        """The last lines of this stack's containers that are not healthy: a job's error is only
        there.
        """
        client = docker.from_env()
        try:
            for container in client.containers.list(
                all=True, filters=recovery.owner_filter(stack), ignore_removed=True
            ):
                state = container.attrs["State"]
                status = (state.get("Health") or {}).get("Status", "")
                if container.labels.get("groundwork.role"):
                    continue
                if (
                    status in ("unhealthy", "starting")
                    or state.get("Restarting")
                    or not state.get("Running")
                ):
                    _show_last_lines(container, status or state.get("Status"))
        finally:
            client.close()

    def diagnosis(self, stack: Stack) -> Iterator[tuple[str, str]]:
        """Each container's state and last lines, and the engine's events of the last hour."""
        client = docker.from_env()
        try:
            owner = recovery.owner_filter(stack)
            found = client.containers.list(all=True, filters=owner, ignore_removed=True)
            states = {str(item.name): item.attrs["State"] for item in found}
            yield "states.json", json.dumps(states, indent=2)
            for item in found:
                yield f"{item.name}.log", item.logs(tail=500).decode(errors="replace")
            now = int(time.time())
            events = client.api.events(since=now - 3600, until=now, filters=owner, decode=True)
            yield "events.jsonl", "".join(json.dumps(event) + "\n" for event in events)
        finally:
            client.close()

    def identities(self, outputs: Mapping[str, Any]) -> dict[str, str]:
        """The ids of the containers."""
        return {name: shown.get("Id", "") for name, shown in _listed(outputs).items()}

    def states(self, outputs: Mapping[str, Any]) -> dict[str, str]:
        """The state of each container, as the engine reports it."""
        return {name: _state(shown) for name, shown in _listed(outputs).items()}

    def memory(self, outputs: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
        """From the engine's statistics."""
        identity = {key: value for key, value in outputs["identity"].items() if key != "prefix"}
        client = docker.from_env()
        try:
            labels = [f"{key}={value}" for key, value in identity.items()]
            for container in client.containers.list(filters={"label": labels}, ignore_removed=True):
                stats: dict[str, Any] = container.stats(stream=False)  # type: ignore[assignment]
                memory = stats["memory_stats"]
                details = memory.get("stats") or {}
                yield (
                    str(container.name),
                    memory["usage"]
                    - details.get("total_inactive_file", details.get("inactive_file", 0)),
                    memory["limit"],
                )
        finally:
            client.close()

    def capacity(self) -> Mapping[str, float]:
        """The engine's memory and cores, and the disk of its data, if that is this machine's."""
        client = docker.from_env()
        try:
            info = client.info()
        finally:
            client.close()
        found: dict[str, float] = {"memory": info["MemTotal"], "cpus": info["NCPU"]}
        with suppress(OSError):
            found["disk"] = shutil.disk_usage(info["DockerRootDir"]).total
        return found

    def release(self, stack: Stack) -> None:
        """Disconnects an application's containers from this stack's networks."""
        recovery.release_networks(stack)

    def data(self, stack: Stack) -> list[str]:
        """This stack's volumes."""
        return [f"volume {volume.name}" for volume in _volumes(stack)]

    def delete_data(self, stack: Stack) -> Iterator[str]:
        """Removes them."""
        for volume in _volumes(stack):
            volume.remove()
            yield f"volume {volume.name}"

    def unrecord(self, stack: Stack, service: str, major: int) -> None:
        """Removes the ledgers that say so; the last deploy has left a newer one."""
        client = docker.from_env()
        try:
            filters = {"label": [*recovery.owner_labels(stack), f"{PREFIX}role={LEDGER_ROLE}"]}
            for volume in client.volumes.list(filters=filters):
                opened = (volume.attrs.get("Labels") or {}).get(f"{PREFIX}version.{service}", "")
                if version_tuple(opened)[:1] == (major,):
                    volume.remove()
        finally:
            client.close()

    def inside(self, entry: Mapping[str, Any]) -> Sequence[str]:
        """`docker exec`."""
        return ("docker", "exec", "--interactive", entry["container"])

    def follow(self, service: str, entry: Mapping[str, Any]) -> None:
        """`docker logs`."""
        subprocess.run(
            ["docker", "logs", "--follow", "--tail", "200", entry["container"]], check=False
        )


class _Patience:
    """Ends the wait for a job that has given up, and for a service of this deploy that ends
    whenever it starts.
    """

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}

    def see(self, event: Mapping[str, Any]) -> None:
        """Takes note of an event of the engine."""
        container, action = event["Actor"]["ID"], event["Action"]
        if action == "create":
            self._ends[container] = 0
        elif action.startswith("health_status: healthy"):
            self._ends.pop(container, None)
        elif action == "die":
            status = int(event["Actor"]["Attributes"]["exitCode"])
            if container in self._ends:
                self._ends[container] += 1
            if status == JOB_GAVE_UP or self._ends.get(container) == _ENDS:
                _end_wait(container)


def _end_wait(container_id: str) -> None:
    """Removes a container that failed several times in a row, after showing why: the provider would
    wait for the rest of its minutes, and fails at once without the container.
    """
    client = docker.from_env()
    try:
        container = client.containers.get(container_id)
        _show_last_lines(container, "failing again and again")
        container.remove(force=True, v=True)
    except NotFound:
        return
    finally:
        client.close()


def _show_last_lines(container: Container, state: str) -> None:
    console.err.print(f"\n[bold]{container.name}[/bold] is {state}; its last lines:")
    for line in container.logs(tail=15).decode(errors="replace").splitlines():
        console.err.print(f"    {line}", markup=False)


def _by_digest(image: Mapping[str, Any]) -> Iterator[str]:
    """The references by tag and digest, as services name them."""
    for tag in image.get("RepoTags") or ():
        for digest in image.get("RepoDigests") or ():
            yield f"{tag}@{digest.rpartition('@')[2]}"


def _listed(outputs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    client = docker.from_env()
    try:
        shown = {
            str(item["Names"][0]).lstrip("/"): item
            for item in client.api.containers(all=True)
            if item.get("Names")
        }
    finally:
        client.close()
    return {
        name: shown.get(service["container"], {}) for name, service in outputs["services"].items()
    }


def _state(shown: Mapping[str, Any]) -> str:
    # The list says it in a sentence, such as `Up 3 minutes (healthy)`.
    if not shown:
        return "missing"
    if shown["State"] != "running":
        return str(shown["State"])
    health = (
        str(shown["Status"]).rpartition("(")[2].rstrip(")") if "(" in shown["Status"] else "running"
    )
    return health.removeprefix("health: ")


def _volumes(stack: Stack) -> list[Volume]:
    client = docker.from_env()
    try:
        return list(client.volumes.list(filters=recovery.owner_filter(stack)))
    finally:
        client.close()
