"""Images: the source that a stack uses, and builds from packages."""

import functools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Container, Iterable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import docker
import httpx
from docker.errors import DockerException

from infra.configuration import NAMESPACE
from infra.images import BASE_TAG, IMAGES, VERSION_LABEL, local_tag
from infra.services.registry import definitions
from infra.versions import OFFICIAL, RECIPES, Recipe
from ops import console
from ops.build import debian, golang, schedule
from ops.build.schedule import Schedule
from ops.paths import cache
from ops.stacks.stack import Stack

_REACH_SECONDS = 3.0
_begun: list[threading.Thread] = []


def choose(stack: Stack) -> str:
    """The stack's image source: the configured one, otherwise chosen once, printed and stored."""
    named = stack.config().get(f"{NAMESPACE}:images")
    if isinstance(named, str):
        return named
    why = _registry_unreachable()
    if why is None:
        source = "registry"
        console.out.print("images: registry (official images by digest)")
    else:
        source = "packages"
        console.out.print(
            f"images: no registry is reachable ({why}); using packages: images are built here from"
            " distribution packages"
        )
    stack.set_images(source)
    console.out.print(
        f"images: stored as {NAMESPACE}:images in {stack.file.name}; it will not change by itself"
    )
    return source


def _registry_unreachable() -> str | None:
    # The first service's registry stands for all; the engine pulls, so an engine elsewhere may see
    # more.
    host = OFFICIAL["postgres"].repository.partition("/")[0]
    host = {"docker.io": "registry-1.docker.io"}.get(host, host)
    try:
        status = httpx.get(f"https://{host}/v2/", timeout=_REACH_SECONDS).status_code
    except httpx.HTTPError as error:
        return f"{host}: {type(error).__name__}"
    # A registry lets in or asks for a token; anything else is a proxy's word.
    return None if status in (200, 401) else f"{host}: status {status}"


def build_missing(
    wanted: Callable[[], Container[str]] = lambda: RECIPES,
    bases: Mapping[str, str] | None = None,
) -> list[str]:
    """Builds the missing images; returns the tags that were built.

    `wanted` names the recipes that are needed; it is asked only if any image is missing. `bases`
    maps recipes to the images that they are built on; all of them to our own, if not given.
    """
    while _begun:
        _begun.pop().join()
    on = dict.fromkeys(RECIPES, BASE_TAG) if bases is None else bases
    missing, packages = _missing({name: RECIPES[name] for name in on}, wanted, on)
    plan = Schedule(list(missing))
    plan.announce("images", "they are made from distribution packages and Go modules")

    def make(name: str) -> str:
        return build(
            name, missing[name], packages[name], functools.partial(plan.step, name), on[name]
        )

    compiled = [name for name in missing if RECIPES[name].go_tool]
    # A program takes every core while it is compiled; a package is waited for.
    with ThreadPoolExecutor(max_workers=1) as compiler, ThreadPoolExecutor(max_workers=2) as pool:
        futures = [(compiler if name in compiled else pool).submit(make, name) for name in missing]
        fetch_modules(compiled)
        return [future.result() for future in futures]


def begin(stack_file: Mapping[str, Any]) -> None:
    """Begins, beside the compiling of tools, what `build_missing` needs and what waits for the
    network: Debian, the images from its packages, and the sources of the others.

    What fails here is met again there, and told.
    """
    named = stack_file.get(f"{NAMESPACE}:images")
    if named == "packages" or (named is None and _registry_unreachable() is not None):
        # What is wrong in the file is told later, with every other key that is.
        groups = {item: stack_file.get(f"{NAMESPACE}:{item.group}") for item in definitions()}
        off = {
            item.image
            for item, group in groups.items()
            if isinstance(group, Mapping) and group.get("enabled") is False
        }
        thread = threading.Thread(target=_build_ahead, args=(RECIPES.keys() - off,), daemon=True)
        thread.start()
        _begun.append(thread)


