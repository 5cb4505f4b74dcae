"""A stack's outputs: its services, and the environment for applications."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from infra import aliases
from infra.aliases import INTERNAL
from infra.identity import Identity
from infra.secret import Secret
from infra.services.context import OWN, Context
from infra.services.links import host_address
from infra.services.registry import definitions
from infra.settings import Settings
from infra.spec import Address, Endpoint, Platform, Port, Service, Variable
from infra.units import format_size

_ROOT = Path(__file__).resolve().parent.parent


def build(
    settings: Settings,
    platform: Platform,
    context: Context,
    identity: Identity,
    notes: Sequence[str],
) -> dict[str, Any]:
    """All outputs of a stack, in the same shape on every target. Secrets are Secret values."""
    return {
        "identity": {**identity.labels, "prefix": identity.name("")},
        "target": _target(settings),
        "images": settings.images,
        "bindAddress": settings.bind_address,
        "services": {
            service.name: _describe(settings, service, identity) for service in platform.services
        },
        "networks": _networks(settings, platform, identity),
        "leftOut": [{"service": item.service, "reason": item.reason} for item in platform.left_out],
        "notes": [*platform.notes, *notes],
        "environment": environment(settings, platform, context),
        "administration": administration(settings, platform, context),
        "applications": {
            item.name: _application(settings, platform, replace(context, application=item.name))
            for item in settings.applications
        },
        # The certificate of the authority that clients must know, if a service requires TLS.
        "authority": (
            context.authority.certificate
            if any(service.checks.get("tls") == "true" for service in platform.services)
            else None
        ),
        "files": [item.model_dump() for item in settings.contract.files],
        "credentials": {
            service.name: dict(service.credentials)
            for service in platform.services
            if service.credentials
        },
    }


def _target(settings: Settings) -> dict[str, str]:
    if not settings.clustered:
        return {"kind": "docker"}
    cluster = settings.kubernetes
    return {
        "kind": "kubernetes",
        "context": cluster.context or "",
        "kubeconfig": (
            str(_ROOT / Path(cluster.kubeconfig).expanduser()) if cluster.kubeconfig else ""
        ),
        "namespace": settings.namespace,
    }


def _networks(settings: Settings, platform: Platform, identity: Identity) -> dict[str, str]:
    """What clients use to join a service's network: a network's name on Docker, a pod label on
    Kubernetes.
    """
    if settings.clustered:
        return {name: f"groundwork.joins.{name}" for name in platform.networks}
    return {name: identity.name(name) for name in platform.networks}


def _describe(settings: Settings, service: Service, identity: Identity) -> dict[str, Any]:
    """One service for people and for health checks. It holds no secret."""
    return {
        "kind": service.kind,
        **_place(settings, service, identity),
        "image": service.image.reference,
        "version": service.image.version,
        "limits": {"memory": format_size(service.limits.memory), "cpus": service.limits.cpus},
        "endpoints": {
            port.name: _endpoint(settings, port) for port in service.ports if port.host is not None
        },
        "volumes": [volume.name for volume in service.volumes],
        "jobs": [job.name for job in service.jobs],
        "sidecars": [
            sidecar.name if settings.clustered else identity.name(sidecar.name)
            for sidecar in service.sidecars
        ],
        "capabilities": list(service.capabilities),
        "readOnlyRoot": service.writable_root is None,
        "root": service.user.startswith("0:") and (service.per_node or not settings.clustered),
        "asksCluster": service.node_metrics or bool(service.pod_discovery_namespaces),
        "checks": dict(service.checks),
    }


def _place(settings: Settings, service: Service, identity: Identity) -> dict[str, Any]:
    if not settings.clustered:
        return {"container": identity.name(service.name)}
    namespace = settings.host_namespace if service.per_node else settings.namespace
    return {
        "container": service.name,
        "namespace": namespace,
        "replicas": service.replicas,
        "everyNode": service.per_node,
        "operator": service.operated.operator if service.operated else None,
    }


def _endpoint(settings: Settings, port: Port) -> dict[str, Any]:
    """The address for clients on this machine; on Kubernetes a forward from `servicePort`."""
    found: dict[str, Any] = {
        "host": settings.bind_address,
        "port": port.host,
        "scheme": port.scheme,
    }
    return {**found, "servicePort": port.container} if settings.clustered else found


def environment(settings: Settings, platform: Platform, context: Context) -> dict[str, Secret]:
    """The application's environment, name to value, without administrators' logins.

    Each address comes twice: from this machine, and with the suffix `_INTERNAL` from a container
    on the service's network or a pod in the cluster. The names are a contract;
    `docs/connecting.md` lists them.
    """
    found = _contract(settings, platform, context, "environment")
    plain = {name: value.reveal() for name, value in found.items()}
    return {**found, **{name: Secret(value) for name, value in aliases.of(settings, plain)}}


def _application(
    settings: Settings, platform: Platform, context: Context
) -> dict[str, dict[str, Secret]]:
    return {
        "environment": environment(settings, platform, context),
        "administration": _contract(settings, platform, context, "migrations"),
    }


def administration(settings: Settings, platform: Platform, context: Context) -> dict[str, Secret]:
    """The administrators' logins, name to value: for people, migrations and scripts, never for an
    application's container.
    """
    return {
        **_contract(settings, platform, context, "migrations"),
        **_contract(settings, platform, context, "administration"),
    }


def _contract(
    settings: Settings,
    platform: Platform,
    context: Context,
    role: Literal["environment", "migrations", "administration"],
) -> dict[str, Secret]:
    deployed = {service.name: service for service in platform.services}
    found: dict[str, str] = {}
    for definition in definitions():
        elsewhere = getattr(getattr(settings, definition.group), "external", None)
        # Elsewhere Groundwork provisions nothing, so there no application has a login of its own.
        if (elsewhere and context.application == OWN) or not deployed.keys().isdisjoint(
            definition.service_names
        ):
            for item in getattr(definition, role)(context):
                found.update(_variables(settings, item, deployed))
    return {name: Secret(value) for name, value in sorted(found.items())}


def _variables(
    settings: Settings, item: Variable | Address, deployed: Mapping[str, Service]
) -> Iterator[tuple[str, str]]:
    if isinstance(item, Variable):
        yield item.name, item.value.reveal() if isinstance(item.value, Secret) else item.value
        return
    for suffix, host, number in _places(settings, item.at, deployed.get(item.service), item.port):
        near = settings.clustered and not suffix
        template = item.forwarded if near and item.forwarded else item.template
        yield (
            item.name + suffix,
            template.format(host=host, port=number, **_credentials(item.at)),
        )


def _places(
    settings: Settings, inside: Endpoint, service: Service | None, port: str
) -> Iterator[tuple[str, str, int]]:
    """(suffix, host, port) from the host and from inside; an external service has the same address
    for both.
    """
    if service is None:
        yield "", inside.host, inside.port
    else:
        published = next(item for item in service.ports if item.name == port)
        if published.host is not None:
            yield "", host_address(settings), published.host
    qualified = settings.clustered and service is not None and "." not in inside.host
    inner = f"{inside.host}.{settings.namespace}" if qualified else inside.host
    yield INTERNAL, inner, inside.port


def _credentials(at: Endpoint) -> dict[str, str]:
    return {
        "username": quote(at.username or "", safe=""),
        "password": quote(at.password.reveal() if at.password else "", safe=""),
        "database": at.database or "",
    }
