"""Tools: pinned versions, checksums, unpacking, and when they are built again."""

import tarfile
from pathlib import Path

import pytest

from infra import versions
from ops.build import downloads, golang, toolchain
from ops.paths import ROOT


def test_archives_are_unpacked_by_old_and_new_pythons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 12's Python 3.11.2 has no extraction filters."""
    (tmp_path / "tool").write_text("#!")
    with tarfile.open(tmp_path / "good.tar", "w") as archive:
        archive.add(tmp_path / "tool", "pulumi/tool")
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.add(tmp_path / "tool", "../outside")
    monkeypatch.delattr(tarfile, "data_filter")
    with tarfile.open(tmp_path / "good.tar") as archive:
        downloads.extract(archive, tmp_path / "out")
    assert (tmp_path / "out" / "pulumi" / "tool").read_text() == "#!"
    with tarfile.open(tmp_path / "bad.tar") as archive, pytest.raises(tarfile.TarError):
        downloads.extract(archive, tmp_path / "out")


LOCK_FILE = (ROOT / "requirements" / "runtime.txt").read_text()


@pytest.mark.parametrize("target", toolchain.PLUGINS)
def test_a_plug_in_is_the_one_that_the_lock_file_names(target: str) -> None:
    assert f"pulumi-{target}=={toolchain.PLUGINS[target]} " in LOCK_FILE


def test_pulumi_is_the_one_that_the_lock_file_and_the_modules_name() -> None:
    assert f"pulumi=={toolchain.PULUMI} " in LOCK_FILE
    assert (
        f"github.com/pulumi/pulumi/pkg/v3 v{toolchain.PULUMI}"
        in (ROOT / "ops/build/modules/pulumi/go.mod").read_text()
    )


@pytest.mark.parametrize(
    "path",
    [
        path
        for folder in ("ops/build/modules", "tests/kubernetes/cluster/modules", "images")
        for path in sorted((ROOT / folder).rglob("go.mod"))
    ],
    ids=lambda path: path.parent.name,
)
def test_go_modules_have_their_checksums(path: Path) -> None:
    if "require" in path.read_text():
        assert (path.parent / "go.sum").read_text().count(" h1:") > 0
    assert "latest" not in path.read_text()


def test_a_changed_recipe_is_built_elsewhere(tmp_path: Path) -> None:
    """So that a cache never serves a tool of other sources."""
    (tmp_path / "go.mod").write_text("module one\n")
    before = golang.place(tmp_path)
    (tmp_path / "go.mod").write_text("module changed\n")
    assert golang.place(tmp_path).name != before.name


@pytest.mark.parametrize(
    "name", [name for name, recipe in versions.RECIPES.items() if recipe.go_tool]
)
def test_a_go_tool_of_a_recipe_has_modules(name: str) -> None:
    folder = ROOT / "images" / versions.RECIPES[name].folder
    assert "\ntool " in (folder / "go.mod").read_text() or (folder / "main.go").exists()
    assert (folder / "go.sum").exists()
