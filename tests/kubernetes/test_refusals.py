"""Bad input, asked of the real API: one message each with key, reason and fix, and nothing is
changed.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.consent import Consent
from infra.refusal import PreflightError, Violation
from infra.targets.kubernetes import checks as cluster_checks
from infra.targets.kubernetes import facts as kubernetes_api
from tests.kubernetes.conftest import Deployment, changed


def problems(deployment: Deployment) -> list[Violation]:
    """What the program would refuse a deployment for, before its first resource."""
    settings = deployment.settings
    try:
        facts = kubernetes_api.read_facts(settings, Consent())
    except PreflightError as refused:
        return list(refused.problems)
    return cluster_checks.check(settings, deployment.platform, deployment.identity, facts)


def cluster(deployed: Deployment, **keys: Any) -> dict[str, Any]:
    return {**deployed.keys["kubernetes"], **keys}


@pytest.fixture
def stranger(deployed: Deployment) -> Iterator[str]:
    """A namespace that is somebody else's."""
    name = f"{deployed.namespace}-stranger"
    deployed.installer.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    deployed.installer.kubectl("delete", "namespace", name)


def test_what_is_deployed_may_be_deployed_again(deployed: Deployment) -> None:
    assert problems(deployed) == []


@pytest.mark.parametrize(
    ("keys", "key", "reason"),
    [
        (
            {"kubernetes": {"context": "nowhere"}},
            "groundwork:kubernetes.context",
            "has no context `nowhere`",
        ),
        (
            {"kubernetes": {"kubeconfig": "/nonexistent/config"}},
            "groundwork:kubernetes.kubeconfig",
            "no usable kubeconfig",
        ),
        (
            {"kubernetes": {"storageClass": "no-such-class"}},
            "groundwork:kubernetes.storageClass",
            "no-such-class",
        ),
        (
            {"kubernetes": {"nodeSelector": {"no-such-label": "x"}}},
            "groundwork:kubernetes.nodeSelector",
            "exclude them",
        ),
        (
            {"postgres": {"memory": "4000GiB"}},
            "groundwork:postgres.memory",
            "more than the largest node has",
        ),
        (
            {"images": "registry", "postgres": {"replicas": 3}},
            "groundwork:postgres.replicas",
            "CloudNativePG",
        ),
        (
            {"kubernetes": {"ingress": {"className": "no-such-ingress"}}},
            "groundwork:kubernetes.ingress.className",
            "no-such-ingress",
        ),
        (
            {"masterSecret": "An0therMasterSecretThatWasNeverUsedHere"},
            "groundwork:masterSecret",
            "another master secret",
        ),
    ],
    ids=[
        "an unknown context",
        "no kubeconfig",
        "a storage class",
        "labels",
        "a request that no node holds",
        "an operator",
        "an ingress class",
        "a master secret",
    ],
)
def test_refuses(deployed: Deployment, keys: dict[str, Any], key: str, reason: str) -> None:
    if "CloudNativePG" in reason and "postgresql.cnpg.io" in deployed.installer.kubectl(
        "api-versions"
    ):
        pytest.skip("the named cluster has CloudNativePG")
    merged = {**keys, "kubernetes": cluster(deployed, **keys.get("kubernetes", {}))}
    before = _everything(deployed)
    found = [item for item in problems(changed(deployed, **merged)) if item.key == key]
    assert any(reason in item.reason for item in found), found
    assert all(item.fix for item in found)
    assert _everything(deployed) == before


def test_refuses_a_namespace_of_somebody_else(deployed: Deployment, stranger: str) -> None:
    found = problems(changed(deployed, kubernetes=cluster(deployed, namespace=stranger)))
    assert [item.key for item in found] == ["groundwork:kubernetes.namespace"]
    assert "does not belong to this stack" in found[0].reason


def test_refuses_a_cluster_that_does_not_answer(deployed: Deployment, tmp_path: Any) -> None:
    """Within seconds, and by the context's name."""
    dead = {"name": "dead", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "dead", "context": {"cluster": "dead", "user": "nobody"}}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [dead],
        "contexts": [context],
        "users": [{"name": "nobody", "user": {}}],
    }
    (tmp_path / "config").write_text(json.dumps({**content, "current-context": "dead"}))
    found = problems(
        changed(
            deployed,
            kubernetes=cluster(deployed, kubeconfig=str(tmp_path / "config"), context="dead"),
        )
    )
    assert [item.key for item in found] == ["groundwork:kubernetes.context"]
    assert "does not answer" in found[0].reason


def _everything(deployed: Deployment) -> list[str]:
    """Every object of the stack's namespaces that a deploy could change."""
    found: list[str] = []
    for namespace in deployed.plan().namespaces:
        kinds = (
            "statefulsets,deployments,daemonsets,services,configmaps,secrets,jobs,"
            "networkpolicies,persistentvolumeclaims"
        )
        items = deployed.installer.get(kinds, "--namespace", namespace.name)["items"]
        found += [
            f"{item['kind']} {item['metadata']['name']} {item['metadata'].get('generation')}"
            for item in items
        ]
    return sorted(found)
