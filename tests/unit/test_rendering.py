"""Files that `make env` renders from a template of the user's."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ops import console
from ops.commands import rendering

OUTPUTS: dict[str, Any] = {
    "environment": {"DATABASE_URL": 'postgresql://app:p"w@h:1/app'},
    "applications": {"shop": {"environment": {"DATABASE_URL": "postgresql://shop:x@h:1/shop"}}},
    "files": [{"template": "mine.json.j2", "path": "config/app.json", "application": "app"}],
}
TEMPLATE = '{"url": {{ environment.DATABASE_URL | yaml }}, "net": {{ environment.NET | yaml }}}'


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of its own."""
    (tmp_path / ".groundwork").mkdir()
    monkeypatch.setattr(rendering, "ROOT", tmp_path)
    monkeypatch.setattr(rendering, "_RECORD", tmp_path / ".groundwork" / "rendered.json")
    return tmp_path


@pytest.fixture(autouse=True)
def template(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's template, which the renderer finds."""
    from infra import templating

    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "mine.json.j2").write_text(TEMPLATE)
    monkeypatch.setattr(rendering, "TEMPLATES", folder)
    monkeypatch.setattr(templating._environment.loader, "searchpath", [str(folder)])
    monkeypatch.setattr(templating._environment, "cache", None)
    return folder / "mine.json.j2"


def write(outputs: dict[str, Any] = OUTPUTS, *, force: bool = False) -> None:
    rendering.check(outputs, force=force)
    rendering.write(outputs, {"NET": "gw-dev-app"})


def test_a_file_is_rendered_for_its_owner_only(tree: Path) -> None:
    write()
    path = tree / "config" / "app.json"
    assert json.loads(path.read_text()) == {
        "url": OUTPUTS["environment"]["DATABASE_URL"],
        "net": "gw-dev-app",
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_rendered_from_the_named_applications_environment(tree: Path) -> None:
    write({**OUTPUTS, "files": [{**OUTPUTS["files"][0], "application": "shop"}]})
    assert "postgresql://shop:" in (tree / "config" / "app.json").read_text()


def test_it_is_rendered_again() -> None:
    write()
    write()


@pytest.mark.parametrize("before", [None, "rendered"], ids=["somebody else's", "changed since"])
def test_a_file_that_is_not_as_it_was_written_is_kept(tree: Path, before: str | None) -> None:
    path = tree / "config" / "app.json"
    if before:
        write()
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(console.Failed, match="nothing was changed"):
        write()
    assert path.read_text() == "mine"
    write(force=True)
    assert path.read_text() != "mine"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ environment.NOTHING | yaml }}", "Undefined"),
        ("{{ environment.DATABASE_URL }}", "no filter"),
        ("{% if %}", "mine.json.j2"),
    ],
    ids=["an unknown variable", "an expression without a filter", "no Jinja"],
)
def test_a_faulty_template_is_named(template: Path, text: str, why: str) -> None:
    template.write_text(text)
    with pytest.raises(console.Failed, match=why):
        write()


def test_a_file_that_git_would_keep_is_refused(tree: Path) -> None:
    """It holds secrets; once it is ignored, it is written."""
    subprocess.run(["git", "init", "--quiet", tree], check=True)
    with pytest.raises(console.Failed, match="git does not ignore it"):
        write()
    assert not (tree / "config").exists()
    (tree / ".gitignore").write_text("/config/app.json\n")
    write()


def test_a_missing_template_is_named(template: Path) -> None:
    template.unlink()
    with pytest.raises(console.Failed, match=r"templates/mine\.json\.j2 does not exist"):
        write()
