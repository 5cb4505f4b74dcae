"""Services become Helm releases of `charts/service`: values, Secrets and their surroundings. Pure.

`resources.py` hands them to Pulumi; the live tests hand the same ones to Helm.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.identity import Identity
from infra.secret import Secret
from infra.settings import Settings
from infra.spec import PULL_SECRET, File, Operated, Platform, Service
from infra.targets.checks import ledger
from infra.targets.kubernetes.values import (
    PULL_SECONDS,
    SecretObject,
    Stack,
    key_of,
    namespace_of,
    values,
)

CHART = "charts/service"
LEDGER = "groundwork-versions"
"""The ConfigMap with the version record, made once all releases are ready."""
_VERSION = "groundwork.version."
_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomObject:
    """A custom resource of an operator that is already in the cluster."""

    api_version: str
    kind: str
    name: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One Helm release. `timeout` is in seconds."""

    name: str
    namespace: str
    values: Mapping[str, Any]
    secrets: tuple[SecretObject, ...]
    depends_on: tuple[str, ...]
    timeout: int
    custom: CustomObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A namespace with its labels and annotations."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that one stack puts into a cluster, in order. `ledger` is what the version record
    says once all releases are ready.
    """

    namespaces: tuple[Namespace, ...]
    releases: tuple[Release, ...]
    ledger: Mapping[str, str] = field(default_factory=dict)
    login: SecretObject | None = None


def build(
    settings: Settings,
    identity: Identity,
    platform: Platform,
    opened: Mapping[str, str],
    annotated: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of a platform on Kubernetes. `opened` are the versions that have opened its data;
    `annotated` those that an earlier version of Groundwork wrote on the namespace, where they stay.
    """
    home = settings.namespace
    spaces = [
        Namespace(
            name=home,
            labels=_space_labels(identity, "restricted"),
            annotations={
                f"{_VERSION}{name}": version for name, version in sorted((annotated or {}).items())
            },
        )
    ]
    if any(service.per_node for service in platform.services):
        # What watches the machine itself needs more than the restricted standard allows.
        spaces.append(
            Namespace(name=settings.host_namespace, labels=_space_labels(identity, "privileged"))
        )
    stack = Stack(settings, identity, platform, chart_hash())
    pull = settings.kubernetes.pull_secret
    login = (
        SecretObject(
            name=PULL_SECRET,
            data={".dockerconfigjson": pull},
            type="kubernetes.io/dockerconfigjson",
        )
        if pull
        else None
    )
    return Plan(
        namespaces=tuple(spaces),
        login=login,
        ledger=_ledger(platform, opened),
        releases=tuple(_release(stack, service) for service in platform.in_order()),
    )


def chart_hash() -> str:
    """A hash of the chart's files. Helm releases are compared by their values, so it is one of
    them.
    """
    digest = hashlib.sha256()
    for path in sorted((_ROOT / CHART).rglob("*")):
        if (
            path.is_file()
            and path.suffix != ".md"
            and "ci" not in path.relative_to(_ROOT / CHART).parts
        ):
            digest.update(
                path.relative_to(_ROOT / CHART).as_posix().encode()
                + b"\0"
                + path.read_bytes()
                + b"\0"
            )
    return digest.hexdigest()[:16]


def ledger_of(annotations: Mapping[str, str]) -> dict[str, str]:
    """The versions that an earlier version of Groundwork wrote on the stack's namespace."""
    return {
        key.removeprefix(_VERSION): version
        for key, version in annotations.items()
        if key.startswith(_VERSION)
    }


def _ledger(platform: Platform, opened: Mapping[str, str]) -> dict[str, str]:
    """The version record; a service that is turned off keeps its entry, since its
    volume remains.
    """
    return dict(sorted({**opened, **ledger(platform)}.items()))


def _space_labels(identity: Identity, standard: str) -> dict[str, str]:
    return dict(
        sorted(
            {
                **identity.labels,
                "pod-security.kubernetes.io/enforce": standard,
                "pod-security.kubernetes.io/warn": standard,
            }.items()
        )
    )


def _release(stack: Stack, service: Service) -> Release:
    own = _secret(f"{service.name}-secret", service.files, service.env)
    jobs = [(job, _secret(f"{job.name}-secret", job.files, job.env)) for job in service.jobs]
    operated = service.operated
    return Release(
        name=service.name,
        namespace=namespace_of(stack.settings, service),
        values=values(stack, service, own, jobs),
        secrets=tuple(
            item for item in (own, *(secret for _, secret in jobs), *_logins(operated)) if item.data
        ),
        depends_on=service.starts_after,
        timeout=PULL_SECONDS
        + (service.readiness.deadline if service.readiness else 60)
        + sum(PULL_SECONDS + job.timeout for job in service.jobs)
        + sum(PULL_SECONDS + item.readiness.deadline for item in service.sidecars),
        custom=(
            CustomObject(
                api_version=operated.api_version,
                kind=operated.kind,
                name=service.name,
                spec=_inherited(stack, service, operated),
            )
            if operated
            else None
        ),
    )


def _logins(operated: Operated | None) -> Iterator[SecretObject]:
    for name, login in (operated.secrets if operated else {}).items():
        yield SecretObject(name=name, data=login, type="kubernetes.io/basic-auth")


def _inherited(stack: Stack, service: Service, operated: Operated) -> dict[str, Any]:
    """The resource's spec, with the labels by which the chart's policies and the checks identify
    its pods.
    """
    labels = {
        **stack.identity.labels,
        "app.kubernetes.io/name": service.name,
        "app.kubernetes.io/instance": service.name,
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/part-of": "groundwork",
        "groundwork.home": service.home_network,
        **{f"groundwork.joins.{network}": "true" for network in service.networks},
    }
    return {**operated.spec, "inheritedMetadata": {"labels": labels}}


def _secret(name: str, files: Sequence[File], env: Mapping[str, str | Secret]) -> SecretObject:
    data = {key_of(file.path): file.content for file in files if isinstance(file.content, Secret)}
    return SecretObject(
        name=name,
        data={**data, **{key: value for key, value in env.items() if isinstance(value, Secret)}},
    )


def plain(content: Mapping[str, Any]) -> str:
    """The values as a file for Helm. JSON is YAML."""
    return json.dumps(content, indent=2)
