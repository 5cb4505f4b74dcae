"""Services become Helm releases of `charts/service`: values, Secrets and what surrounds them. Pure.

`infra/targets/kubernetes.py` hands them to Pulumi; the live tests hand the same ones to Helm.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.identity import Identity
from infra.preflight import ledger
from infra.secret import Secret
from infra.settings import Settings
from infra.settings.cluster import Host, Ingress
from infra.spec import File, Job, Limits, Operated, Platform, Service
from infra.units import MIB

CHART = "charts/service"
_ROOT = Path(__file__).resolve().parents[2]
# Pulling an image of a gigabyte over a slow line.
_PULL_SECONDS = 300
# The restricted pod security standard refuses uid 0; a volume's owner is set by its group here.
_INSTEAD_OF_ROOT = 1000
# A tenth of the limit: idle services share cores, while memory cannot be taken back and is requested whole.
_CPU_REQUEST = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretObject:
    """A Kubernetes Secret: key to value."""

    name: str
    data: Mapping[str, Secret]
    type: str = "Opaque"

    @property
    def checksum(self) -> str:
        """Changes with the contents. They hold at least one derived secret each, so it reveals nothing."""
        digest = hashlib.sha256()
        for key, value in sorted(self.data.items()):
            digest.update(f"{len(key)}:{key}{len(value.reveal())}:{value.reveal()}".encode())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomObject:
    """A custom resource of an operator that is in the cluster already."""

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
    needs: tuple[str, ...]
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
    """Everything that one stack puts into a cluster, in order."""

    namespaces: tuple[Namespace, ...]
    releases: tuple[Release, ...]


def plan(settings: Settings, identity: Identity, platform: Platform) -> Plan:
    """What a platform is on Kubernetes."""
    home = settings.namespace
    spaces = [Namespace(name=home, labels=_space_labels(identity, "restricted"), annotations=_ledger(platform))]
    if any(service.every_node for service in platform.services):
        # What watches the machine itself needs more than the restricted standard allows.
        spaces.append(Namespace(name=settings.host_namespace, labels=_space_labels(identity, "privileged")))
    stack = _Stack(settings, identity, platform, chart_hash())
    return Plan(namespaces=tuple(spaces), releases=tuple(_release(stack, service) for service in _in_order(platform.services)))


@dataclass(frozen=True, slots=True)
class _Stack:
    """What the values of every release depend on."""

    settings: Settings
    identity: Identity
    platform: Platform
    chart: str


def namespace_of(settings: Settings, service: Service) -> str:
    """Where a service's release is."""
    return settings.host_namespace if service.every_node else settings.namespace


