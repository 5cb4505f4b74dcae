"""What is refused because of the cluster: facts in, problems out."""

from dataclasses import replace
from typing import Any

import pytest

from infra.consent import Consent
from infra.identity import Identity
from infra.refusal import Violation
from infra.targets.kubernetes import checks as cluster_checks
from infra.targets.kubernetes.facts import ClusterFacts, Node
from infra.units import GIB
from tests.support.identity import IDENTITY
from tests.unit.conftest import make_platform, make_settings

OTHER_MASTER = Identity(project="groundwork", stack="dev", instance="abc123", master="000000000000")
NODE = Node(name="one", memory=64 * GIB, cpus=16, labels={"pool": "data"})
TAINTED = replace(NODE, taints=({"key": "dedicated", "value": "db", "effect": "NoSchedule"},))
ROOMY = ClusterFacts(
    version="v1.34.4",
    nodes=(NODE,),
    storage_classes={"fast": False, "standard": True},
    api_groups=frozenset({"apps"}),
)
HOME = "groundwork-dev"


def owned(identity: Identity = IDENTITY, **versions: str) -> dict[str, Any]:
    return {
        HOME: {
            "labels": identity.labels,
            "annotations": {
                f"groundwork.version.{name}": version for name, version in versions.items()
            },
        }
    }


def check(facts: ClusterFacts, **keys: Any) -> list[Violation]:
    merged: dict[str, Any] = {"target": "kubernetes", "kubernetes": {"context": "test"}, **keys}
    return cluster_checks.check(make_settings(**merged), make_platform(**merged), IDENTITY, facts)


def kubernetes(**keys: Any) -> dict[str, Any]:
    return {"kubernetes": {"context": "test", **keys}}


@pytest.mark.parametrize(
    ("facts", "keys"),
    [
        (ROOMY, {}),
        (replace(ROOMY, namespaces=owned(postgres="18")), {}),
        (
            replace(
                ROOMY,
                namespaces=owned(),
                ledger={"postgres": "18"},
                claims=frozenset({"postgres-data-postgres-0"}),
            ),
            {},
        ),
        (
            replace(
                ROOMY,
                namespaces=owned(),
                ledger={"postgres": "18"},
                consent=Consent(empty=frozenset({"postgres"})),
            ),
            {},
        ),
        (replace(ROOMY, namespaces=owned(postgres="17"), claims=frozenset()), {}),
        (replace(ROOMY, storage_classes={"fast": False}), kubernetes(storageClass="fast")),
        (
            replace(ROOMY, nodes=(TAINTED,)),
            kubernetes(tolerations=[{"key": "dedicated", "operator": "Exists"}]),
        ),
        (
            replace(ROOMY, nodes=(TAINTED,)),
            kubernetes(tolerations=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]),
        ),
        (replace(ROOMY, nodes=(TAINTED, NODE)), {}),
        (
            replace(ROOMY, api_groups=frozenset({"postgresql.cnpg.io"})),
            {"postgres": {"replicas": 3}},
        ),
        (
            replace(ROOMY, ingress_classes=frozenset({"nginx"})),
            kubernetes(ingress={"className": "nginx"}),
        ),
    ],
)
def test_accepts(facts: ClusterFacts, keys: dict[str, Any]) -> None:
    assert check(facts, **keys) == []


