"""Debian as the images need it: a base image that stays fresh, and package versions that exist."""

import datetime as dt
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
from docker.errors import APIError, ContainerError, ImageNotFound

from infra.images import BASE_TAG, IMAGES
from infra.versions import DEBIAN_RELEASE, Recipe
from ops import console
from ops.build import apt
from ops.paths import cache

OLDEST_BASE = dt.timedelta(days=30)
"""Age at which the base image is rebuilt, so that it has Debian's security updates."""

_INCLUDED = "ca-certificates"
_PIN = re.compile(r'"([\w.+-]+|\$\{\w+\})=\$\{(\w+)\}"')


def ensure_base(client: docker.DockerClient) -> None:
    """Builds the base image if it is missing or older than `OLDEST_BASE`.

    If Debian's packages are unreachable, an old base stays in use, with a warning.
    """
    archive = _archive()
    age = _age(archive)
    if age is None or age > OLDEST_BASE:
        try:
            _make(archive)
        except console.Failed:
            if age is None:
                raise
            console.err.print(
                f"images: the base image is {age.days} days old and could not be refreshed; check"
                " that Debian's packages are reachable"
            )
    elif age.days:
        console.out.print(
            f"images: the base image is {age.days} days old; it is refreshed after"
            f" {OLDEST_BASE.days} days"
        )
    if _made(client, BASE_TAG) < archive.stat().st_mtime:
        console.run(
            ["docker", "import", archive, BASE_TAG], env={**os.environ, "DOCKER_CONTEXT": "default"}
        )


def outdated(client: docker.DockerClient, tag: str, base: str = BASE_TAG) -> bool:
    """True if an image is missing, or older than our base, if it is built on that."""
    made, archive = _made(client, tag), _archive()
    ours = base == BASE_TAG
    return made == 0 or (ours and archive.exists() and made < archive.stat().st_mtime)


def _archive() -> Path:
    return cache() / f"base-{DEBIAN_RELEASE}.tar"


def _age(archive: Path) -> dt.timedelta | None:
    return dt.timedelta(seconds=time.time() - archive.stat().st_mtime) if archive.exists() else None


def _made(client: docker.DockerClient, tag: str) -> float:
    """When an image was built, in seconds since 1970; 0 if there is none."""
    try:
        created = str(client.images.get(tag).attrs["Created"])
    except ImageNotFound:
        return 0
    return (
        dt.datetime.fromisoformat(created.partition(".")[0].rstrip("Z"))
        .replace(tzinfo=dt.UTC)
        .timestamp()
        + 1
    )


def _make(archive: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        _install_mmdebstrap()
    with (
        console.step(f"images: building the base image from Debian {DEBIAN_RELEASE}"),
        tempfile.TemporaryDirectory(dir=cache()) as scratch,
    ):
        fresh = Path(scratch) / "base.tar"
        console.run(
            ["mmdebstrap", "--variant=minbase", f"--include={_INCLUDED}", DEBIAN_RELEASE, fresh],
            fix="check that Debian's packages are reachable, then run make again",
        )
        fresh.rename(archive)


def _install_mmdebstrap() -> None:
    apt.install(
        ["mmdebstrap"],
        "images: installing mmdebstrap",
        missing="images from packages need mmdebstrap, which is not installed",
        fix="as root: apt-get install mmdebstrap; "
        "or set groundwork:images to registry or to a mirror",
    )


def resolve(
    client: docker.DockerClient,
    recipes: Mapping[str, Recipe],
    bases: Mapping[str, str] | None = None,
) -> dict[str, dict[str, str]]:
    """Recipe to its package versions by build argument: the pinned ones, or what Debian has in
    their place.

    Debian keeps one version of a package in each suite, so a security update removes the pinned
    one. The newest of the same upstream major is then used, and printed. Raises Failed if there is
    none.
    """
    on = {name: (bases or {}).get(name, BASE_TAG) for name in recipes}
    pins = {name: dict(_pins(recipe)) for name, recipe in recipes.items()}
    offered = {
        base: _offered(
            client,
            base,
            sorted({pin for name in pins if on[name] == base for pin in pins[name].values()}),
        )
        for base in dict.fromkeys(on.values())
    }
    chosen = {
        name: {
            argument: _choose(
                package,
                recipes[name].arguments[argument],
                offered[on[name]].get(package, []),
            )
            for argument, package in found.items()
        }
        for name, found in pins.items()
    }
    for name, found in chosen.items():
        for argument, version in found.items():
            if version != recipes[name].arguments[argument]:
                replaced = f"{pins[name][argument]} {recipes[name].arguments[argument]}"
                console.out.print(
                    f"images: {name}: Debian has replaced {replaced}; using {version}"
                )
    return chosen


def version_of(recipe: Recipe, chosen: Mapping[str, str]) -> str:
    """The version of the service in an image built with the `chosen` packages: the recipe's, or
    that of its replacement.
    """
    for argument, pinned in recipe.arguments.items():
        if argument in chosen and upstream(pinned) == recipe.version:
            return upstream(chosen[argument])
    return recipe.version


def upstream(version: str) -> str:
    """The upstream part of a Debian version: `8.0.2` of `5:8.0.2-3+deb13u3` (deb-version(7))."""
    found = re.match(r"(?:\d+:)?([\d.]*\d)", version)
    return found[1] if found else version


def _pins(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(build argument, package) of each package that a recipe's Dockerfile pins."""
    for package, argument in _PIN.findall((IMAGES / recipe.folder / "Dockerfile").read_text()):
        yield argument, recipe.arguments[package[2:-1]] if package.startswith("${") else package


def _offered(client: docker.DockerClient, base: str, packages: list[str]) -> dict[str, list[str]]:
    """Package to the versions that Debian offers to an image built here, newest first."""
    if not packages:
        return {}
    proxies = {
        name: os.environ[name]
        for name in ("http_proxy", "https_proxy", "no_proxy")
        if os.environ.get(name)
    }
    script = f"apt-get update -qq >&2 && apt-cache madison {' '.join(packages)}"
    try:
        with console.step("images: looking up Debian's package versions"):
            output = client.containers.run(
                base,
                ["sh", "-c", script],
                network_mode="host",
                environment=proxies,
                remove=True,
            )
    except (APIError, ContainerError) as error:
        raise console.Failed(
            f"Debian's package lists cannot be read: {error}",
            "check that Debian's packages are reachable, then run make again",
        ) from None
    found: dict[str, list[str]] = {}
    for line in output.decode().splitlines():
        package, version, _ = (part.strip() for part in line.split("|"))
        found.setdefault(package, []).append(version)
    return found


def _choose(package: str, pinned: str, offered: list[str]) -> str:
    if pinned in offered:
        return pinned
    major = upstream(pinned).split(".")[0]
    for version in offered:
        if upstream(version).split(".")[0] == major:
            return version
    raise console.Failed(
        f"Debian {DEBIAN_RELEASE} no longer has {package} {major} (it offers"
        f" {', '.join(offered) or 'none'})",
        "use a newer Groundwork, or set groundwork:images to registry or to a mirror",
    )
