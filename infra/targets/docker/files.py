"""Files on a Docker host: each service has its own volume for them, filled by a container that
never starts.

The provider places files through a container's root, which the engine refuses if that is read-only,
and it can change them only by replacing the container. So one container of the stack holds them
all, and each service mounts its own. If an engine can reload its files, it is told to after that
container is replaced.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import docker
import pulumi
from docker.errors import NotFound

from infra.identity import Identity
from infra.secret import Secret
from infra.spec import CONFIG_DIR, File, Platform, Service

_ROOT = "/files"


def by_volume(item: File) -> bool:
    """True if a file comes from a volume. Files elsewhere lie among an image's own and are placed
    by the provider.
    """
    return item.path.startswith(f"{CONFIG_DIR}/")


def mounted(service: Service) -> list[File]:
    """The files of a service that come from its volume, ordered by path."""
    return sorted(filter(by_volume, service.files), key=lambda item: item.path)


def volume(service: Service, key: Secret) -> str:
    """The volume of a service's files: a new one whenever a file changes that the service reads
    only at its start.

    `key` keeps the name from revealing anything about secret content.
    """
    content = [
        (item.path, item.mode, None if item.live else _plain(item.content))
        for item in mounted(service)
    ]
    stamp = hmac.new(
        key.reveal().encode(), json.dumps(content).encode(), hashlib.sha256
    ).hexdigest()[:10]
    return f"{service.name}-files-{stamp}"


def folder(service: Service) -> str:
    """The loader's mount point for a service's volume."""
    return f"{_ROOT}/{service.name}"


def loaded(service: Service, item: File) -> str:
    """A file's path in the loader."""
    return folder(service) + item.path.removeprefix(CONFIG_DIR)


def reload_hook(platform: Platform, identity: Identity, key: Secret) -> pulumi.ResourceHook:
    """Makes engines that can do so reload their files, once the loader has placed them."""
    reloads = [
        Reload(identity.name(service.name), identity.name(volume(service, key)), service.reload)
        for service in platform.services
        if service.reload
    ]

    def reload_files(_: pulumi.ResourceHookArgs) -> None:
        for line in reload(reloads):
            pulumi.log.warn(line)

    return pulumi.ResourceHook("reload", reload_files)


@dataclass(frozen=True, slots=True)
class Reload:
    """A container, the volume that it must mount to have the placed files, and the command that
    reloads them.
    """

    container: str
    volume: str
    command: tuple[str, ...]


def reload(reloads: Iterable[Reload]) -> Iterator[str]:
    """Runs each command whose container is running; restarts a container where it fails, and yields
    a line about it.

    A container that mounts another volume is left alone: it is about to be replaced.
    """
    client = docker.from_env()
    try:
        for wanted in reloads:
            try:
                container = client.containers.get(wanted.container)
            except NotFound:
                continue
            mounts = {mount.get("Name") for mount in container.attrs["Mounts"]}
            if container.status != "running" or wanted.volume not in mounts:
                continue
            if container.exec_run(list(wanted.command)).exit_code != 0:
                container.restart()
                yield f"{wanted.container} could not reload its files and was restarted"
    finally:
        client.close()


def _plain(content: str | Secret) -> str:
    return content.reveal() if isinstance(content, Secret) else content
