"""Files on a Docker host: each service's in a volume of its own, which a container that never
starts fills.

The provider places files by way of a container's root, which the engine refuses where that is
read-only; and it can change them only by replacing the container. So one container of the stack
holds them all, and services mount what is theirs. Where an engine can read its files again, that
container's replacement is followed by a reload.
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
    """True if a file comes by a volume. Those elsewhere are among an image's own, and placed there
    by the provider.
    """
    return item.path.startswith(f"{CONFIG_DIR}/")


def mounted(service: Service) -> list[File]:
    """The files of a service that come by its volume, in the order of their paths."""
    return sorted(filter(by_volume, service.files), key=lambda item: item.path)


def volume(service: Service, key: Secret) -> str:
    """The volume of a service's files: another one whenever what the service reads only at its
    start has changed.

    `key` makes the name tell nothing about secret content.
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
    """Makes engines that can do so read their files again, once the loader has placed them."""
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
    """A container, the volume that it must mount to have what was placed, and the command that
    makes it read that.
    """

    container: str
    volume: str
    command: tuple[str, ...]


def reload(reloads: Iterable[Reload]) -> Iterator[str]:
    """Runs each command where its container runs; restarts one that cannot, and yields a line
    about it.

    One that mounts another volume is left alone: it is about to be replaced.
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
                yield f"{wanted.container} did not read its files again and was restarted"
    finally:
        client.close()


def _plain(content: str | Secret) -> str:
    return content.reveal() if isinstance(content, Secret) else content