def chart_hash() -> str:
    """A hash of the chart's files. Helm releases are compared by their values, so it is one of them."""
    digest = hashlib.sha256()
    for path in sorted((_ROOT / CHART).rglob("*")):
        if path.is_file() and path.suffix != ".md" and "ci" not in path.relative_to(_ROOT / CHART).parts:
            digest.update(path.relative_to(_ROOT / CHART).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def ledger_of(annotations: Mapping[str, str]) -> dict[str, str]:
    """The versions that have opened this stack's data, from its namespace's annotations."""
    prefix = "groundwork.version."
    return {key.removeprefix(prefix): version for key, version in annotations.items() if key.startswith(prefix)}


def _ledger(platform: Platform) -> dict[str, str]:
    return {f"groundwork.version.{name}": version for name, version in sorted(ledger(platform).items())}


def _space_labels(identity: Identity, standard: str) -> dict[str, str]:
    return dict(sorted({**identity.labels, "pod-security.kubernetes.io/enforce": standard, "pod-security.kubernetes.io/warn": standard}.items()))


def _in_order(services: Sequence[Service]) -> Iterator[Service]:
    """Each service after those that it needs."""
    pending, names, done = list(services), {service.name for service in services}, set[str]()
    while pending:
        service = next(item for item in pending if not (set(item.needs) & names) - done)
        pending.remove(service)
        done.add(service.name)
        yield service


def _release(stack: _Stack, service: Service) -> Release:
    own = _secret(f"{service.name}-secret", service.files, service.env)
    jobs = [(job, _secret(f"{job.name}-secret", job.files, job.env)) for job in service.jobs]
    operated = service.operated
    return Release(
        name=service.name,
        namespace=namespace_of(stack.settings, service),
        values=_values(stack, service, own, jobs),
        secrets=tuple(item for item in (own, *(secret for _, secret in jobs), *_logins(operated)) if item.data),
        needs=service.needs,
        timeout=_PULL_SECONDS + (service.readiness.deadline if service.readiness else 60) + sum(job.timeout for job in service.jobs),
        custom=CustomObject(api_version=operated.api_version, kind=operated.kind, name=service.name, spec=_inherited(stack, service, operated))
        if operated
        else None,
    )


def _logins(operated: Operated | None) -> Iterator[SecretObject]:
    for name, login in (operated.secrets if operated else {}).items():
        yield SecretObject(name=name, data=login, type="kubernetes.io/basic-auth")


def _inherited(stack: _Stack, service: Service, operated: Operated) -> dict[str, Any]:
    """The resource's spec, with the labels by which the chart's policies and the checks know its pods."""
    labels = {
        **stack.identity.labels, "app.kubernetes.io/name": service.name, "app.kubernetes.io/instance": service.name,
        "app.kubernetes.io/component": "server", "app.kubernetes.io/part-of": "groundwork",
        "groundwork.home": service.home_network, **{f"groundwork.joins.{network}": "true" for network in service.networks},
    }  # fmt: skip
    return {**operated.spec, "inheritedMetadata": {"labels": labels}}


def _secret(name: str, files: Sequence[File], env: Mapping[str, str | Secret]) -> SecretObject:
    data = {key_of(file.path): file.content for file in files if isinstance(file.content, Secret)}
    return SecretObject(name=name, data={**data, **{key: value for key, value in env.items() if isinstance(value, Secret)}})


def key_of(path: str) -> str:
    """A file's key in a ConfigMap or Secret, as the chart makes it."""
    return path.removeprefix("/").replace("/", "_")


def _values(stack: _Stack, service: Service, own: SecretObject, jobs: Sequence[tuple[Job, SecretObject]]) -> dict[str, Any]:
    cluster = stack.settings.kubernetes
    return {
        "chartHash": stack.chart,
        "workload": _workload(service),
        "replicas": service.replicas,
        "autoscaling": {"maxReplicas": service.max_replicas if service.max_replicas > service.replicas else 0},
        "image": {
            "reference": service.image.reference,
            # An image that was built has no registry; a public one of the same name would be somebody else's.
            "pullPolicy": "Never" if service.image.built else "IfNotPresent",
            "pullSecrets": [cluster.pull_secret] if cluster.pull_secret else [],
        },
        "command": list(service.entrypoint),
        "args": list(service.command),
        **_contents(service.files, service.env, own),
        "volumes": [_volume(volume.name, volume.path, volume.size, stack.identity) for volume in service.volumes],
        "storageClass": cluster.storage_class or "",
        "sharedMemory": _quantity(service.shm_size) if service.shm_size else "",
        "ports": list(_ports(service)),
        "peerPorts": list(service.peer_ports),
        "readiness": _readiness(service),
        "resources": _resources(service.limits),
        "terminationGracePeriodSeconds": service.stop_grace,
        "securityContext": _security(service.user),
        "host": {"pid": service.host_pid, "paths": [{"source": source, "target": target} for source, target in service.binds.items()]},
        "network": _network(stack, service),
        "jobs": [_job(job, secret) for job, secret in jobs],
        "ingress": _ingress(cluster.ingress, next((host for host in cluster.ingress.hosts if host.service == service.name), None), service),
        "labels": dict(stack.identity.labels),
        "nodeSelector": {} if service.every_node else dict(cluster.node_selector),
        "tolerations": [{"operator": "Exists"}] if service.every_node else [item.model_dump(exclude_none=True) for item in cluster.tolerations],
    }


def _workload(service: Service) -> str:
    if service.operated:
        return "None"
    if service.every_node:
        return "DaemonSet"
    return "StatefulSet" if service.volumes else "Deployment"


def _contents(files: Sequence[File], env: Mapping[str, str | Secret], secret: SecretObject) -> dict[str, Any]:
    return {
        "env": {name: value for name, value in sorted(env.items()) if isinstance(value, str)},
        "secretEnv": {name: "" for name, value in sorted(env.items()) if isinstance(value, Secret)},
        "files": [{"path": file.path, "content": file.content, "mode": file.mode} for file in files if isinstance(file.content, str)],
        "secretFiles": [{"path": file.path} for file in files if isinstance(file.content, Secret)],
        "secret": {"name": secret.name, "checksum": secret.checksum} if secret.data else {"name": "", "checksum": ""},
    }


def _volume(name: str, path: str, size: int, identity: Identity) -> dict[str, Any]:
    # A claim's labels can never change, so they are identity only.
    return {"name": name, "path": path, "size": _quantity(size), "labels": dict(identity.labels)}


def _ports(service: Service) -> Iterator[dict[str, Any]]:
    known: set[int] = set()
    declared = [(port.name, port.container) for port in service.ports]
    extra = [(f"metrics-{metrics.port}", metrics.port) for metrics in service.metrics]
    peers = [(f"peer-{port}", port) for port in service.peer_ports]
    for name, number in (*declared, *extra, *peers):
        if number not in known:
            known.add(number)
            yield {"name": name, "port": number}


def _readiness(service: Service) -> dict[str, Any]:
    check = service.readiness
    if check is None:
        return {"command": []}
    return {
        "command": list(check.command), "interval": check.interval, "timeout": check.timeout,
        "retries": check.retries, "startPeriod": check.start_period,
    }  # fmt: skip


def _resources(limits: Limits) -> dict[str, Any]:
    memory, cores = _quantity(limits.memory), round(limits.cpus * 1000)
    return {
        "limits": {"memory": memory, "cpu": f"{cores}m"},
        "requests": {"memory": memory, "cpu": f"{max(1, round(cores * _CPU_REQUEST))}m"},
    }  # fmt: skip


def _security(user: str) -> dict[str, int]:
    uid, _, gid = user.partition(":")
    run_as = int(uid) or _INSTEAD_OF_ROOT
    return {"runAsUser": run_as, "runAsGroup": int(gid or uid), "fsGroup": run_as}


def _network(stack: _Stack, service: Service) -> dict[str, Any]:
    settings = stack.settings
    here = namespace_of(settings, service)
    # What runs on every node is in a namespace of its own; its networks are all that crosses from one to the other.
    across = {network for item in stack.platform.services if item.every_node for network in item.networks}
    spaces = (settings.namespace, settings.host_namespace) if across & set(service.networks) else ()
    return {
        "policy": settings.kubernetes.network_policies,
        "home": service.home_network,
        "joins": list(service.networks[1:]),
        # What an operator runs talks to the cluster's API.
        "egress": service.egress or service.host_gateway or service.operated is not None,
        "operator": {"labels": dict(service.operated.operator_labels), "port": service.operated.status_port} if service.operated else {},
        "peerNamespaces": [space for space in spaces if space != here],
        "clientNamespaces": list(settings.kubernetes.client_namespaces),
    }


def _job(job: Job, secret: SecretObject) -> dict[str, Any]:
    contents = _contents(job.files, job.env, secret)
    return {
        "name": job.name, "script": job.script, "timeout": job.timeout,
        "securityContext": _security(job.user), "resources": _resources(job.limits),
        **{key: contents[key] for key in ("env", "files", "secretFiles", "secret")},
    }  # fmt: skip


def _ingress(ingress: Ingress, host: Host | None, service: Service) -> dict[str, Any]:
    if host is None:
        return {"host": ""}
    return {
        "host": host.host, "port": service.ports[0].name, "className": ingress.class_name or "", "tlsSecret": host.tls_secret or "",
        "annotations": dict(ingress.annotations), "controllerNamespace": ingress.controller_namespace or "",
    }  # fmt: skip


def _quantity(size: int) -> str:
    """Bytes as Kubernetes writes them."""
    return f"{size // MIB}Mi" if size % MIB == 0 else str(size)


def plain(values: Mapping[str, Any]) -> str:
    """The values as a file that Helm reads. JSON is YAML."""
    return json.dumps(values, indent=2)
