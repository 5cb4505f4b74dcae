"""What the Docker target declares, over all containers and image sources, recorded by Pulumi's
mocks.
"""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pulumi
import pytest

from infra.identity import Identity
from infra.secret import Secret
from infra.spec import CONFIG_DIR, File, Platform
from infra.targets.docker import files, resources
from infra.targets.docker.facts import HostFacts
from tests.unit.conftest import IMAGE_SOURCES, make_platform, make_settings

# Pulumi's test decorator leaves its event loop open.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

CONTAINER, NETWORK, VOLUME = (
    "docker:index/container:Container",
    "docker:index/network:Network",
    "docker:index/volume:Volume",
)
IMAGE = "docker:index/remoteImage:RemoteImage"
IDENTITY = Identity(project="groundwork", stack="dev", instance="abc123", master="feedfacefeed")
LOADER = IDENTITY.name("files")


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Keeps every declared resource's inputs."""

    resources: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append((args.typ, args.name, dict(args.inputs)))
        computed = {"imageId": f"sha256:{args.name}"} if args.typ == IMAGE else {}
        return f"id-of-{args.name}", {**args.inputs, **computed}

    def call(
        self, args: pulumi.runtime.MockCallArgs
    ) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(args.token)

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Name to inputs. What fills the volumes of files is no container that runs."""
        return {
            name: inputs
            for typ, name, inputs in self.resources
            if typ == kind and (kind != CONTAINER or name != LOADER)
        }

    @property
    def loader(self) -> dict[str, Any]:
        return next(inputs for _, name, inputs in self.resources if name == LOADER)


def declare(source: str, **keys: Any) -> tuple[Platform, Recorder]:
    """Declares the platform under mocks and waits for all of it."""
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="groundwork", stack="dev")
    settings = make_settings(images=source, **keys)
    platform = make_platform(images=source, **keys)
    ids = {service.image.reference: f"sha256:{service.name}" for service in platform.services}

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> None:
        resources.DockerTarget(
            settings, IDENTITY, HostFacts(memory=1, cpus=1, image_ids=ids)
        ).deploy(platform)

    run()
    return platform, recorder


@pytest.fixture(scope="module", params=IMAGE_SOURCES)
def declared(request: pytest.FixtureRequest) -> tuple[Platform, Recorder]:
    """The default platform, declared with each image source."""
    return declare(str(request.param))


Declared = tuple[Platform, Recorder]


def test_every_service_and_job_is_a_container(declared: Declared) -> None:
    platform, recorder = declared
    wanted = {
        IDENTITY.name(name)
        for service in platform.services
        for name in (service.name, *(job.name for job in service.jobs))
    }
    assert set(recorder.of(CONTAINER)) == wanted
    assert all(inputs["name"] == name for name, inputs in recorder.of(CONTAINER).items())


def test_every_container_is_confined(declared: Declared) -> None:
    for name, inputs in declared[1].of(CONTAINER).items():
        kept = {"adds": ["CAP_SYSLOG"]} if name.endswith("-cadvisor") else {}
        assert inputs["capabilities"] == {"drops": ["ALL"], **kept}, name
        assert "no-new-privileges:true" in inputs["securityOpts"], name
        assert inputs["user"], name
        assert not inputs.get("privileged"), name
        assert inputs["restart"] == "unless-stopped", name
        labels = "groundwork.instance,groundwork.job,groundwork.service"
        assert (inputs["logDriver"], inputs["logOpts"]) == (
            "json-file",
            {"labels": labels, "max-file": "3", "max-size": "10m"},
        ), name


def test_limits_are_written_as_the_provider_reads_them_back(declared: Declared) -> None:
    """`memory` wants `memory_swap` beside it, and `cpus` does not survive the
    provider's reading.
    """
    for name, inputs in declared[1].of(CONTAINER).items():
        assert inputs["memorySwap"] == inputs["memory"] > 0, name
        assert inputs["cpuQuota"] > 0, name
        assert inputs["cpuPeriod"] == 100_000, name
        assert "cpus" not in inputs, name


def test_ready_means_the_readiness_check_agreed(declared: Declared) -> None:
    """A container with a health check is waited for, as long as its own numbers say."""
    for name, inputs in declared[1].of(CONTAINER).items():
        assert inputs.get("wait", False) == ("healthcheck" in inputs), name
        if "healthcheck" in inputs:
            assert inputs["waitTimeout"] >= 60, name
            assert inputs["healthcheck"]["tests"][0] == "CMD", name
            for key in ("interval", "timeout", "startPeriod"):
                value = inputs["healthcheck"][key]
                assert not value.endswith("60s"), (name, key, value)


def test_root_file_systems_are_read_only_unless_a_service_says_why(declared: Declared) -> None:
    platform, recorder = declared
    for service in platform.services:
        inputs = recorder.of(CONTAINER)[IDENTITY.name(service.name)]
        assert bool(inputs.get("readOnly")) == (service.writable_root is None), service.name
        assert bool(inputs.get("uploads")) == (service.name == "clickhouse"), (
            "placed by way of the root"
        )
        assert set(inputs.get("tmpfs", {})) == (
            set(service.writable) if service.writable_root is None else set()
        ), service.name


def mounted(recorder: Recorder, name: str) -> dict[str, dict[str, Any]]:
    """Path in a container to its mount."""
    return {
        mount["target"]: mount
        for mount in recorder.of(CONTAINER)[IDENTITY.name(name)].get("mounts", [])
    }


def test_files_are_mounted_read_only_from_the_volume_that_the_loader_fills(
    declared: Declared,
) -> None:
    platform, recorder = declared
    loaded = {mount["target"]: mount["source"] for mount in recorder.loader["mounts"]}
    uploads = recorder.loader["uploads"]
    placed = {item["file"] for item in (uploads["value"] if isinstance(uploads, dict) else uploads)}
    for service in platform.services:
        mount = mounted(recorder, service.name).get(CONFIG_DIR)
        assert (mount is not None) == bool(files.mounted(service)), service.name
        if mount is not None:
            assert mount["readOnly"] is True
            assert mount["source"] == loaded[f"/files/{service.name}"]
            assert {
                f"/files/{service.name}{item.path.removeprefix(CONFIG_DIR)}"
                for item in files.mounted(service)
            } <= placed


def test_what_fills_the_volumes_never_runs(declared: Declared) -> None:
    loader = declared[1].loader
    assert (loader["start"], loader["mustRun"], loader["restart"], loader["networkMode"]) == (
        False,
        False,
        "no",
        "none",
    )
    assert IDENTITY.owns({item["label"]: item["value"] for item in loader["labels"]})


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


@pytest.mark.parametrize("source", IMAGE_SOURCES)
def test_live_files_have_a_way_to_be_read_again_and_others_lie_in_one_folder(source: str) -> None:
    for service in make_platform(images=source).services:
        assert any(item.live for item in service.files) == bool(service.reload), service.name
        assert service.writable_root or files.mounted(service) == sorted(
            service.files, key=lambda item: item.path
        ), service.name


def test_no_container_dumps_its_memory(declared: Declared) -> None:
    for name, inputs in declared[1].of(CONTAINER).items():
        assert {"name": "core", "soft": 0, "hard": 0} in inputs["ulimits"], name


def test_what_is_only_published_on_loopback_sends_packets_that_no_router_passes_on(
    declared: Declared,
) -> None:
    platform, recorder = declared
    for service in platform.services:
        published = any(port.host is not None for port in service.ports) and not service.reaches_out
        expected = {"net.ipv4.ip_default_ttl": "1"} if published else None
        assert recorder.of(CONTAINER)[IDENTITY.name(service.name)].get("sysctls") == expected, (
            service.name
        )


def test_clients_from_elsewhere_get_answers_where_ports_are_published_for_them() -> None:
    _, recorder = declare("packages", bindAddress="10.0.0.5")
    assert not any(inputs.get("sysctls") for inputs in recorder.of(CONTAINER).values())


def test_containers_are_stopped_and_not_killed(declared: Declared) -> None:
    for name, inputs in declared[1].of(CONTAINER).items():
        assert inputs["destroyGraceSeconds"] >= 1, name


def test_every_port_is_on_loopback(declared: Declared) -> None:
    ports = [
        port for inputs in declared[1].of(CONTAINER).values() for port in inputs.get("ports", [])
    ]
    assert ports
    assert {port["ip"] for port in ports} == {"127.0.0.1"}


def test_a_container_joins_one_ordinary_network_if_it_publishes_or_reaches_out(
    declared: Declared,
) -> None:
    """A port on a container that has only internal networks is never published; two ordinary ones
    would compete.
    """
    platform, recorder = declared
    published, outbound = IDENTITY.name("published"), IDENTITY.name("outbound")
    out = {IDENTITY.name(service.name) for service in platform.services if service.reaches_out}
    for name, inputs in recorder.of(CONTAINER).items():
        joined = {item["name"] for item in inputs["networksAdvanced"]} & {published, outbound}
        assert joined == (
            {outbound} if name in out else {published} if inputs.get("ports") else set()
        ), name


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


def test_no_store_has_a_way_out(declared: Declared) -> None:
    """Only what asks others does: models' providers, receivers of alerts, an application's own
    metrics.
    """
    assert {service.name for service in declared[0].services if service.reaches_out} <= {"litellm"}


def test_everything_carries_the_owner(declared: Declared) -> None:
    for typ in (CONTAINER, NETWORK, VOLUME):
        for name, inputs in declared[1].of(typ).items():
            labels = {item["label"]: item["value"] for item in inputs["labels"]}
            assert IDENTITY.owns(labels), name
            assert [item["label"] for item in inputs["labels"]] == sorted(labels), (
                "sorted labels keep diffs quiet"
            )


def test_volume_labels_are_identity_only(declared: Declared) -> None:
    """A label that could change would replace the volume at every `up`; the ledger is made to be
    replaced.
    """
    for name, inputs in declared[1].of(VOLUME).items():
        if "ledger" not in name and "-files-" not in name:
            assert {item["label"]: item["value"] for item in inputs["labels"]} == IDENTITY.labels


def test_ledger_names_the_version_of_every_store(declared: Declared) -> None:
    platform, recorder = declared
    ledgers = [inputs for name, inputs in recorder.of(VOLUME).items() if "ledger" in name]
    assert len(ledgers) == 1
    labels = {item["label"]: item["value"] for item in ledgers[0]["labels"]}
    for service in platform.services:
        assert labels.get(f"groundwork.version.{service.name}") == (
            service.image.version if service.volumes else None
        )


def test_images_are_ids_or_pulled_by_digest(declared: Declared) -> None:
    platform, recorder = declared
    for service in platform.services:
        image = recorder.of(CONTAINER)[IDENTITY.name(service.name)]["image"]
        assert image.startswith("sha256:"), service.name
    for name, inputs in recorder.of(IMAGE).items():
        assert "@sha256:" in inputs["name"], name
        assert inputs["keepLocally"] is True, name


def test_secret_text_becomes_a_pulumi_secret() -> None:
    """Under mocks a secret arrives as its bare value, so the wrapping itself is looked at."""

    async def is_secret(value: Secret | str) -> bool:
        wrapped = resources._text(value)
        return isinstance(wrapped, pulumi.Output) and await wrapped.is_secret()

    with asyncio.Runner() as runner:
        assert runner.run(is_secret(Secret("hidden"))) is True
        assert runner.run(is_secret("plain")) is False


def test_jobs_run_again_for_a_new_container(declared: Declared) -> None:
    platform, recorder = declared
    for service in platform.services:
        for job in service.jobs:
            envs = recorder.of(CONTAINER)[IDENTITY.name(job.name)]["envs"]
            assert f"GROUNDWORK_FOR_CONTAINER=id-of-{IDENTITY.name(service.name)}" in envs


def test_exporters_of_external_stores_have_a_way_out() -> None:
    external = {
        "host": "db.example.org",
        "port": 5432,
        "username": "u",
        "password": "p",
        "database": "d",
    }
    _, recorder = declare("packages", postgres={"external": external}, redis={"external": external})
    for name in ("postgres-exporter", "redis-exporter"):
        inputs = recorder.of(CONTAINER)[IDENTITY.name(name)]
        assert IDENTITY.name("outbound") in {item["name"] for item in inputs["networksAdvanced"]}
        assert inputs["hosts"] == [{"host": "host.docker.internal", "ip": "host-gateway"}]


def test_bind_address_is_a_setting() -> None:
    _, recorder = declare("packages", bindAddress="10.0.0.5")
    assert {
        port["ip"] for inputs in recorder.of(CONTAINER).values() for port in inputs.get("ports", [])
    } == {"10.0.0.5"}


def test_binds_follow_the_engines_folder_and_leave_out_what_it_does_not_have() -> None:
    """An engine may keep its data elsewhere, or its images in containerd, where cAdvisor needs no
    names of layers.
    """
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="groundwork", stack="dev")
    settings, platform = make_settings(images="packages"), make_platform(images="packages")
    facts = HostFacts(
        memory=1, cpus=1, engine_root="/srv/docker", absent=frozenset({"/srv/docker/image"})
    )

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> None:
        resources.DockerTarget(settings, IDENTITY, facts).deploy(platform)

    run()

    def binds(name: str) -> dict[str, str]:
        mounts = recorder.of(CONTAINER)[IDENTITY.name(name)].get("mounts", [])
        return {mount["source"]: mount["target"] for mount in mounts if mount["type"] == "bind"}

    assert binds("alloy-logs") == {"/srv/docker/containers": "/var/lib/docker/containers"}
    assert binds("cadvisor") == {"/proc": "/rootfs/proc", "/sys": "/sys"}
    assert binds("socket-proxy") == {"/var/run/docker.sock": "/var/run/docker.sock"}


def test_the_engines_socket_is_shown_to_its_proxy_alone(declared: Declared) -> None:
    """Whoever reaches it is root on the host; a bind of `/` would show it to root too."""
    for name, inputs in declared[1].of(CONTAINER).items():
        sources = {mount["source"] for mount in inputs.get("mounts", []) if mount["type"] == "bind"}
        assert ("/var/run/docker.sock" in sources) == name.endswith("socket-proxy"), name
        assert "/" not in sources or not inputs["user"].startswith("0:"), name
