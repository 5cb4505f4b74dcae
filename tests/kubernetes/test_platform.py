"""A platform's life in a real cluster. The order of the tests is the order of that life."""

import copy
import json
import operator
from collections.abc import Callable
from typing import Any

import pytest

from infra.description import describe
from infra.targets.kubernetes.plan import CHART, Release
from ops.review.compare import compare
from tests.kubernetes.conftest import Deployment, changed
from tests.kubernetes.installer import secret_object
from tests.support.waiting import wait_until


def uids(deployment: Deployment) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in deployment.pods().items()}


def generations(deployment: Deployment) -> dict[str, int]:
    found = deployment.installer.get(
        "statefulsets,deployments", "--namespace", deployment.namespace
    )["items"]
    return {item["metadata"]["name"]: item["metadata"]["generation"] for item in found}


def test_everything_is_healthy(deployed: Deployment, say: Callable[[str], None]) -> None:
    """The same health checks as on Docker, through forwards, and those of pods by the API."""
    done = deployed.health("tests/health", record=True)
    assert done.returncode == 0, done.stdout[-6000:]
    say(f"health checks on Kubernetes: {done.stdout.strip().splitlines()[-1]}")
    again = deployed.health("tests/health", "-m", "not deep")
    assert again.returncode == 0, again.stdout[-6000:]
    say(f"the same, where nothing has changed: {again.stdout.strip().splitlines()[-1]}")


def test_an_alert_of_a_service_names_the_node_it_ran_on(deployed: Deployment) -> None:
    """So that a node that is down silences what is said of it."""

    def asked(expression: str) -> list[dict[str, Any]]:
        login = "--http.config.file=/etc/groundwork/client.yml"
        found: list[dict[str, Any]] = json.loads(
            deployed.execute(
                "prometheus-0",
                f"promtool query instant {login} --format=json http://127.0.0.1:9090"
                f" '{expression}'",
            )
        )
        return found

    # Prometheus asks itself over the loopback, and applications are asked where the configuration
    # says.
    wait_until(
        lambda: asked(
            'groundwork:service_up{host="", job!="prometheus"} or up{host="", role="exporter"}'
        ),
        until=operator.not_,
        timeout=90,
        interval=2,
        reason="no service is without the name of its node",
    )
    nodes = {item["metadata"]["name"] for item in deployed.installer.get("nodes")["items"]}
    named = asked('groundwork:service_up{job!="prometheus"}')
    assert {item["metric"]["host"] for item in named} == nodes
    assert {"postgres", "redis-cache", "redis-queue", "minio", "litellm", "alloy", "loki"} <= {
        item["metric"]["service"] for item in named
    }


def test_every_service_that_has_an_image_is_installed(deployed: Deployment) -> None:
    installed = json.loads(deployed.installer.helm("list", "--all-namespaces", "-o", "json").stdout)
    spaces = {namespace.name for namespace in deployed.plan().namespaces}
    mine = {item["name"]: item["status"] for item in installed if item["namespace"] in spaces}
    assert set(mine) == {service.name for service in deployed.platform.services}
    assert set(mine.values()) == {"deployed"}


def test_the_namespace_refuses_what_is_not_restricted(deployed: Deployment) -> None:
    """Only what watches the nodes is elsewhere; a privileged pod does not get in here."""
    spec = {
        "containers": [
            {"name": "c", "image": "any.example/any:1", "securityContext": {"privileged": True}}
        ]
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "intruder", "namespace": deployed.namespace},
        "spec": spec,
    }
    said = deployed.installer.kubectl(
        "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod), check=False
    )
    assert 'violates PodSecurity "restricted' in said
    outside = {service.name for service in deployed.platform.services if service.per_node}
    assert outside == {"node-exporter", "alloy-logs"}


def test_a_second_install_changes_nothing(deployed: Deployment) -> None:
    """No pod is made anew and no workload's specification changes; provisioning runs again and
    finds its work done.
    """
    before = uids(deployed), generations(deployed), deployed.sql("SELECT count(*) FROM pg_roles")
    deployed.installer.install(deployed.plan())
    assert (
        uids(deployed),
        generations(deployed),
        deployed.sql("SELECT count(*) FROM pg_roles"),
    ) == before


@pytest.fixture
def kept(deployed: Deployment) -> None:
    """A row in Postgres, which is to be there afterwards."""
    deployed.sql(
        "CREATE TABLE IF NOT EXISTS kept (value int); TRUNCATE kept; INSERT INTO kept VALUES (42)"
    )


