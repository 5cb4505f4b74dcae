"""What the Docker target declares, over all containers and image sources, recorded by Pulumi's
mocks.
"""

import asyncio
import contextlib
import io
import socket
import subprocess
import tarfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import pytest
from docker.errors import APIError, NotFound

from infra.secret import Secret
from infra.spec import CONFIG_DIR, File, Platform, Service
from infra.targets.docker import (
    arguments,
    engine_files,
    facts,
    files,
    jobs,
    readiness,
    resources,
)
from infra.targets.docker.engine_files import EngineFiles
from infra.targets.docker.facts import HostFacts
from tests.support.docker_mocks import CONTAINER, IMAGE, NETWORK, VOLUME, Recorder, declare
from tests.support.identity import IDENTITY
from tests.unit.conftest import IMAGE_SOURCES, make_platform, make_settings

# Pulumi's test decorator leaves its event loop open.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

Declared = tuple[Platform, Recorder]
PLATFORMS = {source: make_platform(images=source) for source in IMAGE_SOURCES}
SERVICES = [
    (source, service.name) for source, made in PLATFORMS.items() for service in made.services
]
JOBS = [
    (source, service.name, job.name)
    for source, made in PLATFORMS.items()
    for service in made.services
    for job in service.jobs
]
SIDECARS = [
    (source, service.name, sidecar.name)
    for source, made in PLATFORMS.items()
    for service in made.services
    for sidecar in service.sidecars
]
CONTAINERS = [*SERVICES, *((source, part) for source, _, part in (*JOBS, *SIDECARS))]


@cache
def _declared(source: str) -> Declared:
    return declare(source)


@pytest.fixture
def declared(source: str) -> Declared:
    """The default platform, declared with each image source."""
    return _declared(source)


@pytest.fixture
def service(source: str, name: str) -> Service:
    """One service of that platform."""
    return PLATFORMS[source].by_name(name)


@pytest.fixture
def inputs(declared: Declared, name: str) -> dict[str, Any]:
    """What the container of a service or a job is declared with."""
    return declared[1].of(CONTAINER)[IDENTITY.name(name)]


def test_every_service_job_and_sidecar_is_a_container(declared: Declared) -> None:
    platform, recorder = declared
    wanted = {
        IDENTITY.name(name)
        for service in platform.services
        for name in (service.name, *(helper.name for helper in service.helpers))
    }
    assert {resource: inputs["name"] for resource, inputs in recorder.of(CONTAINER).items()} == {
        name: name for name in wanted
    }


