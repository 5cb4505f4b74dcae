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
    if settings.images == "packages":
        recipe = RECIPES.get(name)
        if recipe is None:
            return None
        return Image(reference=local_tag(name, recipe), version=recipe.version, recipe=name)
    official = OFFICIAL[name]
    reference = official.mirrored(settings.mirror) if settings.mirror else official.reference
    return Image(reference=reference, version=official.version)


def local_tag(name: str, recipe: Recipe) -> str:
    """`groundwork/<name>:<version>-<hash>`; the hash covers the recipe's files and arguments."""
    digest = hashlib.sha256()
    for path in sorted((IMAGES / recipe.folder).rglob("*")):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(repr((DEBIAN_RELEASE, sorted(recipe.arguments.items()))).encode())
    return f"groundwork/{name}:{recipe.version}-{digest.hexdigest()[:12]}"