def described(deployment: Deployment) -> dict[str, Any]:
    """What a stack file of these settings is described as; its secrets do not matter here."""
    secret = ("masterSecret", "litellm")
    keys = {key: value for key, value in deployment.keys.items() if key not in secret}
    return describe({"config": {f"groundwork:{key}": value for key, value in keys.items()}}, "live")


def test_a_changed_setting_rolls_one_service_and_keeps_its_data(
    deployed: Deployment, kept: None
) -> None:
    """And a review says just that before."""
    set_key = (
        "REDISCLI_AUTH=$(cat /etc/groundwork/health-password) redis-cli --user health"
        " --no-auth-warning ping"
    )
    assert deployed.execute("redis-queue-0", set_key) == "PONG"
    before = uids(deployed)
    other = changed(deployed, postgres={**deployed.keys["postgres"], "maxConnections": 77})
    review = compare(described(deployed), described(other), compared_with="what is deployed")
    assert [item.text for item in review.findings] == [
        "`postgres` is rolled: its volume is kept, clients are cut off for about 4 s"
    ]
    deployed.installer.install(other.plan())
    deployed.wait_ready("postgres")
    after = uids(deployed)
    assert {name for name in before if before[name] != after.get(name)} == {"postgres-0"}
    assert deployed.sql("SHOW max_connections") == "77"
    assert deployed.sql("SELECT value FROM kept") == "42"
    deployed.keys = other.keys


def test_a_deleted_pod_comes_back_with_its_data(deployed: Deployment, kept: None) -> None:
    before = uids(deployed)["postgres-0"]
    deployed.installer.kubectl(
        "--namespace", deployed.namespace, "delete", "pod", "postgres-0", "--timeout=90s"
    )
    deployed.wait_ready("postgres")
    assert uids(deployed)["postgres-0"] != before
    assert deployed.sql("SELECT value FROM kept") == "42"


def test_a_nodes_collector_goes_on_where_the_last_one_was(deployed: Deployment) -> None:
    """How far each log was read outlives the pod: else every change of a setting would send all
    logs again.
    """
    namespace = deployed.settings.host_namespace
    ((name, before),) = deployed.pods("alloy-logs", namespace=namespace).items()
    deployed.execute(name, "echo 42 > /alloy/mark", namespace=namespace)
    deployed.installer.kubectl("--namespace", namespace, "delete", "pod", name, "--wait=true")
    deployed.wait_ready("alloy-logs", namespace=namespace)
    ((name, after),) = deployed.pods("alloy-logs", namespace=namespace).items()
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert deployed.execute(name, "cat /alloy/mark && rm /alloy/mark", namespace=namespace) == "42"


def test_a_failed_upgrade_is_rolled_back(deployed: Deployment) -> None:
    """A provisioning job that fails makes the release fail; what ran before runs on."""
    release = next(item for item in deployed.plan().releases if item.name == "minio")
    values = copy.deepcopy(dict(release.values))
    values["jobs"][0] |= {"script": "echo it cannot be done >&2; exit 3\n", "timeout": 8}
    before = uids(deployed)
    arguments = (
        "upgrade",
        "--install",
        "minio",
        CHART,
        "--namespace",
        release.namespace,
        "--rollback-on-failure",
        "--wait",
        "--timeout=60s",
        "--values=-",
    )
    done = deployed.installer.helm(*arguments, stdin=json.dumps(values), check=False)
    assert done.returncode != 0
    assert "minio-provision" in done.stderr or "post-upgrade" in done.stderr, done.stderr
    assert uids(deployed) == before
    status = json.loads(
        deployed.installer.helm(
            "status", "minio", "--namespace", release.namespace, "-o", "json"
        ).stdout
    )
    assert status["info"]["status"] == "deployed"
    deployed.installer.release(release)


CLIENT = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "client", "labels": {}},
    "spec": {
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "client",
                "command": ["sleep", "300"],
                "imagePullPolicy": "IfNotPresent",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    },
}


