"""Values of `charts/service` for one service. Pure: a description in, values out."""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from infra.identity import Identity
from infra.secret import Keyring, Secret, revealed
from infra.settings import Settings
from infra.settings.cluster import Host, Ingress
from infra.spec import (
    PULL_SECRET,
    UPKEEP_SECONDS,
    File,
    Image,
    Job,
    Limits,
    Platform,
    Service,
    Sidecar,
)
from infra.units import MIB

# The restricted pod security standard refuses uid 0; a volume's owner is set by its group here.
# Logs of a node belong to root, so what reads them, in a namespace that allows it, stays root
# without its powers.
_INSTEAD_OF_ROOT = 1000
# Pulling an image of a gigabyte over a slow line.
PULL_SECONDS = 300
VERSION_LABEL = "groundwork.version"
"""The label with a service's version, on its workload."""
# A tenth of the limit: idle services share cores, while memory cannot be taken back and is
# requested whole. What an autoscaler watches asks for all of it: utilization is measured against
# the request.
_CPU_REQUEST = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretObject:
    """A Kubernetes Secret: key to value."""

    name: str
    data: Mapping[str, Secret]
    type: str = "Opaque"

    def checksum(self, key: Secret) -> str:
        """Changes with the contents. Keyed, because it is visible and a user's password may be
        guessable.
        """
        content = json.dumps(revealed(dict(self.data)), sort_keys=True)
        return hmac.new(key.reveal().encode(), content.encode(), hashlib.sha256).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Stack:
    """The inputs that the values of every release share."""

    settings: Settings
    identity: Identity
    platform: Platform
    chart: str

    @property
    def checksum_key(self) -> Secret:
        """The key of the checksums of Secrets."""
        return Keyring(self.settings.master_secret).checksum_key


def namespace_of(settings: Settings, service: Service) -> str:
    """The namespace of a service's release."""
    return settings.host_namespace if service.per_node else settings.namespace


def key_of(path: str) -> str:
    """A file's key in a ConfigMap or Secret, as the chart makes it."""
    return path.removeprefix("/").replace("/", "_")


def values(
    stack: Stack, service: Service, own: SecretObject, jobs: Sequence[tuple[Job, SecretObject]]
) -> dict[str, Any]:
    """The values of one service's release. `own` holds its secrets, `jobs` its provisioning with
    theirs; none is among the values.
    """
    cluster = stack.settings.kubernetes
    return {
        "chartHash": stack.chart,
        "workload": _workload(service),
        "replicaCount": service.replicas,
        "autoscaling": {
            "maxReplicas": service.max_replicas if service.max_replicas > service.replicas else 0
        },
        "image": _image(service.image),
        "imagePullSecrets": [{"name": PULL_SECRET}] if cluster.pull_secret else [],
        "command": list(service.entrypoint),
        "args": list(service.command),
        **_contents(stack, service.files, service.env, own),
        "volumes": [
            _volume(volume.name, volume.path, volume.size, stack.identity)
            for volume in service.volumes
        ],
        "storageClass": cluster.storage_class or "",
        "sharedMemory": _quantity(service.shm_size) if service.shm_size else "",
        "ports": list(_ports(service)),
        "peerPorts": list(service.peer_ports),
        "readiness": _readiness(service),
        "sidecars": [_sidecar(sidecar) for sidecar in service.sidecars],
        "sharedFolders": sorted(
            {str(PurePosixPath(file.path).parent) for file in service.files if file.shared}
        ),
        "resources": _resources(
            service.limits, share=1 if service.max_replicas > service.replicas else _CPU_REQUEST
        ),
        "terminationGracePeriodSeconds": service.stop_grace,
        "readOnlyRoot": service.writable_root is None,
        "writable": _writable(service.writable),
        "securityContext": _security(
            service.user, instead_of_root=0 if service.per_node else _INSTEAD_OF_ROOT
        ),
        "nodeMetrics": service.node_metrics,
        "podNamespaces": list(service.pod_discovery_namespaces),
        "host": {
            "pid": service.host_pid,
            "paths": [
                {"source": source, "target": target} for source, target in service.binds.items()
            ],
        },
        "network": _network(stack, service),
        "jobs": [_job(stack, job, secret) for job, secret in jobs],
        "ingress": _ingress(
            cluster.ingress,
            next((host for host in cluster.ingress.hosts if host.service == service.name), None),
            service,
        ),
        "labels": {**stack.identity.labels, VERSION_LABEL: service.image.version},
        "nodeSelector": {} if service.per_node else dict(cluster.node_selector),
        "tolerations": (
            [{"operator": "Exists"}]
            if service.per_node
            else [item.model_dump(exclude_none=True) for item in cluster.tolerations]
        ),
    }


def _image(image: Image) -> dict[str, str]:
    name, _, digest = image.reference.partition("@")
    repository, _, tag = name.rpartition(":")
    # An image that was built has no registry; a public one of the same name would be somebody
    # else's.
    return {
        "repository": repository,
        "tag": tag,
        "digest": digest,
        "pullPolicy": "Never" if image.built else "IfNotPresent",
    }


def _workload(service: Service) -> str:
    if service.operated:
        return "None"
    if service.per_node:
        return "DaemonSet"
    return "StatefulSet" if service.volumes else "Deployment"