@pytest.mark.parametrize(("source", "name"), CONTAINERS, ids=str)
class TestEveryContainer:
    """Of each service, job and sidecar, with every image source."""

    def test_is_confined(self, name: str, inputs: dict[str, Any]) -> None:
        kept = {"adds": ["CAP_SYSLOG"]} if name == "cadvisor" else {}
        assert inputs["capabilities"] == {"drops": ["ALL"], **kept}
        assert "no-new-privileges:true" in inputs["securityOpts"]
        assert inputs["user"]
        assert not inputs.get("privileged")

    def test_starts_again_after_a_crash(self, inputs: dict[str, Any]) -> None:
        assert inputs["restart"] == "always"

    def test_its_logs_are_rotated_and_tell_whose_they_are(self, inputs: dict[str, Any]) -> None:
        labels = "groundwork.instance,groundwork.job,groundwork.service"
        assert (inputs["logDriver"], inputs["logOpts"]) == (
            "json-file",
            {"labels": labels, "max-file": "3", "max-size": "10m"},
        )

    def test_limits_are_written_as_the_provider_reads_them_back(
        self, inputs: dict[str, Any]
    ) -> None:
        """`memory` wants `memory_swap` beside it, and `cpus` does not survive the
        provider's reading.
        """
        assert inputs["memorySwap"] == inputs["memory"] > 0
        assert inputs["cpuQuota"] > 0
        assert inputs["cpuPeriod"] == 100_000
        assert inputs["cpuShares"] == pytest.approx(inputs["cpuQuota"] / 100_000 * 1024, abs=1)
        assert "cpus" not in inputs

    def test_ready_means_the_readiness_check_agreed(self, inputs: dict[str, Any]) -> None:
        """A container with a health check is waited for, as long as its own numbers say."""
        assert inputs.get("wait", False) == ("healthcheck" in inputs)
        if "healthcheck" in inputs:
            assert inputs["waitTimeout"] >= 60
            assert inputs["healthcheck"]["tests"][0] == "CMD"
            times = {
                key: inputs["healthcheck"][key] for key in ("interval", "timeout", "startPeriod")
            }
            assert {key for key, value in times.items() if value.endswith("60s")} == set(), times

    def test_does_not_dump_its_memory(self, inputs: dict[str, Any]) -> None:
        assert {"name": "core", "soft": 0, "hard": 0} in inputs["ulimits"]

    def test_is_stopped_and_not_killed(self, inputs: dict[str, Any]) -> None:
        assert inputs["destroyGraceSeconds"] >= 1

    def test_joins_one_ordinary_network_if_it_publishes_or_reaches_out(
        self, source: str, name: str, inputs: dict[str, Any]
    ) -> None:
        """A port on a container that has only internal networks is never published; two ordinary
        ones would compete.
        """
        published, outbound = IDENTITY.name("published"), IDENTITY.name("outbound")
        out = {service.name for service in PLATFORMS[source].services if service.reaches_out}
        joined = {item["name"] for item in inputs.get("networksAdvanced", ())} & {
            published,
            outbound,
        }
        assert joined == (
            {outbound} if name in out else {published} if inputs.get("ports") else set()
        )

    def test_sees_the_engines_socket_only_if_it_is_its_proxy(
        self, name: str, inputs: dict[str, Any]
    ) -> None:
        """Whoever reaches it is root on the host; a bind of `/` would show it to root too."""
        sources = {mount["source"] for mount in inputs.get("mounts", []) if mount["type"] == "bind"}
        assert ("/var/run/docker.sock" in sources) == (name == "socket-proxy")
        assert "/" not in sources or not inputs["user"].startswith("0:")


@pytest.mark.parametrize(("source", "name"), SERVICES, ids=str)
class TestEveryService:
    """As it is described, so it is declared, with every image source."""

    def test_its_root_file_system_is_read_only_unless_it_says_why(
        self, service: Service, inputs: dict[str, Any]
    ) -> None:
        assert bool(inputs.get("readOnly")) == (service.writable_root is None)
        assert bool(inputs.get("uploads")) == (service.name == "clickhouse"), (
            "placed by way of the root"
        )
        assert set(inputs.get("tmpfs", {})) == (
            set(service.writable) if service.writable_root is None else set()
        )

    def test_its_files_are_mounted_read_only_from_the_volume_that_the_loader_fills(
        self, service: Service, declared: Declared
    ) -> None:
        recorder = declared[1]
        loaded = {mount["target"]: mount["source"] for mount in recorder.loader["mounts"]}
        placed = set(_unpacked(files.archive(declared[0].services)))
        mount = mounted(recorder, service.name).get(CONFIG_DIR)
        assert (mount is not None) == bool(files.mounted(service))
        if mount is not None:
            assert mount["readOnly"] is True
            assert mount["source"] == loaded[f"/files/{service.name}"]
            assert {
                f"/files/{service.name}{item.path.removeprefix(CONFIG_DIR)}"
                for item in files.mounted(service)
            } <= placed

    def test_its_live_files_have_a_way_to_be_read_again(self, service: Service) -> None:
        assert any(item.live for item in service.files) == bool(service.reload)

    def test_its_files_lie_in_one_folder(self, service: Service) -> None:
        assert service.writable_root or files.mounted(service) == sorted(
            service.files, key=lambda item: item.path
        )

    def test_what_is_only_published_on_loopback_sends_packets_that_no_router_passes_on(
        self, service: Service, inputs: dict[str, Any]
    ) -> None:
        published = any(port.host is not None for port in service.ports) and not service.reaches_out
        assert inputs.get("sysctls") == ({"net.ipv4.ip_default_ttl": "1"} if published else None)

    def test_its_image_is_an_id(self, inputs: dict[str, Any]) -> None:
        assert inputs["image"].startswith("sha256:")


