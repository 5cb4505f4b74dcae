"""What a platform is on Kubernetes: values, Secrets and namespaces, over every size and image
source.
"""

import re
from functools import cache
from typing import Any

import pytest

from infra.secret import Secret
from infra.services import postgres_cluster
from infra.spec import Platform, Service
from infra.targets.kubernetes.plan import Plan, Release, ledger_of, plain
from infra.targets.kubernetes.plan import build as build_plan
from infra.targets.kubernetes.values import SecretObject, key_of
from infra.units import MIB
from tests.support.identity import IDENTITY
from tests.support.releases import CLUSTER, SCALED, make
from tests.unit.conftest import IMAGE_SOURCES, make_platform, make_settings

SIZES: dict[str, dict[str, Any]] = {
    **{f"from {source}": {"images": source} for source in IMAGE_SOURCES},
    "scaled": SCALED,
}


Made = tuple[Platform, Plan]
# The sizes, each with its services; a service is a release of the same name.
RELEASES = [
    (size, service.name) for size, keys in SIZES.items() for service in make(**keys)[0].services
]


@cache
def _made(size: str) -> Made:
    return make(**SIZES[size])


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> str:
    """Each size in turn."""
    return str(request.param)


@pytest.fixture
def made(size: str) -> Made:
    """A platform of that size, and its plan."""
    return _made(size)


WATCHES_NODES = ("node-exporter", "alloy-logs")


def release(plan: Plan, name: str) -> Release:
    return next(item for item in plan.releases if item.name == name)


@pytest.fixture
def item(made: Made, name: str) -> Release:
    """One release of that plan."""
    return release(made[1], name)


def groups(item: Release) -> dict[str, dict[str, Any]]:
    """The values of a release's own containers and of each of its jobs."""
    return {item.name: dict(item.values), **{job["name"]: job for job in item.values["jobs"]}}


def revealed_secrets(made: Made) -> set[str]:
    platform, plan = made
    return {
        value.reveal() for service in platform.services for value in service.credentials.values()
    } | {
        value.reveal()
        for item in plan.releases
        for secret in item.secrets
        for value in secret.data.values()
        if len(value.reveal()) >= 20
    }


def test_every_service_is_a_release(made: Made) -> None:
    platform, plan = made
    names = [item.name for item in plan.releases]
    assert sorted(names) == sorted(service.name for service in platform.services)


