"""Files on a Docker host: each service has its own volume for them, filled by way of a container
that never starts.

The provider places files one by one through a container's root, which the engine refuses if that
is read-only. So one container of the stack mounts all those volumes, and a hook of the program
fills them with one request; each service mounts its own. If an engine can reload its files, it is
told to after that.
"""

import hashlib
import hmac
import io
import json
import tarfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import docker
import pulumi
from docker.errors import NotFound

from infra.identity import Identity
from infra.secret import Secret
from infra.spec import CONFIG_DIR, File, Platform, Service
from infra.targets.docker.naming import FILES_ROLE, FILLED_MARK

ROOT = "/files"
"""The folder of the loader below which it mounts the volumes."""
_DEPTH = 3  # parts of a service's own folder: the root, `files`, its name


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
    stamp = _stamp(service, key, live=False)
    return f"{service.name}-files-{stamp}"


def labels(services: Iterable[Service], key: Secret) -> dict[str, str]:
    """Labels of the loader that change with the content of files, so that it is made, and fills the
    volumes, again. They say whose files have changed.
    """
    return {f"files.{service.name}": _stamp(service, key, live=True) for service in services}


def _stamp(service: Service, key: Secret, *, live: bool) -> str:
    """A hash of a service's files that tells nothing about their content to those without the key;
    `live` includes the content of those that are read again.
    """
    content = [
        (
            (item.path, item.mode, item.live, _plain(item.content))
            if live
            else (item.path, item.mode, None if item.live else _plain(item.content))
        )
        for item in mounted(service)
    ]
    return hmac.new(
        key.reveal().encode(), json.dumps(content).encode(), hashlib.sha256
    ).hexdigest()[:10]


def folder(service: Service) -> str:
    """The loader's mount point for a service's volume."""
    return f"{ROOT}/{service.name}"


def archive(services: Iterable[Service]) -> bytes:
    """A tar of all files as the loader has them, owned by root."""
    content = {
        folder(service) + item.path.removeprefix(CONFIG_DIR): item
        for service in services
        for item in mounted(service)
    }
    below = {
        parent
        for path in content
        for parent in PurePosixPath(path).parents
        # A service's own folder is its volume's root.
        if len(parent.parts) > _DEPTH
    }
    return _packed(
        [
            *((str(parent), None, "0755") for parent in sorted(below)),
            *(
                (path, _plain(item.content).encode(), item.mode)
                for path, item in sorted(content.items())
            ),
        ]
    )


def _packed(entries: Iterable[tuple[str, bytes | None, str]]) -> bytes:
    """A tar of paths with their contents, None for folders, and modes."""
    packed, now = io.BytesIO(), int(time.time())
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content, mode in entries:
            entry = tarfile.TarInfo(path.removeprefix("/"))
            entry.mode, entry.mtime = int(mode, 8), now
            if content is None:
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content or b""))
    return packed.getvalue()


def fill_hook(platform: Platform, identity: Identity, key: Secret) -> pulumi.ResourceHook:
    """Fills the volumes once the loader is there, makes engines that can do so reload, and marks
    the loader.

    Pulumi records the loader whether this succeeds or not. One without a mark is made again.
    """
    services = [service for service in platform.services if mounted(service)]
    reloads = [
        Reload(identity.name(service.name), identity.name(volume(service, key)), service.reload)
        for service in services
        if service.reload
    ]
    loader = identity.name(FILES_ROLE)

    def fill(_: pulumi.ResourceHookArgs) -> None:
        place(loader, archive(services))
        for line in reload(reloads):
            pulumi.log.warn(line)
        place(loader, _packed([(FILLED_MARK, b"", "0444")]))

    return pulumi.ResourceHook("files", fill)


def place(loader: str, packed: bytes) -> None:
    """Unpacks an archive into the loader, and so into the volumes that it mounts. Raises
    DockerException.
    """
    client = docker.from_env()
    try:
        client.containers.get(loader).put_archive("/", packed)
    finally:
        client.close()


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