def _build_ahead(names: Set[str]) -> None:
    compiled = [name for name in names if RECIPES[name].go_tool]
    fetching = threading.Thread(target=fetch_modules, args=(compiled,), daemon=True)
    fetching.start()
    try:
        recipes = {name: RECIPES[name] for name in names - {*compiled}}
        missing, packages = _missing(recipes, lambda: names, dict.fromkeys(recipes, BASE_TAG))
        with ThreadPoolExecutor(max_workers=2) as pool:
            for name, recipe in missing.items():
                pool.submit(build, name, recipe, packages[name])
    except (console.Failed, DockerException) as failed:
        console.out.print(f"images: {console.plain(str(failed))}; trying again later")
    fetching.join()


def fetch_modules(names: Iterable[str]) -> None:
    """Downloads the sources of recipes that are compiled."""
    for name in names:
        golang.fetch(IMAGES / RECIPES[name].folder)


def _missing(
    recipes: Mapping[str, Recipe], wanted: Callable[[], Container[str]], bases: Mapping[str, str]
) -> tuple[dict[str, Recipe], dict[str, dict[str, str]]]:
    """The recipes whose images are to be built, the longest first, and their packages."""
    client = docker.from_env()
    try:
        if BASE_TAG in bases.values():
            debian.ensure_base(client)
        missing = {
            name: recipe
            for name, recipe in recipes.items()
            if debian.outdated(client, local_tag(name, recipe, bases[name]), bases[name])
        }
        needed = wanted() if missing else ()
        missing = {
            name: missing[name] for name in schedule.longest_first(missing) if name in needed
        }
        return missing, debian.resolve(client, missing, bases) if missing else {}
    finally:
        client.close()


def build(
    name: str,
    recipe: Recipe,
    packages: Mapping[str, str],
    step: Callable[[str], AbstractContextManager[None]] = console.step,
    base: str = BASE_TAG,
) -> str:
    """Builds one image on `base`, with the versions of `packages` by build argument; returns its
    tag.
    """
    with step(f"images: building {name} {recipe.version}"):
        return _build(name, recipe, packages, base)


def _build(name: str, recipe: Recipe, packages: Mapping[str, str], base: str) -> str:
    tag = local_tag(name, recipe, base)
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        context = Path(scratch) / "context"
        shutil.copytree(IMAGES / recipe.folder, context)
        # Where a proxy re-signs traffic, its certificate is among the host's. The recipes use it
        # in a stage that is thrown away.
        certificates = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
        (context / "host-ca.crt").write_bytes(
            certificates.read_bytes() if certificates.exists() else b""
        )
        if recipe.go_tool:
            module = IMAGES / recipe.folder
            # A program of ours around a module's packages, or a module's own.
            program = recipe.go_tool if (module / "main.go").exists() else None
            built = golang.build(module, program, step=lambda _: nullcontext())
            shutil.copy2(built / recipe.go_tool, context / recipe.go_tool)
        arguments = {"BASE": base, **recipe.arguments, **packages}
        command = [
            "docker",
            "build",
            "--network",
            "host",
            "--tag",
            tag,
            "--label",
            "groundwork.image=packages",
        ]
        command += ["--label", f"{VERSION_LABEL}={debian.version_of(recipe, packages)}"]
        for key, value in arguments.items():
            command += ["--build-arg", f"{key}={value}"]
        for key in _proxies():
            # By name only: an address may hold a password, and Docker takes the value from the
            # environment.
            command += ["--build-arg", key]
        console.run(
            [*command, str(context)],
            env={**os.environ, **builder(), "DOCKER_CONTEXT": "default"},
            fix="check that Debian's packages are reachable and that there is disk space",
        )
    return tag


@functools.cache
def builder() -> Mapping[str, str]:
    """The variables of a `docker build`: BuildKit where the command line has its plugin, buildx;
    elsewhere the classic builder, which Docker has deprecated.
    """
    plugin = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    if plugin.returncode != 0:
        return {"DOCKER_BUILDKIT": "0"}
    # Attestations would make an index of each image, with a time in it.
    return {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def _proxies() -> list[str]:
    names = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return [name for name in names if os.environ.get(name)]