@pytest.mark.parametrize(("size", "name"), RELEASES)
class TestEveryRelease:
    """Of each service, over all sizes."""

    def test_comes_after_what_it_needs(self, made: Made, item: Release) -> None:
        names = [release.name for release in made[1].releases]
        before = names[: names.index(item.name)]
        assert {need for need in item.depends_on if need in names} <= set(before)

    def test_its_values_hold_no_secret(self, made: Made, item: Release) -> None:
        """Helm keeps the values in the cluster: secrets are in Secrets, and the values name
        those.
        """
        secrets = revealed_secrets(made)
        assert len(secrets) > 10
        text = plain(item.values) + repr(item.custom)
        assert not [secret for secret in secrets if secret in text]

    def test_its_secret_files_are_keys_of_the_secret(self, item: Release) -> None:
        held = {secret.name: set(secret.data) for secret in item.secrets}
        wanted = {
            of: {key_of(file["path"]) for file in group["secretFiles"]}
            | set(group.get("secretEnv", {}))
            for of, group in groups(item).items()
        }
        assert wanted == {
            of: held.get(group["secret"]["name"], set()) for of, group in groups(item).items()
        }

    def test_its_memory_is_requested_whole(self, item: Release) -> None:
        resources = {of: group["resources"] for of, group in groups(item).items()}
        assert {of: each["requests"]["memory"] for of, each in resources.items()} == {
            of: each["limits"]["memory"] for of, each in resources.items()
        }

    def test_its_cores_are_requested_in_part(self, item: Release) -> None:
        """Utilization is measured against the request: what an autoscaler watches asks for all of
        it.
        """
        whole = bool(item.values["autoscaling"]["maxReplicas"])
        cores = {
            of: (
                int(group["resources"]["requests"]["cpu"][:-1]),
                int(group["resources"]["limits"]["cpu"][:-1]),
            )
            for of, group in groups(item).items()
        }
        assert {
            of: (requested, limit)
            for of, (requested, limit) in cores.items()
            if not (requested == limit if whole else 1 <= requested <= limit / 10 + 1)
        } == {}

    def test_does_not_run_as_root(self, item: Release) -> None:
        """Logs of a node are root's; what reads them keeps none of root's powers."""
        users = {of: group["securityContext"]["runAsUser"] for of, group in groups(item).items()}
        assert {of: user > 0 for of, user in users.items()} == dict.fromkeys(
            users, item.name != "alloy-logs"
        )
        assert users == {
            of: group["securityContext"]["fsGroup"] for of, group in groups(item).items()
        }

    def test_is_privileged_only_if_it_watches_the_nodes(self, made: Made, item: Release) -> None:
        """It is in a namespace of its own; every other one enforces the restricted standard."""
        standard = next(
            namespace.labels["pod-security.kubernetes.io/enforce"]
            for namespace in made[1].namespaces
            if namespace.name == item.namespace
        )
        host = item.values["host"]
        assert (standard == "privileged") == (item.name in WATCHES_NODES)
        assert bool(host["pid"] or host["paths"]) == (item.name in WATCHES_NODES)

    def test_its_pods_meet_others_on_the_networks_of_the_same_description(
        self, made: Made, item: Release
    ) -> None:
        """Who reaches whom follows from the services, as on Docker."""
        service, network = made[0].by_name(item.name), item.values["network"]
        assert (network["home"], *network["joins"]) == (*service.networks, *service.calls_back)
        assert network["egress"] == (service.reaches_out or service.operated is not None)

    def test_its_volumes_have_the_size_of_the_settings_and_labels_that_never_change(
        self, made: Made, item: Release
    ) -> None:
        assert [
            (
                volume["name"],
                volume["path"],
                int(volume["size"].removesuffix("Mi")) * MIB,
                volume["labels"],
            )
            for volume in item.values["volumes"]
        ] == [
            (volume.name, volume.path, volume.size, IDENTITY.labels)
            for volume in made[0].by_name(item.name).volumes
        ]

    def test_its_ports_are_named_once_and_short(self, item: Release) -> None:
        names = [port["name"] for port in item.values["ports"]]
        numbers = [port["port"] for port in item.values["ports"]]
        assert sorted(set(names)) == sorted(names)
        assert sorted(set(numbers)) == sorted(numbers)
        assert [name for name in names if len(name) > 15] == []


@pytest.mark.parametrize("name", ["loki", "tempo"])
def test_a_sidecar_makes_the_file_that_it_shares(name: str) -> None:
    """No ConfigMap has it: a file that is mounted from one cannot be written."""
    values = release(make()[1], name).values
    (sidecar,) = values["sidecars"]
    assert (sidecar["name"], sidecar["image"]["pullPolicy"]) == (
        f"{name}-retention",
        values["image"]["pullPolicy"],
    )
    (folder,) = values["sharedFolders"]
    assert folder == "/etc/groundwork/retention"
    assert not any(file["path"].startswith(folder) for file in values["files"])


def test_a_changed_secret_changes_the_values() -> None:
    former, latter = make()[1], make(postgres={"secretGeneration": 2})[1]
    checksums = [
        release(plan, "postgres-exporter").values["secret"]["checksum"] for plan in (former, latter)
    ]
    assert checksums[0] != checksums[1]
    assert all(re.fullmatch("[0-9a-f]{16}", checksum) for checksum in checksums)


def test_only_what_watches_the_nodes_has_a_privileged_namespace(made: Made) -> None:
    assert {
        item.name: item.labels["pod-security.kubernetes.io/enforce"] for item in made[1].namespaces
    } == {"groundwork-dev": "restricted", "groundwork-dev-host": "privileged"}


def test_without_what_watches_the_nodes_there_is_no_second_namespace() -> None:
    plan = make(exporters={"node": {"enabled": False}}, alloy={"enabled": False})[1]
    assert [item.name for item in plan.namespaces] == ["groundwork-dev"]


def test_only_the_networks_of_what_watches_the_nodes_cross_namespaces(made: Made) -> None:
    """Prometheus scrapes what watches the nodes, and logs find their way to Loki."""
    crossing = {item.name for item in made[1].releases if item.values["network"]["peerNamespaces"]}
    assert {"prometheus", "node-exporter", "alloy-logs", "loki"} <= crossing
    assert not {"postgres", "minio", "redis-cache", "litellm"} & crossing


