"""Images: the source that a stack uses, and builds from packages."""

import os
import shutil
import tempfile
from collections.abc import Callable, Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import httpx

from infra.configuration import NAMESPACE
from infra.images import BASE_TAG, IMAGES, VERSION_LABEL, local_tag
from infra.versions import OFFICIAL, RECIPES, Recipe
from ops import console
from ops.build import debian, golang
from ops.paths import cache
from ops.stacks.stack import Stack

_REACH_SECONDS = 3.0
_LONGEST = ("loki", "minio", "litellm")


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


def build_missing(wanted: Callable[[], Container[str]] = lambda: RECIPES) -> list[str]:
    """Builds the missing images from packages; returns the tags that were built.

    `wanted` names the recipes that are needed; it is asked only if any image is missing.
    """
    client = docker.from_env()
    try:
        debian.ensure_base(client)
        missing = {
            name: recipe
            for name, recipe in RECIPES.items()
            if debian.outdated(client, local_tag(name, recipe))
        }
        needed = wanted() if missing else ()
        missing = {name: recipe for name, recipe in missing.items() if name in needed}
        if not missing:
            return []
        packages = debian.resolve(client, missing)
    finally:
        client.close()
    # Two at a time: most of a build waits for the network. The longest go first.
    order = sorted(missing, key=lambda name: name not in _LONGEST)
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(lambda name: build(name, missing[name], packages[name]), order))


def build(name: str, recipe: Recipe, packages: Mapping[str, str]) -> str:
    """Builds one image with the versions of `packages` by build argument; returns its tag."""
    tag = local_tag(name, recipe)
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
            shutil.copy2(golang.build(module, program) / recipe.go_tool, context / recipe.go_tool)
        arguments = {"BASE": BASE_TAG, **recipe.arguments, **packages}
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
        with console.step(f"images: building {name} {recipe.version}"):
            # The builder that every engine has; BuildKit's plugin is a download on some
            # distributions.
            console.run(
                [*command, str(context)],
                env={**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_CONTEXT": "default"},
                fix="check that Debian's packages are reachable and that there is disk space",
            )
    return tag


def _proxies() -> list[str]:
    names = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return [name for name in names if os.environ.get(name)]