def reaches(deployed: Deployment, name: str, labels: dict[str, str]) -> bool:
    """True if a pod with these labels gets an answer from the queue: its refusal of somebody
    without a password.
    """
    pod: Any = copy.deepcopy(CLIENT)
    pod["metadata"] |= {"name": name, "namespace": deployed.namespace, "labels": labels}
    image = deployed.platform.by_name("redis-queue").image
    pod["spec"]["containers"][0]["image"] = image.reference
    deployed.installer.apply(pod)
    try:
        deployed.installer.kubectl(
            "--namespace",
            deployed.namespace,
            "wait",
            f"pod/{name}",
            "--for=condition=Ready",
            "--timeout=60s",
        )
        return "NOAUTH" in deployed.execute(
            name, "timeout 5 redis-cli -h redis-queue ping 2>&1 || true"
        )
    finally:
        deployed.installer.kubectl(
            "--namespace", deployed.namespace, "delete", "pod", name, "--grace-period=0", "--force"
        )


def test_a_client_that_declares_itself_gets_in(deployed: Deployment) -> None:
    """By the label that the outputs name, as an application's pod would."""
    assert reaches(deployed, "friend", {deployed.outputs()["networks"]["redis-queue"]: "true"})


def test_a_client_that_does_not_is_kept_out(deployed: Deployment) -> None:
    """By real traffic. A cluster whose network plug-in ignores policies cannot prove it, and that
    is said, not passed.
    """
    if reaches(deployed, "stranger", {}):
        pytest.skip(
            "network policies are declared and accepted, and not enforced by this cluster's network"
            " plug-in (bridge)"
        )


def test_uninstalling_keeps_the_volume_claims(deployed: Deployment, kept: None) -> None:
    """And installing again finds the data."""
    claims = deployed.installer.get("persistentvolumeclaims", "--namespace", deployed.namespace)[
        "items"
    ]
    before = {item["metadata"]["name"]: item["metadata"]["uid"] for item in claims}
    assert "postgres-data-postgres-0" in before
    for release in deployed.plan().releases:
        deployed.installer.helm(
            "uninstall", release.name, "--namespace", release.namespace, "--wait"
        )
    assert uids(deployed) == {}
    claims = deployed.installer.get("persistentvolumeclaims", "--namespace", deployed.namespace)[
        "items"
    ]
    assert {item["metadata"]["name"]: item["metadata"]["uid"] for item in claims} == before
    deployed.installer.install(deployed.plan())
    assert deployed.sql("SELECT value FROM kept") == "42"
    done = deployed.health("tests/health", "-m", "not deep")
    assert done.returncode == 0, done.stdout[-4000:]


def test_no_secret_is_in_a_release(deployed: Deployment) -> None:
    """Helm keeps every release's values in the cluster: they name Secrets and hold none."""
    credentials = {
        value for owner in deployed.outputs()["credentials"].values() for value in owner.values()
    }
    releases = deployed.plan().releases
    stored = {release.name: _stored(deployed, release) for release in releases}
    assert [
        name for name, text in stored.items() if any(value in text for value in credentials)
    ] == []
    found = {
        secret.name: set(
            deployed.installer.get("secret", secret.name, "--namespace", release.namespace)["data"]
        )
        for release in releases
        for secret in release.secrets
    }
    assert found == {
        secret.name: set(secret_object(secret, "")["data"])
        for release in releases
        for secret in release.secrets
    }


def _stored(deployed: Deployment, release: Release) -> str:
    return deployed.installer.helm(
        "get", "all", release.name, "--namespace", release.namespace
    ).stdout


@pytest.mark.parametrize(
    ("expected", "status"), [("NOAUTH", 0), ("PONG", 1)], ids=["works", "does not"]
)
def test_helm_test_runs_a_client_of_the_service(
    deployed: Deployment, expected: str, status: int
) -> None:
    """In the service's own image, by its name, through the network policies."""
    release = next(item for item in deployed.plan().releases if item.name == "redis-cache")
    ask = f'redis-cli -h "$SERVICE_HOST" ping 2>&1 | grep -q {expected}'
    values = {**release.values, "test": {"command": ["sh", "-c", ask]}}
    where = ("--namespace", release.namespace)
    before = uids(deployed)
    try:
        deployed.installer.helm(
            "upgrade", release.name, CHART, *where, "--wait", "--values=-", stdin=json.dumps(values)
        )
        done = deployed.installer.helm("test", release.name, *where, "--timeout=60s", check=False)
        assert done.returncode == status, done.stdout + done.stderr
        assert uids(deployed) == before
    finally:
        deployed.installer.helm(
            "upgrade",
            release.name,
            CHART,
            *where,
            "--wait",
            "--values=-",
            stdin=json.dumps(dict(release.values)),
        )
        name = f"{release.name}-test"
        deployed.installer.kubectl(*where, "delete", "pod", name, "--ignore-not-found")
