"""What a platform is on Kubernetes: values, Secrets and namespaces, over every size and image
source.
"""

import re
from typing import Any

import pytest

from infra.identity import Identity
from infra.secret import Secret
from infra.services import postgres_cluster
from infra.spec import Platform, Service
from infra.targets.kubernetes.plan import Plan, Release, ledger_of, plain
from infra.targets.kubernetes.plan import build as build_plan
from infra.targets.kubernetes.values import SecretObject, key_of
from tests.unit.conftest import IMAGE_SOURCES, make_platform, make_settings

IDENTITY = Identity(project="groundwork", stack="dev", instance="abc123", master="feedfacefeed")
CLUSTER: dict[str, Any] = {"target": "kubernetes", "kubernetes": {"context": "test"}}
SCALED: dict[str, Any] = {
    "postgres": {"replicas": 3},
    "qdrant": {"replicas": 3},
    "litellm": {"replicas": 2, "maxReplicas": 4},
}
SIZES: dict[str, dict[str, Any]] = {
    **{f"from {source}": {"images": source} for source in IMAGE_SOURCES},
    "scaled": SCALED,
}


def make(**keys: Any) -> tuple[Platform, Plan]:
    merged = {**CLUSTER, **keys}
    platform = make_platform(**merged)
    return platform, build_plan(make_settings(**merged), IDENTITY, platform, {})


@pytest.fixture(params=list(SIZES.values()), ids=list(SIZES))
def made(request: pytest.FixtureRequest) -> tuple[Platform, Plan]:
    return make(**request.param)


WATCHES_NODES = ("node-exporter", "alloy-logs")


def release(plan: Plan, name: str) -> Release:
    return next(item for item in plan.releases if item.name == name)


Made = tuple[Platform, Plan]


def test_every_service_is_a_release_after_what_it_needs(made: Made) -> None:
    platform, plan = made
    names = [item.name for item in plan.releases]
    assert sorted(names) == sorted(service.name for service in platform.services)
    for item in plan.releases:
        assert all(
            names.index(need) < names.index(item.name) for need in item.depends_on if need in names
        )


def test_no_value_holds_a_secret(made: Made) -> None:
    """Helm keeps the values in the cluster: secrets are in Secrets, and the values name those."""
    platform, plan = made
    secrets = {
        value.reveal() for service in platform.services for value in service.credentials.values()
    }
    secrets |= {
        value.reveal()
        for item in plan.releases
        for secret in item.secrets
        for value in secret.data.values()
        if len(value.reveal()) >= 20
    }
    assert len(secrets) > 10
    for item in plan.releases:
        text = plain(item.values) + repr(item.custom)
        assert not [secret for secret in secrets if secret in text], item.name


def test_secret_files_are_keys_of_the_secret(made: Made) -> None:
    for item in made[1].releases:
        for group in (item.values, *item.values["jobs"]):
            secret = next(
                (secret for secret in item.secrets if secret.name == group["secret"]["name"]), None
            )
            wanted = {key_of(file["path"]) for file in group["secretFiles"]} | set(
                group.get("secretEnv", {})
            )
            assert wanted == (set(secret.data) if secret else set()), item.name


def test_a_changed_secret_changes_the_values() -> None:
    former, latter = make()[1], make(postgres={"secretGeneration": 2})[1]
    checksums = [
        release(plan, "postgres-exporter").values["secret"]["checksum"] for plan in (former, latter)
    ]
    assert checksums[0] != checksums[1]
    assert all(re.fullmatch("[0-9a-f]{16}", checksum) for checksum in checksums)


def test_memory_is_requested_whole_and_cores_in_part(made: Made) -> None:
    for item in made[1].releases:
        for resources in (
            item.values["resources"],
            *(job["resources"] for job in item.values["jobs"]),
        ):
            assert resources["requests"]["memory"] == resources["limits"]["memory"]
            requested, limit = (
                int(resources["requests"]["cpu"][:-1]),
                int(resources["limits"]["cpu"][:-1]),
            )
            # Utilization is measured against the request: what an autoscaler watches asks for all
            # of it.
            assert (
                requested == limit
                if item.values["autoscaling"]["maxReplicas"]
                else 1 <= requested <= limit / 10 + 1
            )


def test_nothing_runs_as_root(made: Made) -> None:
    for item in made[1].releases:
        for security in (
            item.values["securityContext"],
            *(job["securityContext"] for job in item.values["jobs"]),
        ):
            # Logs of a node are root's; what reads them keeps none of root's powers.
            assert (security["runAsUser"] > 0) == (item.name != "alloy-logs")
            assert security["fsGroup"] == security["runAsUser"]


