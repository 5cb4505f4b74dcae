"""Checks against the cluster before the first resource is declared. Pure: facts in,
problems out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.identity import Identity
from infra.refusal import Violation
from infra.settings import Settings
from infra.spec import Platform, Service
from infra.targets import checks
from infra.targets.checks import Capacity
from infra.targets.kubernetes.facts import ClusterFacts, Node
from infra.targets.kubernetes.plan import ledger_of
from infra.targets.kubernetes.values import namespace_of

_KEY = "groundwork:kubernetes"
# As charts/service/Chart.yaml says.
_OLDEST = (1, 29)


def check(
    settings: Settings, platform: Platform, identity: Identity, facts: ClusterFacts
) -> list[Violation]:
    """Every reason not to deploy to this cluster."""
    return [
        *_age(facts),
        *checks.port_clashes(platform),
        *_ownership(settings, identity, facts),
        *_storage(settings, platform, facts),
        *_room(settings, platform, facts),
        *_operators(platform, facts),
        *_forms(platform, facts),
        *_ingress(settings, facts),
        *_versions(settings, platform, identity, facts),
        *_lost_claims(settings, platform, facts),
    ]


def notes(settings: Settings, platform: Platform, facts: ClusterFacts) -> list[str]:
    """Notes about the cluster for the summary."""
    found = []
    if settings.kubernetes.network_policies:
        found.append(
            "Network policies are declared; whether they are enforced depends on the cluster's"
            " network plugin."
        )
    if any(image.built for _, image in platform.images.values()):
        found.append(
            "Images from packages are never pulled: load them into every node (docs/kubernetes.md)."
        )
    if (
        any(service.max_replicas > service.replicas for service in platform.services)
        and "metrics.k8s.io" not in facts.api_groups
    ):
        found.append(
            "The cluster has no metrics server, so nothing scales with load:"
            " groundwork:litellm.maxReplicas has no effect yet."
        )
    return found


def opened(settings: Settings, identity: Identity, facts: ClusterFacts) -> dict[str, str]:
    """The newest version of each service that has opened this stack's data: as recorded, or ready
    now, while a deploy has not ended in a record.
    """
    metadata = facts.namespaces.get(settings.namespace)
    if metadata is None or not identity.same_stack(metadata.get("labels") or {}):
        return {}
    return checks.newest((annotated(settings, facts), facts.ledger, facts.ready))


def annotated(settings: Settings, facts: ClusterFacts) -> dict[str, str]:
    """The versions that an earlier version of Groundwork wrote on the namespace."""
    metadata = facts.namespaces.get(settings.namespace) or {}
    return ledger_of(metadata.get("annotations") or {})


def _age(facts: ClusterFacts) -> Iterator[Violation]:
    if checks.version_tuple(facts.version.partition("-")[0].partition("+")[0]) < _OLDEST:
        reason = (
            f"the cluster runs Kubernetes {facts.version}; {'.'.join(map(str, _OLDEST))} or newer"
            " is required"
        )
        yield Violation(
            key=f"{_KEY}.context", reason=reason, fix="upgrade the cluster, or set another context"
        )


def _ownership(settings: Settings, identity: Identity, facts: ClusterFacts) -> Iterator[Violation]:
    for name, metadata in facts.namespaces.items():
        labels = metadata.get("labels") or {}
        if identity.owns(labels):
            continue
        if identity.same_stack(labels):
            yield Violation(
                key="groundwork:masterSecret",
                reason=(
                    f"the namespace {name} was created with another master secret, so this stack's"
                    " passwords do not open its volumes"
                ),
                fix=(
                    "restore the previous master secret, or delete this stack's data with `make"
                    " purge`"
                ),
            )
        else:
            yield Violation(
                key=f"{_KEY}.namespace",
                reason=f"the namespace {name} exists but does not belong to this stack",
                fix=(
                    "use another one, or delete it yourself if it is no longer needed; Groundwork"
                    f" creates {settings.namespace} itself"
                ),
            )


def _storage(settings: Settings, platform: Platform, facts: ClusterFacts) -> Iterator[Violation]:
    wanted = settings.kubernetes.storage_class
    if not any(service.volumes for service in platform.services):
        return
    known = ", ".join(sorted(facts.storage_classes)) or "(none)"
    if wanted is not None and wanted not in facts.storage_classes:
        yield Violation(
            key=f"{_KEY}.storageClass",
            reason=f"the cluster has no storage class `{wanted}`",
            fix=f"set it to one of: {known}",
        )
    elif wanted is None and not any(facts.storage_classes.values()):
        yield Violation(
            key=f"{_KEY}.storageClass",
            reason="it is not set, and the cluster has no default storage class",
            fix=f"set it to one of: {known}",
        )


def _room(settings: Settings, platform: Platform, facts: ClusterFacts) -> Iterator[Violation]:
    usable = [node for node in facts.nodes if _may_run(settings, node)]
    if not usable:
        yield Violation(
            key=f"{_KEY}.nodeSelector",
            reason=(
                f"none of the {len(facts.nodes)} nodes can run the services: their labels or"
                " taints exclude them"
            ),
            fix=(
                "correct groundwork:kubernetes.nodeSelector, or add"
                " groundwork:kubernetes.tolerations"
            ),
        )
        return
    largest = max(usable, key=lambda node: node.memory)
    yield from checks.limits(
        platform,
        Capacity(
            memory=largest.memory,
            cpus=max(node.cpus for node in usable),
            total=sum(node.memory for node in usable),
            one="the largest node",
            all="the nodes",
            more="add a larger node",
        ),
    )


def _may_run(settings: Settings, node: Node) -> bool:
    selected = all(
        node.labels.get(key) == value for key, value in settings.kubernetes.node_selector.items()
    )
    return selected and all(
        any(_tolerates(item.model_dump(), taint) for item in settings.kubernetes.tolerations)
        for taint in node.taints
    )


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    same_value = toleration["operator"] == "Exists" or (toleration["value"] or "") == taint.get(
        "value", ""
    )
    return (
        toleration["key"] == taint["key"]
        and same_value
        and toleration["effect"] in (None, taint["effect"])
    )


def _operators(platform: Platform, facts: ClusterFacts) -> Iterator[Violation]:
    for service in platform.services:
        if (
            service.operated
            and service.operated.api_version.partition("/")[0] not in facts.api_groups
        ):
            yield Violation(
                key=f"{service.settings_key}.replicas",
                reason=(
                    f"{service.replicas} replicas of {service.name} require"
                    f" {service.operated.operator}, which is not installed in the cluster"
                ),
                fix=(
                    f"install {service.operated.operator} ({service.operated.home}), set replicas"
                    f" to 1, or use groundwork:{service.name}.external"
                ),
            )


def _forms(platform: Platform, facts: ClusterFacts) -> Iterator[Violation]:
    """One instance and several keep their data in different kinds of volumes, and neither can use
    the other's.
    """
    for service in platform.services:
        if service.kind != "postgres":
            continue
        there = "postgres-data-postgres-0" if service.operated else "postgres-1"
        if there in facts.claims:
            yield Violation(
                key=f"{service.settings_key}.replicas",
                reason=(
                    f"the claim {there} holds the data of"
                    f" {'one instance' if service.operated else 'several instances'}, which cannot"
                    " be opened with this number of replicas"
                ),
                fix=(
                    "dump the data, deploy another stack with this number of replicas, and"
                    " restore into it (docs/kubernetes.md)"
                ),
            )


def _ingress(settings: Settings, facts: ClusterFacts) -> Iterator[Violation]:
    wanted = settings.kubernetes.ingress.class_name
    if wanted is not None and wanted not in facts.ingress_classes:
        known = ", ".join(sorted(facts.ingress_classes)) or "(none)"
        yield Violation(
            key=f"{_KEY}.ingress.className",
            reason=f"the cluster has no ingress class `{wanted}`",
            fix=f"set it to one of: {known}",
        )


def _versions(
    settings: Settings, platform: Platform, identity: Identity, facts: ClusterFacts
) -> Iterator[Violation]:
    recorded = opened(settings, identity, facts)
    for service in platform.services:
        before, claim = recorded.get(service.name), _claim(settings, service)
        if before is not None and claim in facts.claims:
            yield from checks.version_problems(service, before, str(claim), facts.consent)


def _lost_claims(
    settings: Settings, platform: Platform, facts: ClusterFacts
) -> Iterator[Violation]:
    """Judged by the record that a successful deploy has left, not by what one has only begun."""
    for service in platform.services:
        claim = _claim(settings, service)
        # An operator numbers its claims anew when it replaces an instance.
        if (
            service.name not in facts.ledger
            or service.operated
            or service.name in facts.consent.empty
        ):
            continue
        if claim is not None and claim not in facts.claims:
            why = f"{service.name} {facts.ledger[service.name]} keeps its data there"
            yield from checks.lost_volumes(service, {claim}, why)


def _claim(settings: Settings, service: Service) -> str | None:
    """The name of a service's first volume claim, as its StatefulSet or its operator makes it."""
    if not service.volumes or namespace_of(settings, service) != settings.namespace:
        return None
    return (
        f"{service.name}-1" if service.operated else f"{service.volumes[0].name}-{service.name}-0"
    )
