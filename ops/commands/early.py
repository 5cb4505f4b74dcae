"""Refusals before tools and images are built, which takes minutes. Whatever needs the engine's full
facts or the passphrase is refused by the program itself.
"""

import shutil
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import DockerException

from infra.configuration import NAMESPACE
from infra.description import describe, totals
from infra.refusal import PreflightError, Violation
from infra.units import GIB, format_size
from ops.paths import cache
from ops.review import sources
from ops.review.sources import Unavailable

_BUILDS = 22 * GIB
"""Sources, compiled packages, tools and images of a first run from packages (`du` after one)."""


def refuse(stack: str) -> None:
    """Raises PreflightError for what is wrong in a stack's file, and for a disk that is too
    small.
    """
    try:
        file = sources.file_of(stack)
    except Unavailable:
        # A new stack has no file yet, and what is wrong with one that is no YAML Pulumi says.
        return
    images = (file.get("config") or {}).get(f"{NAMESPACE}:images")
    found = describe(file, stack)
    if found["target"] != "docker":
        return
    if images is None:
        # It may become either; packages need less.
        config = {**(file.get("config") or {}), f"{NAMESPACE}:images": "packages"}
        found = describe({**file, "config": config}, stack)
    free = _free(stack)
    if free is not None:
        problems = disk(found, free, builds=images in (None, "packages") and not _built())
        if problems:
            raise PreflightError(problems)


def disk(found: Mapping[str, Any], free: int, *, builds: bool) -> list[Violation]:
    """The violation of a disk with less than what the volumes, and a first run's builds, take."""
    volumes = int(totals(found)["disk"])
    wanted = volumes + (_BUILDS if builds else 0)
    if wanted <= free:
        return []
    largest = max(found["services"].values(), key=lambda item: sum(item["volumes"].values()))
    more = f", and what is built once takes {format_size(_BUILDS)} more" if builds else ""
    return [
        Violation(
            key=f"{largest['key']}.disk",
            reason=(
                f"the volumes may take {format_size(volumes)}{more}; Docker's disk has"
                f" {format_size(free // GIB * GIB)} free"
            ),
            fix="lower the `disk` of services, or move Docker's data to a larger disk",
        )
    ]


def _free(stack: str) -> int | None:
    """Bytes that are free where the engine keeps its data; None if it is elsewhere, or has volumes
    of this stack already.
    """
    client = docker.from_env()
    try:
        label = f"groundwork.stack={stack}"
        if client.api.volumes(filters={"label": label})["Volumes"]:
            return None
        return shutil.disk_usage(client.info()["DockerRootDir"]).free
    except (DockerException, OSError):
        return None
    finally:
        client.close()


def _built() -> bool:
    """True if a first run has built its tools, and with them most of its images."""
    return any(cache().glob("built-*"))
