"""Rendered configuration, judged by the services' own checkers in the images that are deployed."""

from pathlib import Path
from typing import Any

import docker
import pytest

from infra.secret import Secret
from infra.spec import File, Service
from tests.live.clone import SOURCE, pull_missing
from tests.unit.conftest import make_platform


def _place(files: list[File], root: Path) -> dict[str, dict[str, str]]:
    """Writes files below a folder and returns the binds that show them at their own paths."""
    binds: dict[str, dict[str, str]] = {}
    for item in files:
        path = root / item.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item.content.reveal() if isinstance(item.content, Secret) else item.content)
        path.chmod(0o644)
        binds[str(path)] = {"bind": item.path, "mode": "ro"}
    return binds


class Rejected(Exception):
    """A checker's exit status was not zero; the text is what it printed."""


def _run(
    engine: docker.DockerClient,
    image: str,
    command: list[str],
    *,
    user: str,
    binds: dict[str, dict[str, str]],
) -> str:
    """Runs a command in an image and leaves nothing behind, not even an anonymous volume. Raises
    Rejected.
    """
    pull_missing(engine, image)
    container = engine.containers.create(
        image, command[1:], entrypoint=command[0], user=user, volumes=binds, network_mode="none"
    )
    try:
        container.start()
        status = container.wait()["StatusCode"]
        output = bytes(container.logs()).decode()
    finally:
        container.remove(force=True, v=True)
    if status:
        raise Rejected(output)
    return output


def _check(engine: docker.DockerClient, service: Service, root: Path, command: list[str]) -> str:
    """Runs a command in the service's image, as its user, over its files."""
    files = [*service.files, *(item for job in service.jobs for item in job.files)]
    return _run(
        engine, service.image.reference, command, user=service.user, binds=_place(files, root)
    )


# Buffers are pages of 8 KiB, a quarter of the memory.
SIZES: list[tuple[dict[str, Any], dict[str, int]]] = [
    ({"memory": "256MiB"}, {"shared_buffers": 8_192, "max_connections": 150}),
    ({"memory": "1GiB"}, {"shared_buffers": 32_768, "max_connections": 150}),
    (
        {"memory": "64GiB", "cpus": 16, "maxConnections": 1000},
        {"shared_buffers": 2_097_152, "max_connections": 1000},
    ),
]


@pytest.mark.parametrize(
    ("keys", "name", "wanted"),
    [
        pytest.param(keys, name, value, id=f"{keys['memory']}-{name}")
        for keys, values in SIZES
        for name, value in values.items()
    ],
)
def test_postgres_accepts_its_configuration(
    engine: docker.DockerClient, tmp_path: Path, keys: dict[str, Any], name: str, wanted: int
) -> None:
    """The server reads it and computes what was meant."""
    service = make_platform(images=SOURCE, postgres=keys).by_name("postgres")
    script = f"mkdir -p -m 0700 $PGDATA && postgres -C {name} {' '.join(service.command[1:])}"
    output = _check(engine, service, tmp_path, ["sh", "-c", script])
    assert str(wanted) in output.splitlines()


@pytest.mark.parametrize("name", ["redis-cache", "redis-queue"])
@pytest.mark.parametrize("memory", ["32MiB", "256MiB", "16GiB"])
def test_redis_accepts_its_configuration(
    engine: docker.DockerClient, tmp_path: Path, name: str, memory: str
) -> None:
    """The server starts on it and is still there when the time is up (status 124 is timeout's)."""
    part = name.removeprefix("redis-")
    service = make_platform(images=SOURCE, redis={part: {"memory": memory}}).by_name(name)
    script = f"timeout 1 redis-server {service.command[0]} --dir /tmp --port 7777; test $? = 124"
    assert "Ready to accept connections" in _check(engine, service, tmp_path, ["sh", "-c", script])
    with pytest.raises(Rejected):
        _check(
            engine,
            service,
            tmp_path,
            ["sh", "-c", script.replace("--port 7777", "--port 7777 --no-such-option 1")],
        )


TARGETS = [
    {"name": "shop", "address": "host.docker.internal:3000"},
    {"name": "api", "address": "api.example.org:443", "tls": True},
]


@pytest.mark.parametrize(
    "command",
    [
        ["promtool", "check", "config", "/etc/groundwork/prometheus.yml"],
        ["promtool", "check", "web-config", "/etc/groundwork/web.yml"],
    ],
    ids=lambda command: command[2],
)
def test_prometheus_accepts_its_configuration(
    engine: docker.DockerClient, tmp_path: Path, command: list[str]
) -> None:
    """promtool finds the configuration, the credential files and the web configuration valid."""
    service = make_platform(images=SOURCE, prometheus={"targets": TARGETS}).by_name("prometheus")
    assert "SUCCESS" in _check(engine, service, tmp_path, command)


def test_promtool_would_notice(engine: docker.DockerClient, tmp_path: Path) -> None:
    """A broken configuration is not found valid."""
    image = make_platform(images=SOURCE).by_name("prometheus").image.reference
    broken = tmp_path / "broken.yml"
    broken.write_text("scrape_configs: [{job_name: a}, {job_name: a}]\n")
    binds = {str(broken): {"bind": "/broken.yml", "mode": "ro"}}
    with pytest.raises(Rejected, match="multiple scrape configs"):
        _run(
            engine,
            image,
            ["promtool", "check", "config", "/broken.yml"],
            user="65534:0",
            binds=binds,
        )


JOBS = [
    (source, service.name)
    for source in ("registry", "packages")
    for service in make_platform(images=source).services
    if service.jobs
]


@pytest.mark.parametrize(("source", "name"), JOBS)
def test_job_scripts_parse(
    engine: docker.DockerClient, tmp_path: Path, name: str, source: str
) -> None:
    """The shell that runs a job finds its script well formed."""
    script = tmp_path / "job.sh"
    script.write_text(make_platform(images=source).by_name(name).jobs[0].script)
    shell = make_platform(images=SOURCE).by_name("redis-cache").image.reference
    binds = {str(script): {"bind": "/job.sh", "mode": "ro"}}
    _run(engine, shell, ["sh", "-n", "/job.sh"], user="65534:0", binds=binds)
    script.write_text("if true; then\n")
    with pytest.raises(Rejected):
        _run(engine, shell, ["sh", "-n", "/job.sh"], user="65534:0", binds=binds)