def mounted(recorder: Recorder, name: str) -> dict[str, dict[str, Any]]:
    """Path in a container to its mount."""
    return {
        mount["target"]: mount
        for mount in recorder.of(CONTAINER)[IDENTITY.name(name)].get("mounts", [])
    }


def test_what_fills_the_volumes_never_runs(declared: Declared) -> None:
    loader = declared[1].loader
    assert (loader["start"], loader["mustRun"], loader["restart"], loader["networkMode"]) == (
        False,
        False,
        "no",
        "none",
    )
    assert IDENTITY.owns({item["label"]: item["value"] for item in loader["labels"]})


def _unpacked(packed: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        return {f"/{entry.name}": entry for entry in tar}


def test_files_are_packed_with_their_modes_and_folders_as_roots() -> None:
    service = replace(
        make_platform(images="packages").by_name("minio"),
        files=(
            File(path=f"{CONFIG_DIR}/secret", content=Secret("hidden")),
            File(path=f"{CONFIG_DIR}/deep/er/plain", content="plain"),
        ),
    )
    entries = _unpacked(files.archive([service]))
    assert {path: (entry.mode, entry.size) for path, entry in entries.items()} == {
        "/files/minio/deep": (0o755, 0),
        "/files/minio/deep/er": (0o755, 0),
        "/files/minio/secret": (0o440, 6),
        "/files/minio/deep/er/plain": (0o444, 5),
    }
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}


def test_the_state_has_no_file_of_a_volume(declared: Declared) -> None:
    """What is placed is seen only as a keyed hash."""
    assert "uploads" not in declared[1].loader


def test_the_loader_is_made_again_whenever_a_file_has_changed() -> None:
    """Those that are read again included: only its creation places files."""
    service = make_platform(images="packages").by_name("prometheus")
    live = [item for item in service.files if item.live]
    changed = replace(live[0], content="changed")
    after = replace(
        service, files=tuple(changed if item is live[0] else item for item in service.files)
    )
    key = Secret("key")
    assert files.labels([service], key) != files.labels([after], key)
    assert files.labels([service], key) == files.labels([service], key)
    assert files.labels([service], key) != files.labels([service], Secret("another"))


def test_the_loader_is_made_again_when_a_service_gets_another_volume() -> None:
    """Which mounts it has is no difference to the provider."""
    service = make_platform(images="packages").by_name("minio")
    live = replace(
        service, files=tuple(replace(item, live=not item.live) for item in service.files)
    )
    key = Secret("key")
    assert files.volume(service, key) != files.volume(live, key)
    assert files.labels([service], key) != files.labels([live], key)


@pytest.mark.parametrize("there", [True, False], ids=["marked", "not marked"])
def test_a_loader_stays_as_it_is_only_if_it_has_placed_everything(*, there: bool) -> None:
    """A hook that failed or was killed leaves no mark; another label makes the loader again."""
    platform, recorder = declare("packages", filled="before" if there else None)
    labels = {item["label"]: item["value"] for item in recorder.loader["labels"]}
    assert files.mounted(platform.by_name("redis-queue"))
    assert (labels["groundwork.filled"] == "before") == there


