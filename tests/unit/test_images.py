"""Which image a service gets, and that nothing floats."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra import images, versions
from infra.images import IMAGES, local_tag
from infra.versions import RECIPES
from ops.build import images as build_images
from tests.unit.conftest import MIRROR, make_settings


@pytest.mark.parametrize("name", versions.OFFICIAL)
def test_official_images_are_pinned_by_tag_and_digest(name: str) -> None:
    official = versions.OFFICIAL[name]
    assert re.fullmatch(r"[0-9a-f]{64}", official.digest)
    assert official.tag not in ("latest", "main", "stable")
    assert re.search(r"\d", official.tag)


@pytest.mark.parametrize("name", versions.OFFICIAL)
def test_a_mirror_holds_the_same_digest_below_its_prefix(name: str) -> None:
    """One rule: the registry's host is replaced by the prefix, path, tag and digest stay."""
    official = versions.OFFICIAL[name]
    found = images.image(make_settings(images=MIRROR), name)
    assert found is not None
    prefix, kept = found.reference[: len(MIRROR)], found.reference[len(MIRROR) :]
    assert prefix == MIRROR
    assert re.fullmatch(r"[^/]+" + re.escape(kept), official.reference)


@pytest.mark.parametrize("name", versions.RECIPES)
def test_package_versions_are_exact(name: str) -> None:
    recipe = versions.RECIPES[name]
    assert (IMAGES / recipe.folder / "Dockerfile").is_file()
    assert {
        key: value
        for key, value in recipe.arguments.items()
        if key.endswith("_VERSION") and not re.fullmatch(r"[0-9][0-9A-Za-z.+:~-]*", value)
    } == {}


def test_every_service_has_packages_or_a_reason() -> None:
    everywhere = {name for name, recipe in versions.RECIPES.items() if recipe.on is not None}
    packaged = set(versions.RECIPES) - everywhere
    assert packaged | set(versions.NO_PACKAGE) == set(versions.OFFICIAL)
    assert not set(versions.RECIPES) & set(versions.NO_PACKAGE)


def test_a_tag_changes_with_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So an image is built again exactly when its inputs change."""
    recipe = versions.RECIPES["redis"]
    before = local_tag("redis", recipe)
    assert local_tag("redis", recipe) == before
    (tmp_path / recipe.folder).mkdir()
    (tmp_path / recipe.folder / "Dockerfile").write_text(
        (IMAGES / recipe.folder / "Dockerfile").read_text() + "# changed\n"
    )
    monkeypatch.setattr(images, "IMAGES", tmp_path)
    assert local_tag("redis", recipe) != before


@pytest.mark.parametrize(
    "path", sorted(IMAGES.rglob("Dockerfile")), ids=lambda path: path.parent.name
)
def test_dockerfiles_pin_what_they_install(path: Path) -> None:
    """The service's own packages come with `=version`, what stands beside them by Debian's own
    choice is a tool.
    """
    text = path.read_text()
    assert text.startswith("ARG BASE\nFROM ${BASE}")
    # A program that was built from Go modules is pinned by their versions.
    assert "=${" in text or (path.parent / "go.sum").exists()
    assert "latest" not in text


@pytest.mark.parametrize(
    "path",
    [
        *sorted(Path(images.IMAGES.parent).glob("requirements/*.txt")),
        IMAGES / "litellm" / "requirements.txt",
    ],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_lock_files_are_exact_and_hashed(path: Path) -> None:
    packages = re.findall(r"^([a-z0-9][\w.-]*(?:\[[^\]]*\])?)(==)?", path.read_text(), re.M)
    assert packages
    assert [name for name, exact in packages if not exact] == []
    assert path.read_text().count("--hash=sha256:") >= len(packages)


@pytest.mark.parametrize("pinned", [versions.OFFICIAL, versions.RECIPES], ids=["image", "packages"])
def test_litellm_is_not_one_of_the_versions_to_avoid(pinned: Mapping[str, Any]) -> None:
    """1.82.7 and 1.82.8 were malicious; before 1.103.1 stands GHSA-7hp6-4w63-5g45."""
    assert tuple(map(int, pinned["litellm"].version.split("."))) >= (1, 103, 1)


def test_litellm_is_installed_as_its_lock_file_says() -> None:
    assert "litellm==" in (IMAGES / "litellm" / "requirements.txt").read_text().replace(
        "[proxy]", ""
    )


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The recipes that were begun ahead, without building any."""
    begun: list[set[str]] = []
    monkeypatch.setattr(build_images, "_build_ahead", lambda names: begun.append(set(names)))
    monkeypatch.setattr(build_images, "_begun", [])
    monkeypatch.setattr(build_images, "_registry_unreachable", lambda: "no route")
    return begun


def test_images_are_begun_while_tools_are_compiled(ahead: list[set[str]]) -> None:
    build_images.begin({})
    build_images._begun[0].join()
    assert ahead == [set(RECIPES)]


def test_nothing_is_begun_where_images_come_from_a_registry(
    ahead: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_images.begin({"groundwork:images": "registry"})
    monkeypatch.setattr(build_images, "_registry_unreachable", lambda: None)
    build_images.begin({})
    assert build_images._begun == []


@pytest.mark.parametrize(
    ("group", "begun"),
    [({"enabled": False}, False), ({"enabled": "no"}, True), ("a word", True), (None, True)],
)
def test_what_is_off_is_not_begun_and_what_is_wrong_is_told_later(
    ahead: list[set[str]], group: object, begun: bool
) -> None:
    build_images.begin({"groundwork:images": "packages", "groundwork:minio": group})
    build_images._begun[0].join()
    assert ("minio" in ahead[0]) is begun
