"""Checks of every pod: running, stable, confined, inside the cluster only, without secrets in
sight.
"""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from infra.units import parse_size
from tests.health.cluster import Cluster
from tests.health.conftest import Deployed

pytestmark = pytest.mark.target("kubernetes")

_WINDOW = 30  # seconds that a container must run without a restart before it counts as stable


@pytest.fixture(scope="module")
def cluster(outputs: dict[str, Any]) -> Iterator[Cluster]:
    """The API of the stack's cluster."""
    made = Cluster(outputs["target"])
    yield made
    made.close()


def _get(cluster: Cluster, service: Deployed, *kinds: str) -> list[dict[str, Any]]:
    """Objects of one service's release."""
    return cluster.of(service.entry["namespace"], service.name, *kinds)


@pytest.fixture
def pods(cluster: Cluster, service: Deployed) -> list[dict[str, Any]]:
    """The service's pods that are not on their way out."""
    found = [
        pod
        for pod in _get(cluster, service, "pods")
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "server"
    ]
    found = [
        pod
        for pod in found
        if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] != "Succeeded"
    ]
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
    if not service.entry["operator"]:
        beside = [
            {item["name"] for item in statuses if item["ready"]}
            for statuses in (pod["status"].get("initContainerStatuses", ()) for pod in pods)
        ]
        assert beside == [set(service.entry["sidecars"])] * len(pods)


@pytest.mark.watches
def test_is_stable(cluster: Cluster, pods: list[dict[str, Any]], service: Deployed) -> None:
    """From its start each container has run for 30 s without a restart."""
    began = {
        pod["metadata"]["uid"]: _container(pod)["state"].get("running", {}).get("startedAt")
        for pod in pods
    }
    assert all(began.values()), pods
    youngest = max(datetime.fromisoformat(str(at)) for at in began.values()).timestamp()
    time.sleep(max(0.0, _WINDOW - (time.time() - youngest)))
    after = {
        pod["metadata"]["uid"]: _container(pod)
        for pod in _get(cluster, service, "pods")
        if pod["metadata"]["uid"] in began
    }
    assert {
        uid: status["state"].get("running", {}).get("startedAt") for uid, status in after.items()
    } == began
    assert all(
        status.get("lastState", {}).get("terminated", {}).get("reason") != "OOMKilled"
        for status in after.values()
    ), after


def test_is_inside_the_cluster_only(cluster: Cluster, service: Deployed) -> None:
    """No Service of it opens a port on the nodes or at a load balancer."""
    found = {
        item["metadata"]["name"]: item["spec"]["type"]
        for item in _get(cluster, service, "services")
    }
    assert set(found.values()) == {"ClusterIP"}, found


def test_is_confined(
    cluster: Cluster, outputs: dict[str, Any], pods: list[dict[str, Any]], service: Deployed
) -> None:
    """No root and no key to the cluster's API unless declared; no capabilities, no way to gain
    privileges, the declared limits.
    """
    if service.entry["operator"]:
        pytest.skip(f"{service.entry['operator']} makes these pods, by its own rules")
    found = {pod["metadata"]["name"]: _confinement(pod) for pod in pods}
    wanted = {
        "runAsNonRoot": not service.entry["root"],
        "seccompProfile": {"type": "RuntimeDefault"},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": service.entry["readOnlyRoot"],
        },
        "memory": parse_size(service.entry["limits"]["memory"]),
        "cores": pytest.approx(service.entry["limits"]["cpus"]),
        "ephemeral storage is limited": True,
        "asks the cluster": service.entry["asksCluster"],
    }
    assert found == dict.fromkeys(found, wanted)
    for pod in pods:
        for sidecar in pod["spec"].get("initContainers", ()):
            assert sidecar["securityContext"] == {
                **wanted["securityContext"],
                "readOnlyRootFilesystem": True,
            }
            assert {*sidecar["resources"]["limits"]} == {"memory", "cpu", "ephemeral-storage"}
    if outputs["images"] == "packages":
        # Official images without a shell cannot be asked from inside.
        assert {pod["metadata"]["name"]: _inside(cluster, pod) for pod in pods} == {
            pod["metadata"]["name"]: (
                str(pod["spec"]["securityContext"]["runAsUser"]),
                service.entry["asksCluster"],
            )
            for pod in pods
        }


def _confinement(pod: dict[str, Any]) -> dict[str, Any]:
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    limits = container["resources"]["limits"]
    return {
        "runAsNonRoot": spec["securityContext"]["runAsNonRoot"],
        "seccompProfile": spec["securityContext"]["seccompProfile"],
        "securityContext": container["securityContext"],
        "memory": parse_size(f"{limits['memory']}B"),
        "cores": _cores(limits["cpu"]),
        "ephemeral storage is limited": bool(limits["ephemeral-storage"]),
        "asks the cluster": any("projected" in volume for volume in spec["volumes"]),
    }


def _inside(cluster: Cluster, pod: dict[str, Any]) -> tuple[str, bool]:
    """The user in a pod, and whether it holds a key to the cluster's API."""
    user, *token = cluster.execute(
        pod, "sh", "-c", "id -u; ls /var/run/secrets/kubernetes.io 2> /dev/null"
    ).split()
    return user, bool(token)


def _cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def test_shows_no_secret(
    cluster: Cluster, outputs: dict[str, Any], pods: list[dict[str, Any]], service: Deployed
) -> None:
    """No credential of the stack stands in a pod, a ConfigMap or the last lines of a log."""
    text = json.dumps(
        [
            pods,
            _get(cluster, service, "configmaps"),
            _get(cluster, service, "statefulsets", "deployments", "daemonsets", "jobs"),
        ]
    )
    for pod in pods:
        text += cluster.log(pod)
    found = [
        f"{owner}: {purpose}"
        for owner, credentials in outputs["credentials"].items()
        for purpose, value in credentials.items()
        if value in text
    ]
    assert found == []