def test_the_mark_of_a_loader_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the reloads: one that fails leaves the loader without."""
    placed: list[set[str]] = []
    monkeypatch.setattr(files, "place", lambda _, packed: placed.append(set(_unpacked(packed))))

    def fails(reloads: object) -> None:
        raise APIError("it has just ended")

    platform = make_platform(images="packages")
    for reload in (lambda _: iter(()), fails):
        placed.clear()
        monkeypatch.setattr(files, "reload", reload)
        monkeypatch.setattr("pulumi.ResourceHook", lambda _, call: call)
        hook: Any = files.fill_hook(platform, IDENTITY, Secret("key"))
        with contextlib.suppress(APIError):
            hook(None)
        assert "/files/redis-queue/users.acl" in placed[0]
        assert placed[1:] == ([] if reload is fails else [{"/filled"}])


@pytest.mark.parametrize(
    ("labels", "marked", "found"),
    [
        ({"groundwork.filled": "a1"}, True, "a1"),
        ({"groundwork.filled": "a1"}, False, None),
        ({}, True, None),
        (None, True, None),
    ],
    ids=["filled", "killed", "of a release before", "gone"],
)
def test_what_a_loader_has_placed_is_known(
    labels: dict[str, str] | None, found: str | None, *, marked: bool
) -> None:
    client = mock.Mock(spec=["api"])
    client.api.get_archive.return_value = (iter([b""]), {})
    if not marked:
        client.api.get_archive.side_effect = NotFound("no such file")
    others: list[dict[str, Any]] = [{"Names": ["/other"], "Labels": {"groundwork.filled": "b2"}}]
    own = [] if labels is None else [{"Names": ["/gw-dev-files"], "Labels": labels}]
    assert facts._filled(client, "gw-dev-files", others + own) == found


@pytest.mark.parametrize(
    ("path", "content", "another"),
    [("start.sh", "changed", True), ("rules.yml", "changed", False), ("more.yml", "new", True)],
    ids=["read at the start", "read again", "one file more"],
)
def test_only_files_that_are_read_at_the_start_replace_their_service(
    path: str, content: str, another: bool
) -> None:
    """A volume of another name replaces what mounts it."""
    service = make_platform(images="packages").by_name("prometheus")
    before = (
        File(path=f"{CONFIG_DIR}/start.sh", content="a"),
        File(path=f"{CONFIG_DIR}/rules.yml", content="b", live=True),
    )
    changed = File(path=f"{CONFIG_DIR}/{path}", content=content, live=path != "start.sh")
    after = (*(item for item in before if item.path != changed.path), changed)
    names = [
        files.volume(replace(service, files=placed), Secret("key")) for placed in (before, after)
    ]
    assert (names[0] != names[1]) == another


def test_the_name_of_a_volume_tells_nothing_about_secret_content() -> None:
    service = make_platform(images="packages").by_name("minio")
    assert files.volume(service, Secret("one")) != files.volume(service, Secret("another"))


def test_clients_from_elsewhere_get_answers_where_ports_are_published_for_them() -> None:
    _, recorder = declare("packages", bindAddress="10.0.0.5")
    containers = recorder.of(CONTAINER)
    assert [name for name, inputs in containers.items() if inputs.get("sysctls")] == []


def test_every_port_is_on_loopback(declared: Declared) -> None:
    ports = [
        port for inputs in declared[1].of(CONTAINER).values() for port in inputs.get("ports", [])
    ]
    assert ports
    assert {port["ip"] for port in ports} == {"127.0.0.1"}


def test_only_two_networks_are_not_internal_and_neither_has_neighbours(declared: Declared) -> None:
    """The one for published ports rewrites no address, so no answer finds its way back
    to a store.
    """
    networks = declared[1].of(NETWORK)
    ordinary = {
        name: inputs["options"] for name, inputs in networks.items() if not inputs["internal"]
    }
    prefix = "com.docker.network.bridge"
    assert ordinary == {
        IDENTITY.name("outbound"): {f"{prefix}.enable_icc": "false"},
        IDENTITY.name("published"): {
            f"{prefix}.enable_icc": "false",
            f"{prefix}.enable_ip_masquerade": "false",
        },
    }


def test_a_service_that_is_called_back_is_found_by_its_name() -> None:
    """Redis asks a backup for its data, MinIO tells Alloy of requests, each on its own network."""
    _, recorder = declare("packages", minio={"audit": True})
    found = {
        name: {
            item["name"]
            for item in recorder.of(CONTAINER)[IDENTITY.name(name)]["networksAdvanced"]
            if name in (item.get("aliases") or ())
        }
        for name in ("alloy", "backup")
    }
    names = map(IDENTITY.name, ("backup", "redis-cache", "redis-queue"))
    assert found == {
        "alloy": {IDENTITY.name("alloy"), IDENTITY.name("minio")},
        "backup": set(names),
    }


def test_no_store_has_a_way_out(declared: Declared) -> None:
    """Only what asks others does: models' providers, receivers of alerts, an application's own
    metrics.
    """
    assert {service.name for service in declared[0].services if service.reaches_out} <= {"litellm"}


@pytest.mark.parametrize("kind", [CONTAINER, NETWORK, VOLUME])
class TestLabels:
    """Of everything that an engine can label."""

    def labels(self, declared: Declared, kind: str) -> dict[str, list[tuple[str, str]]]:
        found = {
            name: [(item["label"], item["value"]) for item in inputs["labels"]]
            for name, inputs in declared[1].of(kind).items()
        }
        assert found
        return found

    def test_tell_the_owner(self, declared: Declared, kind: str) -> None:
        labels = self.labels(declared, kind)
        assert {name for name, pairs in labels.items() if not IDENTITY.owns(dict(pairs))} == set()

    def test_are_sorted(self, declared: Declared, kind: str) -> None:
        """Sorted labels keep diffs quiet."""
        labels = self.labels(declared, kind)
        assert {name for name, pairs in labels.items() if pairs != sorted(pairs)} == set()


def test_volume_labels_are_identity_only(declared: Declared) -> None:
    """A label that could change would replace the volume at every `up`; the ledger is made to be
    replaced.
    """
    labels = {
        name: {item["label"]: item["value"] for item in inputs["labels"]}
        for name, inputs in declared[1].of(VOLUME).items()
        if "ledger" not in name and "-files-" not in name and not name.endswith("-sockets")
    }
    assert labels == dict.fromkeys(
        (
            IDENTITY.name(volume.name)
            for service in declared[0].services
            for volume in service.volumes
        ),
        IDENTITY.labels,
    )


def test_ledger_names_the_version_of_every_store(declared: Declared) -> None:
    platform, recorder = declared
    (ledger,) = (inputs for name, inputs in recorder.of(VOLUME).items() if "ledger" in name)
    prefix = "groundwork.version."
    assert {
        item["label"].removeprefix(prefix): item["value"]
        for item in ledger["labels"]
        if item["label"].startswith(prefix)
    } == {service.name: service.image.version for service in platform.services if service.volumes}


def test_what_is_pulled_is_named_by_its_digest_and_kept(declared: Declared) -> None:
    pulled = declared[1].of(IMAGE)
    assert {name for name, inputs in pulled.items() if "@sha256:" not in inputs["name"]} == set()
    assert {name for name, inputs in pulled.items() if inputs["keepLocally"] is not True} == set()


def test_secret_text_becomes_a_pulumi_secret() -> None:
    """Under mocks a secret arrives as its bare value, so the wrapping itself is looked at."""

    async def is_secret(value: Secret | str) -> bool:
        wrapped = arguments.text(value)
        return isinstance(wrapped, pulumi.Output) and await wrapped.is_secret()

    with asyncio.Runner() as runner:
        assert runner.run(is_secret(Secret("hidden"))) is True
        assert runner.run(is_secret("plain")) is False


@pytest.mark.parametrize(("source", "service_name", "name"), JOBS, ids=str)
def test_a_job_runs_again_for_a_new_container(service_name: str, inputs: dict[str, Any]) -> None:
    assert f"GROUNDWORK_FOR_CONTAINER=id-of-{IDENTITY.name(service_name)}" in inputs["envs"]


@pytest.mark.parametrize(("source", "service_name", "name"), SIDECARS, ids=str)
def test_a_sidecar_reads_the_data_and_writes_only_its_file(
    source: str, service_name: str, inputs: dict[str, Any]
) -> None:
    """As the service's user, but not in the group that may read secret files; without a network."""
    service = PLATFORMS[source].by_name(service_name)
    user, _, group = service.user.partition(":")
    assert (inputs["user"], group) == (f"{user}:{user}", "0")
    labels = {item["label"]: item["value"] for item in inputs["labels"]}
    assert labels["groundwork.service"].endswith("-retention"), "whoever watches containers sees it"
    assert (inputs["networkMode"], inputs.get("networksAdvanced")) == ("none", None)
    assert inputs["readOnly"]
    assert {mount["target"]: mount.get("readOnly", False) for mount in inputs["mounts"]} == {
        **{volume.path: True for volume in service.volumes},
        CONFIG_DIR: False,
    }
    assert ("/data" in inputs.get("tmpfs", ())) is (not service.image.built)
    (shared,) = (item for item in service.files if item.shared)
    place = f"{files.folder(service)}{shared.path.removeprefix(CONFIG_DIR)}".removeprefix("/")
    with tarfile.open(fileobj=io.BytesIO(files.archive([service]))) as packed:
        assert packed.getmember(place).mode == 0o666, "only the sidecar may write to the volume"


