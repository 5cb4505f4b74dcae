"""What holds for every pod: running, stable, confined, inside the cluster only, without secrets in sight."""

import json
import subprocess
import time
from datetime import datetime
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from infra.units import parse_size
from ops import forward
from tests.health.conftest import Deployed

pytestmark = pytest.mark.target("kubernetes")

_WINDOW = 30  # seconds that a container must run without a restart before it counts as stable


@pytest.fixture(scope="module")
def kubectl(outputs: dict[str, Any]) -> list[str]:
    """The command that reaches the cluster."""
    return forward.kubectl(outputs["target"])


def _get(kubectl: list[str], service: Deployed, what: str) -> list[dict[str, Any]]:
    """Objects of one service's release."""
    selector = f"app.kubernetes.io/instance={service.name}"
    command = [*kubectl, "--namespace", service.entry["namespace"], "get", what, "--selector", selector, "-o", "json"]
    items: list[dict[str, Any]] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["items"]
    return items


@pytest.fixture
def pods(kubectl: list[str], service: Deployed) -> list[dict[str, Any]]:
    """The service's pods that are not on their way out."""
    found = [pod for pod in _get(kubectl, service, "pods") if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "server"]
    found = [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] != "Succeeded"]
    assert found, f"{service.name} has no pod"
    return found


def _container(pod: dict[str, Any]) -> dict[str, Any]:
    statuses = pod["status"].get("containerStatuses") or []
    assert statuses, pod["status"]
    status: dict[str, Any] = statuses[0]
    return status


def _inside(outputs: dict[str, Any], pod: dict[str, Any]) -> Host:
    """The pod's first container, as testinfra reaches it by kubectl."""
    target = outputs["target"]
    return testinfra.get_host(
        pod["metadata"]["name"], connection="kubectl", namespace=pod["metadata"]["namespace"],
        container=pod["spec"]["containers"][0]["name"], context=target["context"], kubeconfig=target["kubeconfig"] or None,
    )  # fmt: skip


def test_is_running_and_ready(pods: list[dict[str, Any]], service: Deployed) -> None:
    """As many pods as declared are ready by the service's own readiness check."""
    ready = [pod["metadata"]["name"] for pod in pods if _container(pod)["ready"]]
    assert len(ready) == len(pods), [pod["status"] for pod in pods]
    if not service.entry["everyNode"]:
        assert len(ready) >= service.entry["replicas"]


def test_is_stable(kubectl: list[str], pods: list[dict[str, Any]], service: Deployed) -> None:
    """From its start each container has run for 30 s without a restart."""
    began = {pod["metadata"]["uid"]: _container(pod)["state"].get("running", {}).get("startedAt") for pod in pods}
    assert all(began.values()), pods
    youngest = max(datetime.fromisoformat(str(at)) for at in began.values()).timestamp()
    time.sleep(max(0.0, _WINDOW - (time.time() - youngest)))
    after = {pod["metadata"]["uid"]: _container(pod) for pod in _get(kubectl, service, "pods") if pod["metadata"]["uid"] in began}
    assert {uid: status["state"].get("running", {}).get("startedAt") for uid, status in after.items()} == began
    assert all(status.get("lastState", {}).get("terminated", {}).get("reason") != "OOMKilled" for status in after.values()), after


def test_is_inside_the_cluster_only(kubectl: list[str], service: Deployed) -> None:
    """No Service of it opens a port on the nodes or at a load balancer."""
    found = {item["metadata"]["name"]: item["spec"]["type"] for item in _get(kubectl, service, "services")}
    assert set(found.values()) == {"ClusterIP"}, found


def test_is_confined(outputs: dict[str, Any], pods: list[dict[str, Any]], service: Deployed) -> None:
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
            inside = _inside(outputs, pod)
            assert inside.check_output("id -u") == str(spec["securityContext"]["runAsUser"])
            assert inside.file("/var/run/secrets/kubernetes.io").exists == service.entry["asksCluster"]


def _cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def test_shows_no_secret(kubectl: list[str], outputs: dict[str, Any], pods: list[dict[str, Any]], service: Deployed) -> None:
    """No credential of the stack stands in a pod, a ConfigMap or the last lines of a log."""
    text = json.dumps([pods, _get(kubectl, service, "configmaps"), _get(kubectl, service, "statefulsets,deployments,daemonsets,jobs")])
    for pod in pods:
        command = [*kubectl, "--namespace", service.entry["namespace"], "logs", "--tail=5000", pod["metadata"]["name"]]
        text += subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [f"{owner}: {purpose}" for owner, credentials in outputs["credentials"].items() for purpose, value in credentials.items() if value in text]
    assert found == []
