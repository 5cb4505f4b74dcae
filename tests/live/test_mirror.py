"""A mirror: the same program pulls by digest from a real registry of the user's, beside another
stack.

The digests are those of images that are pushed here, so the copy of the tree carries versions of
its own; that one rule maps every official image to a mirror is a pure test.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from infra.images import BASE_TAG
from infra.versions import OFFICIAL, RECIPES
from ops.build import images
from ops.stacks import generated
from tests.live.clone import Clone, copy_tree, free_offset
from tests.support import lanes
from tests.support.waiting import wait_until

SERVICES = ("redis", "prometheus", "node-exporter")
# Debian's own configuration asks for a password; this registry lives on loopback for a minute.
_CONFIG = """\
version: 0.1
storage:
  filesystem: {rootdirectory: /var/lib/docker-registry}
http: {addr: ":5000"}
"""
_DOCKERFILE = """\
FROM {base}
RUN apt-get update \\
 && apt-get install -y --no-install-recommends docker-registry \\
 && rm -rf /var/lib/apt/lists/*
COPY config.yml /etc/docker/registry/config.yml
ENTRYPOINT ["docker-registry", "serve", "/etc/docker/registry/config.yml"]
"""
_TAG = "groundwork-test/registry"


@pytest.fixture(scope="module")
def registry(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A real registry on loopback: `127.0.0.1:port`."""
    context = tmp_path_factory.mktemp("registry")
    (context / "Dockerfile").write_text(_DOCKERFILE.format(base=BASE_TAG))
    (context / "config.yml").write_text(_CONFIG)
    command = ["docker", "build", "--quiet", "--network", "host", "--tag", _TAG, str(context)]
    subprocess.run(command, env={**os.environ, **images.builder()}, check=True, capture_output=True)
    running = engine.containers.run(
        _TAG,
        detach=True,
        ports={"5000/tcp": ("127.0.0.1", 0)},
        tmpfs={"/var/lib/docker-registry": ""},
    )
    try:
        running.reload()
        published = running.ports["5000/tcp"]
        assert published
        address = f"127.0.0.1:{published[0]['HostPort']}"
        wait_until(
            lambda: _answers(address),
            timeout=30,
            reason=lambda: f"the registry answers, which wrote:\n{running.logs().decode()}",
        )
        yield address
    finally:
        running.remove(force=True, v=True)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/v2/", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def push(engine: docker.DockerClient, registry: str, name: str, source: str) -> str:
    """Pushes a local image under an official image's path in the mirror, forgets it locally, and
    returns its digest.
    """
    official = OFFICIAL[name]
    path = f"{registry}/groundwork/{official.repository.partition('/')[2]}"
    engine.images.get(source).tag(path, official.tag)
    output = engine.images.push(path, official.tag)
    found = re.search(r"sha256:([0-9a-f]{64})", output)
    assert found, output
    engine.images.remove(f"{path}:{official.tag}")
    return found[1]


@pytest.fixture
def mirrored(
    engine: docker.DockerClient, registry: str, tmp_path: Path, deployed: Clone
) -> Iterator[Clone]:
    """A clone whose three services come from the mirror; the shared stack runs beside it."""
    from infra.images import local_tag

    clone = Clone(copy_tree(tmp_path / "clone"), engine, stack="mirror")
    versions = clone.root / "infra" / "versions.py"
    text = versions.read_text()
    for name in SERVICES:
        digest = push(engine, registry, name, local_tag(name, RECIPES[name]))
        assert OFFICIAL[name].digest in text
        text = text.replace(OFFICIAL[name].digest, digest)
    versions.write_text(text)
    off: dict[str, Any] = {"enabled": False}
    clone.configure(
        target="docker",
        instance=generated.instance_id(),
        images=f"{registry}/groundwork",
        portOffset=free_offset(),
        postgres=off,
        minio=off,
        backup=off,
        qdrant=off,
        clickhouse=off,
        litellm=off,
        grafana=off,
        alertmanager=off,
        loki=off,
        tempo=off,
        alloy=off,
        exporters={"redis": off, "postgres": off, "containers": off},
    )
    lanes.register(clone.instance)
    try:
        yield clone
    finally:
        clone.remove_everything()


def test_up_pulls_every_image_by_digest_from_the_mirror(
    mirrored: Clone, deployed: Clone, registry: str
) -> None:
    """It deploys, proves itself, is stable, and leaves the stack beside it alone."""
    before = deployed.containers()
    text = mirrored.ops("up").stdout
    assert "building" not in text
    services = {"redis-cache", "redis-queue", "prometheus", "node-exporter"}
    assert services | {"files"} == set(mirrored.containers())
    pulled = rf"{registry}/groundwork/(library|prom)/[a-z-]+:[^@]+@sha256:[0-9a-f]{{64}}"
    images = [service["image"] for service in mirrored.outputs()["services"].values()]
    assert [image for image in images if not re.fullmatch(pulled, image)] == []
    done = mirrored.pulumi(
        "up",
        "--yes",
        "--skip-preview",
        "--refresh",
        "--expect-no-changes",
        "--stack",
        mirrored.stack,
    )
    assert done.returncode == 0, done.stdout
    assert deployed.containers() == before
    mirrored.ops("purge", "--confirm", mirrored.stack)
    assert mirrored.containers() == {}
    assert deployed.containers() == before
