"""The files that a hook has placed by way of a container that never starts: no state has them."""

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import docker

from infra.targets.docker import files
from ops.development.bench.description import Container, Description


def with_files(description: Description, read: Callable[[str], bytes] | None = None) -> Description:
    """The description whose file-holding containers have their files as `uploads`.

    `read` is given a container's name, and gives a tar of its files; by default the engine's.
    """
    read = read or _read
    return replace(
        description,
        containers=tuple(
            item if item.runs else _filled(item, read(item.name)) for item in description.containers
        ),
    )


def _filled(container: Container, packed: bytes) -> Container:
    return replace(container, arguments={**container.arguments, "uploads": list(_uploads(packed))})


def _uploads(packed: bytes) -> Iterator[dict[str, Any]]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            if content is not None:
                yield {
                    "file": f"/{entry.name}",
                    "content": content.read().decode(),
                    "permissions": f"{entry.mode & 0o777:04o}",
                }


def _read(container: str) -> bytes:
    client = docker.from_env()
    try:
        chunks, _ = client.containers.get(container).get_archive(files.ROOT)
        return b"".join(chunks)
    finally:
        client.close()