def _contents(
    stack: Stack, files: Sequence[File], env: Mapping[str, str | Secret], secret: SecretObject
) -> dict[str, Any]:
    return {
        "env": {name: value for name, value in sorted(env.items()) if isinstance(value, str)},
        "secretEnv": {name: "" for name, value in sorted(env.items()) if isinstance(value, Secret)},
        "files": [
            {"path": file.path, "content": file.content, "mode": file.mode}
            for file in files
            # A sidecar makes those that are shared before the service starts.
            if isinstance(file.content, str) and not file.shared
        ],
        "secretFiles": [{"path": file.path} for file in files if isinstance(file.content, Secret)],
        "secret": (
            {"name": secret.name, "checksum": secret.checksum(stack.checksum_key)}
            if secret.data
            else {"name": "", "checksum": ""}
        ),
    }


def _volume(name: str, path: str, size: int, identity: Identity) -> dict[str, Any]:
    # A claim's labels can never change, so they are identity only.
    return {"name": name, "path": path, "size": _quantity(size), "labels": dict(identity.labels)}


def _ports(service: Service) -> Iterator[dict[str, Any]]:
    known: set[int] = set()
    declared = [(port.name, port.container) for port in service.ports]
    extra = [(f"metrics-{metrics.port}", metrics.port) for metrics in service.metrics]
    for name, number in (*declared, *extra):
        if number not in known:
            known.add(number)
            yield {"name": name, "port": number}


def _readiness(service: Service) -> dict[str, Any]:
    check = service.readiness
    if check is None:
        return {"command": []}
    return {
        "command": list(check.command),
        "interval": check.interval,
        "timeout": check.timeout,
        "retries": check.retries,
    }


def _resources(limits: Limits, *, share: float = _CPU_REQUEST) -> dict[str, Any]:
    memory, cores = _quantity(limits.memory), round(limits.cpus * 1000)
    return {
        # What it writes beside its volumes: folders in memory, and its log until the node rotates
        # it.
        "limits": {"memory": memory, "cpu": f"{cores}m", "ephemeral-storage": "512Mi"},
        "requests": {"memory": memory, "cpu": f"{max(1, round(cores * share))}m"},
    }


def _writable(folders: Mapping[str, int]) -> list[dict[str, str]]:
    return [{"path": path, "size": _quantity(size)} for path, size in sorted(folders.items())]


def _security(user: str, *, instead_of_root: int = _INSTEAD_OF_ROOT) -> dict[str, int]:
    uid, _, gid = user.partition(":")
    run_as = int(uid) or instead_of_root
    return {"runAsUser": run_as, "runAsGroup": int(gid or uid), "fsGroup": run_as}


def _network(stack: Stack, service: Service) -> dict[str, Any]:
    settings = stack.settings
    here = namespace_of(settings, service)
    # What runs on every node is in a namespace of its own; its networks are all that crosses from
    # one to the other.
    across = {
        network for item in stack.platform.services if item.per_node for network in item.networks
    }
    spaces = (settings.namespace, settings.host_namespace) if across & set(service.networks) else ()
    return {
        "policy": settings.kubernetes.network_policies,
        "home": service.home_network,
        "joins": list(dict.fromkeys((*service.networks[1:], *service.calls_back))),
        # What an operator runs talks to the cluster's API.
        "egress": service.reaches_out or service.operated is not None,
        "operator": (
            {"labels": dict(service.operated.operator_labels), "port": service.operated.status_port}
            if service.operated
            else {}
        ),
        "peerNamespaces": [space for space in spaces if space != here],
        "nameServers": list(settings.kubernetes.name_servers),
        "clientNamespaces": list(settings.kubernetes.client_namespaces),
    }


def _job(stack: Stack, job: Job, secret: SecretObject) -> dict[str, Any]:
    contents = _contents(stack, job.files, job.env, secret)
    return {
        **(
            {"upkeep": {"script": job.upkeep, "schedule": f"*/{UPKEEP_SECONDS // 60} * * * *"}}
            if job.upkeep
            else {}
        ),
        "name": job.name,
        "script": job.script,
        "timeout": PULL_SECONDS + job.timeout,
        "writable": _writable(job.writable),
        "securityContext": _security(job.user),
        "resources": _resources(job.limits),
        **{key: contents[key] for key in ("env", "files", "secretFiles", "secret")},
    }


def _sidecar(sidecar: Sidecar) -> dict[str, Any]:
    return {
        "name": sidecar.name,
        "image": _image(sidecar.image),
        "command": list(sidecar.command),
        "ready": list(sidecar.readiness.command),
        "resources": _resources(sidecar.limits),
    }


def _ingress(ingress: Ingress, host: Host | None, service: Service) -> dict[str, Any]:
    if host is None:
        return {"host": ""}
    return {
        "host": host.host,
        "port": service.ports[0].name,
        "className": ingress.class_name or "",
        "tlsSecret": host.tls_secret or "",
        "annotations": dict(ingress.annotations),
        "controllerNamespace": ingress.controller_namespace or "",
    }


def _quantity(size: int) -> str:
    """Bytes as Kubernetes writes them."""
    return f"{size // MIB}Mi" if size % MIB == 0 else str(size)