def test_only_prometheus_may_read_the_nodes_and_only_if_containers_are_watched(made: Made) -> None:
    assert {item.name for item in made[1].releases if item.values["nodeMetrics"]} == {"prometheus"}
    assert not [
        item
        for item in make(exporters={"containers": {"enabled": False}})[1].releases
        if item.values["nodeMetrics"]
    ]


def test_only_prometheus_may_find_pods_and_only_this_stacks(made: Made) -> None:
    assert {
        item.name: item.values["podNamespaces"]
        for item in made[1].releases
        if item.values["podNamespaces"]
    } == {"prometheus": [namespace.name for namespace in made[1].namespaces]}


def test_in_a_cluster_no_engine_is_asked_for_its_containers(made: Made) -> None:
    """The kubelets know them; there is no socket to hand out."""
    assert "cadvisor" not in {item.name for item in made[1].releases}
    assert not [
        path
        for item in made[1].releases
        for path in item.values["host"]["paths"]
        if "docker" in path["source"]
    ]


def workload(service: Service, plan: Plan) -> str:
    return str(release(plan, service.name).values["workload"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("postgres", "StatefulSet"),
        ("redis-queue", "StatefulSet"),
        ("loki", "StatefulSet"),
        ("litellm", "Deployment"),
        ("alloy", "Deployment"),
        ("postgres-exporter", "Deployment"),
        ("node-exporter", "DaemonSet"),
        ("alloy-logs", "DaemonSet"),
    ],
)
def test_workloads_follow_from_what_a_service_keeps(name: str, expected: str) -> None:
    platform, plan = make()
    assert workload(platform.by_name(name), plan) == expected


def test_several_instances_of_postgres_are_the_operators() -> None:
    platform, plan = make(**SCALED)
    assert workload(platform.by_name("postgres"), plan) == "None"


@pytest.mark.parametrize(
    ("images", "policy"), [("packages", "Never"), ("registry", "IfNotPresent")]
)
def test_what_was_built_is_never_pulled(images: str, policy: str) -> None:
    """A public image of the same name would be somebody else's."""
    assert {item.values["image"]["pullPolicy"] for item in make(images=images)[1].releases} == {
        policy
    }


def test_the_ledger_names_the_version_of_every_store(made: Made) -> None:
    platform, plan = made
    assert plan.ledger == {
        service.name: service.image.version for service in platform.services if service.volumes
    }


def test_an_older_record_on_the_namespace_stays() -> None:
    """A deploy that fails before its own record is made must not lose it."""
    plan = build_plan(make_settings(**CLUSTER), IDENTITY, make_platform(**CLUSTER), {}, {"a": "1"})
    assert ledger_of(plan.namespaces[0].annotations) == {"a": "1"}


def test_the_ledger_keeps_what_is_turned_off() -> None:
    """Its volume is still there, and an older version must not open it later."""
    merged = {**CLUSTER, "qdrant": {"enabled": False}}
    plan = build_plan(
        make_settings(**merged),
        IDENTITY,
        make_platform(**merged),
        {"qdrant": "1.19.1", "redis-cache": "8.0.1"},
    )
    assert plan.ledger["qdrant"] == "1.19.1"
    assert plan.ledger["redis-cache"] != "8.0.1"


def test_a_login_of_a_registry_is_a_secret_of_each_namespace() -> None:
    plan = make(kubernetes={"context": "test", "pullSecret": '{"auths": {}}'})[1]
    assert plan.login is not None
    assert (plan.login.type, set(plan.login.data)) == (
        "kubernetes.io/dockerconfigjson",
        {".dockerconfigjson"},
    )
    assert make()[1].login is None


def test_a_checksum_cannot_be_guessed_without_the_master() -> None:
    """A user's own password may be weak, and checksums stand in plain sight."""
    secret = SecretObject(name="s", data={"k": Secret("weak")})
    assert secret.checksum(Secret("a")) != secret.checksum(Secret("b"))