@cache
def _with_external_stores() -> Recorder:
    external = {
        "host": "db.example.org",
        "port": 5432,
        "username": "u",
        "password": "p",
        "database": "d",
    }
    return declare("packages", postgres={"external": external}, redis={"external": external})[1]


@pytest.mark.parametrize("name", ["postgres-exporter", "redis-exporter"])
def test_exporters_of_external_stores_have_a_way_out(name: str) -> None:
    inputs = _with_external_stores().of(CONTAINER)[IDENTITY.name(name)]
    assert IDENTITY.name("outbound") in {item["name"] for item in inputs["networksAdvanced"]}
    assert inputs["hosts"] == [{"host": "host.docker.internal", "ip": "host-gateway"}]


def test_bind_address_is_a_setting() -> None:
    _, recorder = declare("packages", bindAddress="10.0.0.5")
    assert {
        port["ip"] for inputs in recorder.of(CONTAINER).values() for port in inputs.get("ports", [])
    } == {"10.0.0.5"}


@pytest.mark.parametrize(
    ("containerd", "cadvisor", "proxy"),
    [
        (
            None,
            {
                "/proc": "/rootfs/proc",
                "/sys": "/sys",
                "/srv/docker/image": "/rootfs/srv/docker/image",
            },
            {"/run/d.sock": "/var/run/docker.sock"},
        ),
        (
            "/run/c.sock",
            {"/proc": "/rootfs/proc", "/sys": "/sys"},
            {
                "/run/d.sock": "/var/run/docker.sock",
                "/run/c.sock": "/run/containerd/containerd.sock",
            },
        ),
    ],
    ids=["images in the engine", "images in containerd"],
)
def test_binds_follow_the_engines_files(
    containerd: str | None, cadvisor: dict[str, str], proxy: dict[str, str]
) -> None:
    """An engine may keep its data and sockets elsewhere, and its images in containerd: only then
    the proxy gets containerd's socket, and cAdvisor no names of layers.
    """
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="groundwork", stack="dev")
    settings, platform = make_settings(images="packages"), make_platform(images="packages")
    files = EngineFiles(root="/srv/docker", socket="/run/d.sock", containerd=containerd)
    facts = HostFacts(memory=1, cpus=1, files=files)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> None:
        resources.DockerTarget(settings, IDENTITY, facts).deploy(platform)

    run()

    def mounted(name: str, kind: str) -> dict[str, str]:
        mounts = recorder.of(CONTAINER)[IDENTITY.name(name)].get("mounts", [])
        return {mount["source"]: mount["target"] for mount in mounts if mount["type"] == kind}

    assert mounted("alloy-logs", "bind") == {"/srv/docker/containers": "/var/lib/docker/containers"}
    assert mounted("cadvisor", "bind") == cadvisor
    assert mounted("socket-proxy", "bind") == proxy
    shared = {IDENTITY.name("socket-proxy-sockets"): "/run/groundwork/socket-proxy"}
    assert shared.items() <= mounted("socket-proxy", "volume").items()
    assert shared == mounted("cadvisor", "volume")


