"""Containers are measured on this engine, whoever stores its images: names, memory, processor,
network, restarts and every OOM kill; and what measures them can read nothing else.

It runs on today's engine and on the distribution's.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import grpc  # type: ignore[import-untyped]
import httpx
import pytest

from infra.targets.docker import engine_files
from tests.live.clone import SOURCE, Clone, copy_tree, free_offset
from tests.support.waiting import wait_until

# cAdvisor looks every ten seconds, Prometheus asks every five.
_SECONDS = 60
_KILLS = 3
_MEASURED = (
    "container_memory_working_set_bytes",
    "container_spec_memory_limit_bytes",
    "container_cpu_usage_seconds_total",
    "container_network_receive_bytes_total",
    "container_start_time_seconds",
    "container_oom_events_total",
)


@pytest.fixture(scope="module")
def measured(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clone]:
    """A stack of little more than what measures containers."""
    root = copy_tree(tmp_path_factory.mktemp("measured") / "clone")
    clone = Clone(root, engine, stack="measured")
    off = {"enabled": False}
    clone.configure(
        target="docker",
        images=SOURCE,
        portOffset=free_offset(),
        observability=off,
        exporters={"containers": {"enabled": True}},
        prometheus={"enabled": True, "scrapeInterval": "5s"},
        **dict.fromkeys(("postgres", "minio", "litellm", "backup", "qdrant", "clickhouse"), off),
    )
    try:
        clone.ops("up")
        yield clone
    finally:
        clone.remove_everything()


def _samples(clone: Clone, expression: str) -> dict[str, float]:
    """Service to the value of its samples, added up."""
    administration = clone.outputs()["administration"]
    answer = httpx.get(
        f"{administration['PROMETHEUS_URL']}/api/v1/query",
        params={"query": f"sum by (service) ({expression})"},
        auth=(administration["PROMETHEUS_USER"], administration["PROMETHEUS_PASSWORD"]),
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return {item["metric"]["service"]: float(item["value"][1]) for item in found}


@pytest.mark.parametrize("name", _MEASURED)
def test_every_container_is_measured(measured: Clone, name: str) -> None:
    """Each under its service's name, on any engine."""
    services = set(measured.outputs()["services"])
    wait_until(
        lambda: services - _samples(measured, f'{name}{{service!=""}}').keys(),
        until=lambda missing: not missing,
        timeout=_SECONDS,
        reason=f"each of {sorted(services)} has {name}",
    )


def test_the_memory_is_what_the_kernel_counts(measured: Clone) -> None:
    """A container's memory grows by what its processes take, as far as the engine sees it."""
    container = measured.docker.containers.get(measured.name("redis-queue"))
    before = _samples(measured, "container_memory_usage_bytes")["redis-queue"]
    filler = "/dev/shm/filler"  # noqa: S108 - inside the container
    script = f"dd if=/dev/zero of={filler} bs=1M count=40 2>/dev/null"
    assert container.exec_run(["sh", "-c", script]).exit_code == 0
    try:
        wait_until(
            lambda: _samples(measured, "container_memory_usage_bytes")["redis-queue"] - before,
            until=lambda more: 38 * 2**20 < more < 60 * 2**20,
            timeout=_SECONDS,
            reason="40 MiB more are counted",
        )
    finally:
        container.exec_run(["rm", filler])


def test_each_oom_kill_is_counted_once(measured: Clone) -> None:
    """The kernel kills a process of a container, not its first one: nothing restarts, and only the
    kernel's log says so.
    """
    expression = 'container_oom_events_total{service="redis-queue"}'
    container = measured.docker.containers.get(measured.name("redis-queue"))
    started = container.attrs["State"]["StartedAt"]
    before = _samples(measured, expression)["redis-queue"]
    for _ in range(_KILLS):
        # It holds its input in memory until that ends.
        done = container.exec_run(["sh", "-c", "head -c 1G /dev/zero | tail"])
        assert done.exit_code != 0
    wait_until(
        lambda: _samples(measured, expression)["redis-queue"] - before,
        until=lambda counted: counted >= _KILLS,
        timeout=_SECONDS,
        reason="all kills are counted",
    )
    assert _samples(measured, expression)["redis-queue"] - before == _KILLS
    container.reload()
    assert container.attrs["State"]["StartedAt"] == started