def test_what_scales_does_so_in_its_own_way() -> None:
    platform, plan = make(**SCALED)
    assert release(plan, "litellm").values["autoscaling"] == {"maxReplicas": 4}
    qdrant = release(plan, "qdrant").values
    assert (qdrant["replicaCount"], qdrant["peerPorts"]) == (3, [6335])
    assert "--bootstrap" in qdrant["command"][2]
    config = platform.by_name("qdrant").files[0].content
    assert isinstance(config, Secret)
    assert "cluster:\n  enabled: true" in config.reveal()


def test_one_instance_of_qdrant_knows_no_cluster() -> None:
    platform, plan = make()
    assert release(plan, "qdrant").values["command"] == ["./qdrant"]
    config = platform.by_name("qdrant").files[0].content
    assert isinstance(config, Secret)
    assert "cluster:" not in config.reveal()


def test_several_postgres_are_an_operators_resource_from_the_same_description() -> None:
    """With the same parameters, size and limits; the provisioning job stays."""
    platform, plan = make(
        postgres={"replicas": 3, "memory": "2GiB", "disk": "30GiB", "maxConnections": 99}
    )
    item = release(plan, "postgres")
    assert item.values["workload"] == "None"
    assert [job["name"] for job in item.values["jobs"]] == ["postgres-provision"]
    assert item.custom is not None
    assert (item.custom.api_version, item.custom.kind) == ("postgresql.cnpg.io/v1", "Cluster")
    spec = item.custom.spec
    assert (spec["instances"], spec["storage"], spec["resources"]["limits"]["memory"]) == (
        3,
        {"size": "30720Mi"},
        "2048Mi",
    )
    one = make_platform(postgres={"memory": "2GiB", "maxConnections": 99}).by_name("postgres")
    configuration = next(
        file.content for file in one.files if file.path.endswith("postgresql.conf")
    )
    assert isinstance(configuration, str)
    assert spec["postgresql"]["parameters"] == postgres_cluster.parameters(configuration)
    assert spec["postgresql"]["parameters"]["max_connections"] == "99"
    assert not postgres_cluster._OPERATORS_OWN & set(spec["postgresql"]["parameters"])
    logins = {
        secret.name: (secret.type, set(secret.data))
        for secret in item.secrets
        if secret.name in ("postgres-superuser", "postgres-owner")
    }
    assert logins == dict.fromkeys(
        ("postgres-superuser", "postgres-owner"),
        ("kubernetes.io/basic-auth", {"username", "password"}),
    )
    assert spec["inheritedMetadata"]["labels"]["groundwork.joins.postgres"] == "true"
    assert "@sha256:" in spec["imageName"]
    assert platform.by_name("postgres").ports[0].container == 5432


TOLERATION = {"key": "dedicated", "operator": "Exists"}
CLUSTER_SETTINGS = {
    "context": "test",
    "storageClass": "fast",
    "nodeSelector": {"pool": "data"},
    "tolerations": [TOLERATION],
    "pullSecret": '{"auths": {}}',
    "clientNamespaces": ["shop"],
    "networkPolicies": False,
    "ingress": {
        "className": "nginx",
        "annotations": {"a": "b"},
        "hosts": [{"service": "litellm", "host": "llm.example.org", "tlsSecret": "t"}],
    },
}


@cache
def _with_cluster_settings() -> Plan:
    return make(kubernetes=CLUSTER_SETTINGS)[1]


@pytest.mark.parametrize("name", [service.name for service in make()[0].services])
def test_the_clusters_settings_reach_every_release(name: str) -> None:
    values = release(_with_cluster_settings(), name).values
    assert values["storageClass"] == "fast"
    assert values["imagePullSecrets"] == [{"name": "registry-login"}]
    assert values["network"]["clientNamespaces"] == ["shop"]
    assert values["network"]["policy"] is False
    assert (values["nodeSelector"], values["tolerations"]) == (
        ({}, [{"operator": "Exists"}])
        if name in WATCHES_NODES
        else ({"pool": "data"}, [TOLERATION])
    )
    assert bool(values["ingress"]["host"]) == (name == "litellm")


def test_an_ingress_shows_the_service_that_it_names() -> None:
    assert release(_with_cluster_settings(), "litellm").values["ingress"] == {
        "host": "llm.example.org",
        "port": "http",
        "className": "nginx",
        "tlsSecret": "t",
        "annotations": {"a": "b"},
        "controllerNamespace": "",
    }
