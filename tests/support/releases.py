"""What a platform is on Kubernetes, without a cluster."""

from typing import Any

from infra.spec import Platform
from infra.targets.kubernetes.plan import Plan
from infra.targets.kubernetes.plan import build as build_plan
from tests.support.identity import IDENTITY
from tests.unit.conftest import make_platform, make_settings

CLUSTER: dict[str, Any] = {"target": "kubernetes", "kubernetes": {"context": "test"}}
SCALED: dict[str, Any] = {
    "postgres": {"replicas": 3},
    "qdrant": {"replicas": 3},
    "litellm": {"replicas": 2, "maxReplicas": 4},
}


def make(**keys: Any) -> tuple[Platform, Plan]:
    """The platform with these settings, and the plan of its releases."""
    merged = {**CLUSTER, **keys}
    platform = make_platform(**merged)
    return platform, build_plan(make_settings(**merged), IDENTITY, platform, {})