def test_only_what_watches_the_nodes_is_privileged(made: Made) -> None:
    """It is in a namespace of its own; every other one enforces the restricted standard."""
    plan = made[1]
    standards = {
        item.name: item.labels["pod-security.kubernetes.io/enforce"] for item in plan.namespaces
    }
    assert standards == {"groundwork-dev": "restricted", "groundwork-dev-host": "privileged"}
    for item in plan.releases:
        needs_more = bool(item.values["host"]["pid"] or item.values["host"]["paths"])
        assert (
            (standards[item.namespace] == "privileged")
            == needs_more
            == (item.name in WATCHES_NODES)
        )


def test_without_what_watches_the_nodes_there_is_no_second_namespace() -> None:
    plan = make(exporters={"node": {"enabled": False}}, alloy={"enabled": False})[1]
    assert [item.name for item in plan.namespaces] == ["groundwork-dev"]


def test_pods_meet_on_the_networks_of_the_same_description(made: Made) -> None:
    """Who reaches whom follows from the services, as on Docker."""
    platform, plan = made
    for service in platform.services:
        network = release(plan, service.name).values["network"]
        assert (network["home"], *network["joins"]) == service.networks
        assert network["egress"] == (service.reaches_out or service.operated is not None)


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


def test_volumes_have_the_size_of_the_settings_and_labels_that_never_change(made: Made) -> None:
    platform, plan = made
    for service in platform.services:
        volumes = release(plan, service.name).values["volumes"]
        assert [(item["name"], item["path"]) for item in volumes] == [
            (volume.name, volume.path) for volume in service.volumes
        ]
        for item, volume in zip(volumes, service.volumes, strict=True):
            assert int(item["size"].removesuffix("Mi")) * 1024**2 == volume.size
            assert item["labels"] == IDENTITY.labels


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


def test_what_was_built_is_never_pulled() -> None:
    """A public image of the same name would be somebody else's."""
    for source, policy in (("packages", "Never"), ("registry", "IfNotPresent")):
        assert {item.values["image"]["pullPolicy"] for item in make(images=source)[1].releases} == {
            policy
        }


def test_ports_are_named_once_and_short(made: Made) -> None:
    for item in made[1].releases:
        names, numbers = (
            [port["name"] for port in item.values["ports"]],
            [port["port"] for port in item.values["ports"]],
        )
        assert len(set(names)) == len(names)
        assert len(set(numbers)) == len(numbers)
        assert all(len(name) <= 15 for name in names)


def test_the_namespace_is_the_ledger_of_versions(made: Made) -> None:
    platform, plan = made
    assert ledger_of(plan.namespaces[0].annotations) == {
        service.name: service.image.version for service in platform.services if service.volumes
    }


def test_the_ledger_keeps_what_is_turned_off() -> None:
    """Its volume is still there, and an older version must not open it later."""
    merged = {**CLUSTER, "qdrant": {"enabled": False}}
    plan = build_plan(
        make_settings(**merged),
        IDENTITY,
        make_platform(**merged),
        {"qdrant": "1.19.1", "redis-cache": "8.0.1"},
    )
    kept = ledger_of(plan.namespaces[0].annotations)
    assert kept["qdrant"] == "1.19.1"
    assert kept["redis-cache"] != "8.0.1"


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


def test_the_cluster_s_settings_reach_every_release() -> None:
    toleration = {"key": "dedicated", "operator": "Exists"}
    ingress = {
        "className": "nginx",
        "annotations": {"a": "b"},
        "hosts": [{"service": "litellm", "host": "llm.example.org", "tlsSecret": "t"}],
    }
    cluster = {
        "context": "test",
        "storageClass": "fast",
        "nodeSelector": {"pool": "data"},
        "tolerations": [toleration],
        "pullSecret": '{"auths": {}}',
        "clientNamespaces": ["shop"],
        "networkPolicies": False,
        "ingress": ingress,
    }
    plan = make(kubernetes=cluster)[1]
    for item in plan.releases:
        values = item.values
        assert values["storageClass"] == "fast"
        assert values["imagePullSecrets"] == [{"name": "registry-login"}]
        assert values["network"]["clientNamespaces"] == ["shop"]
        assert values["network"]["policy"] is False
        assert (values["nodeSelector"], values["tolerations"]) == (
            ({}, [{"operator": "Exists"}])
            if item.name in WATCHES_NODES
            else ({"pool": "data"}, [toleration])
        )
        assert bool(values["ingress"]["host"]) == (item.name == "litellm")
    assert release(plan, "litellm").values["ingress"] == {
        "host": "llm.example.org",
        "port": "http",
        "className": "nginx",
        "tlsSecret": "t",
        "annotations": {"a": "b"},
        "controllerNamespace": "",
    }