CASES: list[tuple[str, ClusterFacts, dict[str, Any], str, str]] = [
    (
        "a namespace of somebody else",
        replace(ROOMY, namespaces={HOME: {"labels": {}}}),
        {},
        "groundwork:kubernetes.namespace",
        "does not belong to this stack",
    ),
    (
        "a host namespace of somebody else",
        replace(ROOMY, namespaces={f"{HOME}-host": {}}),
        {},
        "groundwork:kubernetes.namespace",
        f"{HOME}-host",
    ),
    (
        "a namespace of another master",
        replace(ROOMY, namespaces=owned(OTHER_MASTER)),
        {},
        "groundwork:masterSecret",
        "another master secret",
    ),
    (
        "a storage class that there is not",
        ROOMY,
        kubernetes(storageClass="slow"),
        "groundwork:kubernetes.storageClass",
        "`slow`",
    ),
    (
        "no default storage class",
        replace(ROOMY, storage_classes={"fast": False}),
        {},
        "groundwork:kubernetes.storageClass",
        "no default",
    ),
    (
        "memory that no node has",
        ROOMY,
        {"qdrant": {"memory": "100GiB"}},
        "groundwork:qdrant.memory",
        "more than the largest node has",
    ),
    (
        "cores that no node has",
        ROOMY,
        {"clickhouse": {"cpus": 32}},
        "groundwork:clickhouse.cpus",
        "more than the largest node has (16)",
    ),
    (
        "more memory than all nodes",
        replace(ROOMY, nodes=(replace(NODE, memory=4 * GIB),)),
        {},
        "groundwork:clickhouse.memory",
        "the limits add up to",
    ),
    (
        "replicas beyond all nodes",
        replace(ROOMY, nodes=(replace(NODE, memory=8 * GIB),)),
        {"qdrant": {"memory": "4GiB", "replicas": 3}},
        "groundwork:qdrant.memory",
        "the limits add up to",
    ),
    (
        "labels that no node has",
        ROOMY,
        kubernetes(nodeSelector={"pool": "gpu"}),
        "groundwork:kubernetes.nodeSelector",
        "exclude them",
    ),
    (
        "taints that nobody tolerates",
        replace(ROOMY, nodes=(TAINTED,)),
        {},
        "groundwork:kubernetes.nodeSelector",
        "exclude them",
    ),
    (
        "a toleration of another value",
        replace(ROOMY, nodes=(TAINTED,)),
        kubernetes(tolerations=[{"key": "dedicated", "value": "web"}]),
        "groundwork:kubernetes.nodeSelector",
        "exclude them",
    ),
    (
        "an operator that is not installed",
        ROOMY,
        {"postgres": {"replicas": 3}},
        "groundwork:postgres.replicas",
        "CloudNativePG",
    ),
    (
        "an ingress class that there is not",
        ROOMY,
        kubernetes(ingress={"className": "nginx"}),
        "groundwork:kubernetes.ingress.className",
        "`nginx`",
    ),
    (
        "Postgres of another major",
        replace(
            ROOMY,
            namespaces=owned(postgres="17.12"),
            claims=frozenset({"postgres-data-postgres-0"}),
        ),
        {},
        "groundwork:images",
        "Postgres 17 data directory",
    ),
    (
        "several instances over the data of one",
        replace(
            ROOMY,
            api_groups=frozenset({"postgresql.cnpg.io"}),
            claims=frozenset({"postgres-data-postgres-0"}),
        ),
        {"postgres": {"replicas": 3}},
        "groundwork:postgres.replicas",
        "one instance",
    ),
    (
        "one instance over the data of several",
        replace(ROOMY, claims=frozenset({"postgres-1"})),
        {},
        "groundwork:postgres.replicas",
        "several instances",
    ),
    (
        "a cluster that is too old",
        replace(ROOMY, version="v1.27.3+k3s1"),
        {},
        "groundwork:kubernetes.context",
        "1.29",
    ),
    (
        "a store whose claim is gone",
        replace(ROOMY, namespaces=owned(), ledger={"postgres": "18"}),
        {},
        "groundwork:postgres (volume postgres-data-postgres-0)",
        "postgres would start empty",
    ),
    (
        "a downgrade",
        replace(
            ROOMY, namespaces=owned(minio="2026.09.17"), claims=frozenset({"minio-data-minio-0"})
        ),
        {},
        "groundwork:images",
        "older than 2026.09.17",
    ),
]


@pytest.mark.parametrize(
    ("facts", "keys", "key", "reason"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_refuses(facts: ClusterFacts, keys: dict[str, Any], key: str, reason: str) -> None:
    """One message with the key, the reason and a fix."""
    problems = check(facts, **keys)
    assert [problem.key for problem in problems] == [key], problems
    assert reason in problems[0].reason
    assert problems[0].fix


def notes(facts: ClusterFacts, **keys: Any) -> str:
    merged: dict[str, Any] = {"target": "kubernetes", "kubernetes": {"context": "test"}, **keys}
    return " ".join(cluster_checks.notes(make_settings(**merged), make_platform(**merged), facts))


def test_says_what_the_cluster_may_not_do() -> None:
    """Enforce policies, scale by load, pull what was built here."""
    assert "policies" in notes(ROOMY)
    assert "policies" not in notes(ROOMY, **kubernetes(networkPolicies=False))
    assert "metrics server" in notes(ROOMY, litellm={"maxReplicas": 3})
    assert "metrics server" not in notes(
        replace(ROOMY, api_groups=frozenset({"metrics.k8s.io"})), litellm={"maxReplicas": 3}
    )
    assert "load them into every node" in notes(ROOMY, images="packages")
