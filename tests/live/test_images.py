"""Images from packages, with Debian's own archive on the other side."""

from dataclasses import replace

import docker
import pytest

from infra.images import VERSION_LABEL
from infra.versions import RECIPES
from ops.build import debian, images


def test_a_pinned_version_that_is_gone_is_replaced_by_its_successor(
    engine: docker.DockerClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first run must not stop because a security update has taken a package's version away."""
    recipe = RECIPES["node-exporter"]
    gone = replace(
        recipe, version="1.0.0", arguments={**recipe.arguments, "PACKAGE_VERSION": "1.0.0-1"}
    )
    debian.ensure_base(engine)
    packages = debian.resolve(engine, {"node-exporter": gone})["node-exporter"]
    tag = images.build("node-exporter", gone, packages)
    try:
        assert "Debian has replaced prometheus-node-exporter 1.0.0-1; using" in " ".join(
            capsys.readouterr().out.split()
        )
        version = engine.images.get(tag).labels[VERSION_LABEL]
        shown = engine.containers.run(
            tag, ["--version"], remove=True, stdout=True, stderr=True
        ).decode()
        assert version == debian.upstream(packages["PACKAGE_VERSION"])
        assert f"version {version}" in shown
    finally:
        engine.images.remove(tag, force=True)
