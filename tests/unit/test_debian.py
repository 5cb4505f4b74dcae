"""What Debian offers in place of a pinned version, and how old the base image may get."""

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.versions import DEBIAN_RELEASE, RECIPES
from ops import console
from ops.build import debian

OFFERED = ["8.2.1-1", "5:8.0.5-1~deb13u1", "5:8.0.2-3+deb13u3"]


@pytest.mark.parametrize(
    ("version", "upstream"),
    [
        ("5:8.0.2-3+deb13u3", "8.0.2"),
        ("17.12-0+deb13u1", "17.12"),
        ("2.53.3+ds1-2", "2.53.3"),
        ("0.0~20250403-3+b3", "0.0"),
        ("1.9.0-1+b4", "1.9.0"),
    ],
)
def test_the_upstream_part_of_a_debian_version(version: str, upstream: str) -> None:
    assert debian.upstream(version) == upstream


@pytest.mark.parametrize(
    ("offered", "chosen", "version"),
    [
        (OFFERED, "5:8.0.2-3+deb13u3", "8.0.2"),
        (OFFERED[:2], "8.2.1-1", "8.2.1"),
        (["9.0.0-1", "5:8.0.9-1"], "5:8.0.9-1", "8.0.9"),
    ],
    ids=["the pinned one", "the newest of its major", "never another major"],
)
def test_the_version_taken_of_those_offered(
    offered: list[str], chosen: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "_offered", lambda *_: {"redis-server": offered})
    recipe = RECIPES["redis"]
    pinned = replace(recipe, arguments={"REDIS_VERSION": "5:8.0.2-3+deb13u3"}, version="8.0.2")
    found = debian.resolve(SimpleNamespace(), {"redis": pinned})["redis"]  # type: ignore[arg-type]
    assert found == {"REDIS_VERSION": chosen}
    assert debian.version_of(pinned, found) == version


def test_a_major_that_is_gone_is_refused_with_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store's next major is never taken by itself."""
    monkeypatch.setattr(debian, "_offered", lambda *_: {"redis-server": ["9.0.0-1"]})
    with pytest.raises(
        console.Failed, match=r"no longer has redis-server 8 \(it offers 9\.0\.0-1\)"
    ):
        debian.resolve(SimpleNamespace(), {"redis": RECIPES["redis"]})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RECIPES)
def test_every_pinned_version_is_one_that_is_looked_for(name: str) -> None:
    pinned = {key for key in RECIPES[name].arguments if key.endswith("_VERSION")}
    assert {argument for argument, _ in debian._pins(RECIPES[name])} == pinned


def test_a_service_that_comes_from_elsewhere_keeps_its_version() -> None:
    """LiteLLM's version is not that of the Python it runs on."""
    assert (
        debian.version_of(RECIPES["litellm"], {"PYTHON_VERSION": "3.13.9-1"})
        == RECIPES["litellm"].version
    )


class Images:
    """The engine's images, as far as they are asked for: a tag and when it was made."""

    def __init__(self, made: float) -> None:
        self._created = time.strftime("%Y-%m-%dT%H:%M:%S.0Z", time.gmtime(made))

    def get(self, _tag: str) -> Any:
        return SimpleNamespace(attrs={"Created": self._created})


@pytest.mark.parametrize(
    ("days", "refreshed"),
    [(None, True), (3, False), (31, True)],
    ids=["none yet", "fresh", "too old"],
)
def test_the_base_image_is_made_again_when_it_is_too_old(
    days: int | None,
    refreshed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive = tmp_path / f"base-{DEBIAN_RELEASE}.tar"
    then = time.time() - (days or 0) * 24 * 3600
    if days is not None:
        archive.touch()
        os.utime(archive, (then, then))
    commands: list[Any] = []
    monkeypatch.setattr(debian, "cache", lambda: tmp_path)
    monkeypatch.setattr(debian, "_make", lambda archive: archive.write_text("fresh"))
    monkeypatch.setattr(console, "run", lambda command, **_: commands.append(command))
    client: Any = SimpleNamespace(images=Images(then + 1))
    debian.ensure_base(client)
    assert bool(commands) == (refreshed and days is not None)
    assert (archive.read_text() == "fresh") == refreshed
    assert debian.outdated(client, "groundwork/redis:any") == (refreshed and days is not None)
    assert ("3 days old" in capsys.readouterr().out) == (days == 3)


def test_an_old_base_image_serves_where_debian_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / f"base-{DEBIAN_RELEASE}.tar"
    archive.touch()
    then = time.time() - 40 * 24 * 3600
    os.utime(archive, (then, then))

    def fail(archive: Path) -> None:
        raise console.Failed("no network", "plug it in")

    monkeypatch.setattr(debian, "cache", lambda: tmp_path)
    monkeypatch.setattr(debian, "_make", fail)
    client: Any = SimpleNamespace(images=Images(then + 1))
    debian.ensure_base(client)
    assert "40 days old and could not be refreshed" in " ".join(capsys.readouterr().err.split())
    assert not debian.outdated(client, "groundwork/redis:any")