_OVERLAY2 = {"DockerRootDir": "/var/lib/docker", "DriverStatus": [["Backing Filesystem", "extfs"]]}
_SNAPSHOTS = {
    "DockerRootDir": "/data",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({}, EngineFiles()),
        (_OVERLAY2, EngineFiles()),
        ({**_OVERLAY2, "Containerd": {"Address": "/run/c.sock"}}, EngineFiles()),
        (
            _SNAPSHOTS,
            EngineFiles(root="/data", containerd="/run/containerd/containerd.sock"),
        ),
        (
            {**_SNAPSHOTS, "Containerd": {"Address": "/run/c.sock"}},
            EngineFiles(root="/data", containerd="/run/c.sock"),
        ),
    ],
    ids=["no answer", "overlay2", "overlay2, with containerd", "containerd", "containerd named"],
)
def test_the_engines_answer_says_who_stores_images(
    info: dict[str, Any], expected: EngineFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert engine_files.read(info) == expected


@pytest.mark.parametrize("listens", [True, False])
def test_the_socket_is_the_one_that_docker_host_names(
    listens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as server:
        if listens:
            server.bind(str(path))
        found = engine_files.read({}).socket
    assert found == (str(path) if listens else "/var/run/docker.sock")


@pytest.mark.parametrize(
    ("api", "name", "interval", "patient"),
    [
        ((1, 50), "redis-queue", "30s", False),
        ((1, 50), "postgres-provision", "5m0s", False),
        ((1, 41), "redis-queue", "1s", True),
        ((1, 41), "postgres-provision", "1s", False),
        ((1, 41), "loki-retention", "1s", True),
    ],
    ids=["by the engine", "a job", "by itself", "a job by itself", "a sidecar by itself"],
)
def test_what_is_healthy_is_checked_less_often(
    api: tuple[int, ...], name: str, interval: str, patient: bool
) -> None:
    _, recorder = declare("packages", api=api)
    check = recorder.of(CONTAINER)[IDENTITY.name(name)]["healthcheck"]
    assert check["interval"] == interval
    assert any(readiness.SEEN in part for part in check["tests"]) is patient


@pytest.mark.parametrize("seen", [False, True], ids=["starting", "healthy before"])
@pytest.mark.parametrize("status", [0, 7])
def test_a_patient_check_pauses_once_it_has_succeeded(
    seen: bool, status: int, tmp_path: Path
) -> None:
    mark = tmp_path / "seen"
    if seen:
        mark.touch()
    script = readiness.PATIENT.replace("sleep", "echo").replace(readiness.SEEN, str(mark))
    command = ["sh", "-c", script, "sh", "sh", "-c", 'echo "$1"; exit "$2"', "sh", "a $b"]
    done = subprocess.run([*command, str(status)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [*(["30"] if seen else []), "a $b"]
    assert done.returncode == status
    assert mark.exists() is (seen or status == 0)


@pytest.mark.parametrize(
    ("job", "marks", "status", "waited"),
    [
        ("sleep 0.3; touch {marker}", ["marker", "seen"], 0, ""),
        ("touch {marker} {seen}", ["marker", "seen"], 0, "long"),
        (":", [], 1, ""),
    ],
    ids=["ends meanwhile", "has ended", "does not end"],
)
def test_a_check_of_a_job_waits_for_its_end(
    job: str, marks: list[str], status: int, waited: str, tmp_path: Path
) -> None:
    places = {name: str(tmp_path / name) for name in ("marker", "seen")}
    script = jobs.CHECK.replace(jobs.MARKER, places["marker"])
    script = script.replace(jobs._SEEN, places["seen"]).replace("left=50", "left=5")
    script = script.replace(f"sleep {jobs.STEADY}", "echo long")
    with subprocess.Popen(["sh", "-c", job.format(**places)]):
        if waited:
            Path(places["seen"]).touch()
            Path(places["marker"]).touch()
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (status, waited)
    assert sorted(item.name for item in tmp_path.iterdir()) == marks


@pytest.mark.parametrize(
    ("api", "interval"),
    [((1, 41), None), ((1, 43), None), ((1, 44), "1s"), ((1, 56), "1s")],
    ids=["20.10", "24", "25", "29"],
)
def test_engines_that_can_check_more_often_while_a_service_starts(
    api: tuple[int, ...], interval: str | None
) -> None:
    """Others would forget it, and differ at every `up`."""
    _, recorder = declare("packages", api=api)
    found = {item["healthcheck"].get("startInterval") for item in recorder.of(CONTAINER).values()}
    assert found == {interval}


@pytest.mark.parametrize("seen", [True, False])
def test_mounts_are_judged_only_where_the_engines_files_are_seen(
    seen: bool, tmp_path: Path
) -> None:
    """A chroot or a container may have the engine's socket and none of its file systems."""
    root = tmp_path / "docker"
    if seen:
        root.mkdir()
    assert facts._sees_files({"DockerRootDir": str(root)}) is seen