def test_a_restart_is_seen(measured: Clone) -> None:
    expression = 'container_start_time_seconds{service="redis-cache"}'
    before = _samples(measured, expression)["redis-cache"]
    measured.docker.containers.get(measured.name("redis-cache")).restart()
    wait_until(
        lambda: _samples(measured, f"max by (service) ({expression})").get("redis-cache", 0),
        until=lambda started: started > before,
        timeout=_SECONDS,
        reason="it has started again",
    )


@pytest.fixture(scope="module")
def filtered(measured: Clone) -> Iterator[Path]:
    """containerd's socket as cAdvisor sees it, on this host."""
    if engine_files.read(measured.docker.info()).containerd is None:
        pytest.skip("this engine stores images itself, so nobody asks its containerd")
    folder = measured.docker.volumes.get(measured.name("socket-proxy-sockets"))
    # The path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="gw") as short:
        link = Path(short) / "sockets"
        link.symlink_to(folder.attrs["Mountpoint"])
        yield link / "containerd.sock"


_CONTAINERS = "/containerd.services.containers.v1.Containers"


@pytest.mark.parametrize(
    ("method", "namespace", "allowed"),
    [
        (f"{_CONTAINERS}/Get", "moby", True),
        (f"{_CONTAINERS}/Get", "k8s.io", False),
        (f"{_CONTAINERS}/Get", "moby2", False),
        (f"{_CONTAINERS}/Get", None, False),
        (f"{_CONTAINERS}/List", "moby", False),
        (f"{_CONTAINERS}/Delete", "moby", False),
        (f"{_CONTAINERS}/Update", "moby", False),
        (f"{_CONTAINERS}/Get/../List", "moby", False),
        (f"/{_CONTAINERS}/Get", "moby", False),
        (f"{_CONTAINERS}/Get/", "moby", False),
        (f"{_CONTAINERS}/get", "moby", False),
        ("/containerd.services.tasks.v1.Tasks/Create", "moby", False),
        ("/containerd.services.tasks.v1.Tasks/Exec", "moby", False),
        ("/containerd.services.images.v1.Images/List", "moby", False),
        ("/containerd.services.content.v1.Content/Read", "moby", False),
        ("/containerd.services.snapshots.v1.Snapshots/Mounts", "moby", False),
        ("/containerd.services.leases.v1.Leases/List", "moby", False),
        ("/containerd.services.events.v1.Events/Subscribe", "moby", False),
        ("/containerd.services.namespaces.v1.Namespaces/List", "moby", False),
        ("/containerd.services.version.v1.Version/Version", "moby", False),
        ("/containerd.services.introspection.v1.Introspection/Plugins", "moby", False),
        ("/containerd.services.transfer.v1.Transfer/Transfer", "moby", False),
    ],
)
def test_containerd_gives_descriptions_and_nothing_else(
    measured: Clone, filtered: Path, method: str, namespace: str | None, allowed: bool
) -> None:
    """Its socket is as good as root on the host: the proxy answers itself, and containerd never
    hears of the rest.
    """
    identity = str(measured.docker.containers.get(measured.name("redis-cache")).id).encode()
    metadata = [("containerd-namespace", namespace)] if namespace else []
    with grpc.insecure_channel(f"unix:{filtered}") as channel:
        ask = channel.unary_unary(method, lambda body: body, lambda body: body)
        # Field 1 of a GetContainerRequest, a text of 64 characters.
        body = b"\x0a\x40" + identity
        if allowed:
            assert identity in ask(body, metadata=metadata, timeout=10)
            return
        with pytest.raises(grpc.RpcError) as refused:
            ask(body, metadata=metadata, timeout=10)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_only_what_measures_containers_is_given_that_socket(measured: Clone) -> None:
    """The engine's own is mounted in the proxy alone, and containerd's only where it is asked."""
    files = engine_files.read(measured.docker.info())
    mounted = {
        service: {mount["Source"] for mount in container.attrs["Mounts"]}
        for service, container in (
            (name, measured.docker.containers.get(measured.name(name)))
            for name in measured.outputs()["services"]
        )
    }
    sockets = {files.socket, *([files.containerd] if files.containerd else [])}
    assert {name for name, sources in mounted.items() if sources & sockets} == {"socket-proxy"}
    assert sockets <= mounted["socket-proxy"]
    assert not any(
        source.endswith("containerd.sock") for source in mounted["socket-proxy"] - sockets
    )
