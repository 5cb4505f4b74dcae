"""Chooses each service's image for the stack's image source."""

import hashlib
from pathlib import Path

from infra.settings import Settings
from infra.spec import Image
from infra.versions import DEBIAN_RELEASE, OFFICIAL, RECIPES, Recipe

IMAGES = Path(__file__).resolve().parent.parent / "images"
VERSION_LABEL = "groundwork.version"
"""The label with the version inside an image built here."""

BASE_TAG = f"groundwork/base:{DEBIAN_RELEASE}"


def image(settings: Settings, name: str) -> Image | None:
    """The image of a service, or None if packages provide none."""
    recipe = RECIPES.get(name)
    if settings.images == "packages" or (recipe is not None and recipe.on is not None):
        if recipe is None:
            return None
        base = base_of(settings.images, settings.mirror, recipe)
        return Image(reference=local_tag(name, recipe, base), version=recipe.version, recipe=name)
    return Image(reference=_pulled(name, settings.mirror), version=OFFICIAL[name].version)


def bases(source: str) -> dict[str, str]:
    """The recipes that an image source needs, with the image that each is built on."""
    mirror = None if source in ("packages", "registry") else source
    return {
        name: base_of(source, mirror, recipe)
        for name, recipe in RECIPES.items()
        if source == "packages" or recipe.on is not None
    }


def base_of(source: str, mirror: str | None, recipe: Recipe) -> str:
    """The image that a recipe is built on."""
    if source == "packages" or recipe.on is None:
        return BASE_TAG
    return _pulled(recipe.on, mirror)


def _pulled(name: str, mirror: str | None) -> str:
    official = OFFICIAL[name]
    return official.mirrored(mirror) if mirror else official.reference


def local_tag(name: str, recipe: Recipe, base: str = BASE_TAG) -> str:
    """`groundwork/<name>:<version>-<hash>`; the hash covers the recipe's files and arguments, and
    what it is built on.
    """
    digest = hashlib.sha256()
    for path in sorted((IMAGES / recipe.folder).rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(repr((DEBIAN_RELEASE, sorted(recipe.arguments.items()))).encode())
    if base != BASE_TAG:
        digest.update(base.encode())
    return f"groundwork/{name}:{recipe.version}-{digest.hexdigest()[:12]}"
