"""What holds for every pod: running, stable, confined, inside the cluster only, without secrets in sight."""

import json
import time
from datetime import datetime
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.stream import stream

from infra.units import parse_size
from tests.health.conftest import Deployed

pytestmark = pytest.mark.target("kubernetes")

_WINDOW = 30  # seconds that a container must run without a restart before it counts as stable


_KINDS = ("pods", "services", "configmaps")
_WORKLOADS = ("statefulsets", "deployments", "daemonsets")


class Cluster:
    """One client of the stack's cluster, for all checks; what it lists, it lists once for every service of a namespace."""

    def __init__(self, target: dict[str, Any]) -> None:
        self._client = config.new_client_from_config(config_file=target["kubeconfig"] or None, context=target["context"])
        self._listed: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def of(self, service: Deployed, kind: str, *, again: bool = False) -> list[dict[str, Any]]:
        """Objects of one service's release."""
        key = (service.entry["namespace"], kind)
        if again or key not in self._listed:
            group = "/api/v1" if kind in _KINDS else "/apis/batch/v1" if kind == "jobs" else "/apis/apps/v1"
            self._listed[key] = self._get(f"{group}/namespaces/{key[0]}/{kind}")["items"]
        label = "app.kubernetes.io/instance"
        return [item for item in self._listed[key] if (item["metadata"].get("labels") or {}).get(label) == service.name]

    def log(self, pod: dict[str, Any]) -> str:
        """A pod's last lines."""
        metadata = pod["metadata"]
        core = client.CoreV1Api(self._client)
        answer: Any = core.read_namespaced_pod_log(metadata["name"], metadata["namespace"], tail_lines=5000, _preload_content=False)
        return str(answer.data)

    def execute(self, pod: dict[str, Any], command: list[str]) -> str:
        """What a command prints in a pod's first container."""
        metadata = pod["metadata"]
        core = client.CoreV1Api(self._client)
        return str(stream(
            core.connect_get_namespaced_pod_exec, metadata["name"], metadata["namespace"], command=command,
            container=pod["spec"]["containers"][0]["name"], stdin=False, stdout=True, stderr=True, tty=False,
        ))  # fmt: skip

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._client.call_api(path, "GET", auth_settings=["BearerToken"], response_type="object", _return_http_data_only=True)
        return dict(answer)


@pytest.fixture(scope="module")
def cluster(outputs: dict[str, Any]) -> Cluster:
    """The stack's cluster."""
    return Cluster(outputs["target"])


def _pods(cluster: Cluster, service: Deployed, *, again: bool = False) -> list[dict[str, Any]]:
    found = [pod for pod in cluster.of(service, "pods", again=again) if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "server"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] != "Succeeded"]


@pytest.fixture
def pods(cluster: Cluster, service: Deployed) -> list[dict[str, Any]]:
    """The service's pods that are not on their way out."""
    found = _pods(cluster, service)
    assert found, f"{service.name} has no pod"
    return found


def _container(pod: dict[str, Any]) -> dict[str, Any]:
    statuses = pod["status"].get("containerStatuses") or []
    assert statuses, pod["status"]
    status: dict[str, Any] = statuses[0]
    return status


def test_is_running_and_ready(pods: list[dict[str, Any]], service: Deployed) -> None:
    """As many pods as declared are ready by the service's own readiness check."""
    ready = [pod["metadata"]["name"] for pod in pods if _container(pod)["ready"]]
    assert len(ready) == len(pods), [pod["status"] for pod in pods]
    if not service.entry["everyNode"]:
        assert len(ready) >= service.entry["replicas"]


def test_is_stable(cluster: Cluster, pods: list[dict[str, Any]], service: Deployed) -> None:
    """From its start each container has run for 30 s without a restart."""
    began = {pod["metadata"]["uid"]: _container(pod)["state"].get("running", {}).get("startedAt") for pod in pods}
    assert all(began.values()), pods
    youngest = max(datetime.fromisoformat(str(at)) for at in began.values()).timestamp()
    time.sleep(max(0.0, _WINDOW - (time.time() - youngest)))
    after = {pod["metadata"]["uid"]: _container(pod) for pod in _pods(cluster, service, again=True) if pod["metadata"]["uid"] in began}
    assert {uid: status["state"].get("running", {}).get("startedAt") for uid, status in after.items()} == began
    assert all(status.get("lastState", {}).get("terminated", {}).get("reason") != "OOMKilled" for status in after.values()), after


def test_is_inside_the_cluster_only(cluster: Cluster, service: Deployed) -> None:
    """No Service of it opens a port on the nodes or at a load balancer."""
    found = {item["metadata"]["name"]: item["spec"]["type"] for item in cluster.of(service, "services")}
    assert set(found.values()) == {"ClusterIP"}, found


def test_is_confined(cluster: Cluster, outputs: dict[str, Any], pods: list[dict[str, Any]], service: Deployed) -> None:
    """No root and no key to the cluster's API unless declared; no capabilities, no way to gain privileges, the declared limits."""
    if service.entry["operator"]:
        pytest.skip(f"{service.entry['operator']} makes these pods, by its own rules")
    for pod in pods:
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        assert spec["securityContext"]["runAsNonRoot"] is not service.entry["root"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": service.entry["readOnlyRoot"],
        }  # fmt: skip
        limits = container["resources"]["limits"]
        assert parse_size(f"{limits['memory']}B") == parse_size(service.entry["limits"]["memory"])
        assert limits["ephemeral-storage"]
        assert _cores(limits["cpu"]) == pytest.approx(service.entry["limits"]["cpus"])
        assert bool([volume for volume in spec["volumes"] if "projected" in volume]) == service.entry["asksCluster"]
        if outputs["images"] == "packages":
            # Official images without a shell cannot be asked from inside.
            inside = cluster.execute(pod, ["sh", "-c", "id -u; test -e /var/run/secrets/kubernetes.io && echo token || echo none"])
            assert inside.split() == [str(spec["securityContext"]["runAsUser"]), "token" if service.entry["asksCluster"] else "none"]


def _cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def test_shows_no_secret(cluster: Cluster, outputs: dict[str, Any], pods: list[dict[str, Any]], service: Deployed) -> None:
    """No credential of the stack stands in a pod, a ConfigMap or the last lines of a log."""
    text = json.dumps([pods, cluster.of(service, "configmaps"), *(cluster.of(service, kind) for kind in (*_WORKLOADS, "jobs"))])
    text += "".join(map(cluster.log, pods))
    found = [f"{owner}: {purpose}" for owner, credentials in outputs["credentials"].items() for purpose, value in credentials.items() if value in text]
    assert found == []
