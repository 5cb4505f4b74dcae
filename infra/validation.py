"""Validation across services, independent of the target. Pure.

Rules for a single service are in its own module (`Definition.validate`).
"""

import ipaddress
from collections.abc import Iterator
from typing import Any

from pydantic.alias_generators import to_camel

from infra import aliases
from infra.refusal import Violation, repeated
from infra.services import applications
from infra.services.definition import Definition
from infra.services.registry import definitions
from infra.settings import Settings
from infra.settings.common import Model
from infra.settings.observability import Prometheus

# Jobs of Prometheus that are no services of ours.
_KUBELETS = ("kubelet", "containers")
# Names that no public name server answers for (RFC 6762, 8375, ICANN's internal), and those of
# clusters and of Docker.
_LOCAL_NAMES = (".internal", ".local", ".lan", ".home.arpa", ".svc", ".test")


def check(settings: Settings) -> list[Violation]:
    """Every contradiction in one stack's settings."""
    return [
        *(problem for definition in definitions() for problem in definition.validate(settings)),
        *applications.problems(settings),
        *aliases.problems(settings),
        *_externals(settings),
        *_plain_externals(settings),
        *_tls_of_externals(settings),
        *_targets(settings),
        *(_on_kubernetes(settings) if settings.clustered else _on_docker(settings)),
        *_replicas(settings),
    ]


def _replaceable() -> Iterator[Definition]:
    yield from (definition for definition in definitions() if definition.replaceable)


def _tls_of_externals(settings: Settings) -> Iterator[Violation]:
    for definition in definitions():
        group = getattr(settings, definition.group, None)
        if getattr(group, "external", None) and getattr(group, "tls", False):
            yield Violation(
                key=f"groundwork:{definition.group}.tls",
                reason="it is about a service of this stack, and this one runs elsewhere",
                fix=f"remove it; groundwork:{definition.group}.external.tls says how to ask it",
            )


def _plain_externals(settings: Settings) -> Iterator[Violation]:
    """A password may be sent unencrypted only to private addresses and local names."""
    for definition in _replaceable():
        name = definition.group
        external = getattr(settings, name).external
        if external and external.password and not external.tls and not _private(external.host):
            yield Violation(
                key=f"groundwork:{name}.external.tls",
                reason=f"the password would cross public networks to {external.host} in plain text",
                fix="remove it (clients then use TLS), or use a private address",
            )


def _private(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_NAMES)


def _externals(settings: Settings) -> Iterator[Violation]:
    for definition in _replaceable():
        name = definition.group
        external = getattr(settings, name).external
        for field in definition.external_needs or () if external else ():
            if getattr(external, field) is None:
                yield Violation(
                    key=f"groundwork:{name}.external.{field}",
                    reason=(
                        f"an external {name} requires it, because Groundwork provisions nothing"
                        " there"
                    ),
                    fix=(
                        f"set it: `pulumi config set {'--secret ' * (field == 'password')}--path"
                        f" groundwork:{name}.external.{field} …`"
                    ),
                )


def _on_docker(settings: Settings) -> Iterator[Violation]:
    for key in sorted(settings.kubernetes.model_fields_set - {"namespace"}):
        yield Violation(
            key=f"groundwork:kubernetes.{to_camel(key)}",
            reason="it has no effect when the target is Docker",
            fix="remove it, or set groundwork:target to kubernetes",
        )
    for _, name, node in _scalable(settings):
        for field in ("replicas", "max_replicas"):
            if getattr(node, field, 1) > 1:
                yield Violation(
                    key=f"groundwork:{name}.{to_camel(field)}",
                    reason="a Docker host runs one instance of each service",
                    fix="set it to 1, or set groundwork:target to kubernetes",
                )


def _on_kubernetes(settings: Settings) -> Iterator[Violation]:
    if settings.kubernetes.context is None:
        yield Violation(
            key="groundwork:kubernetes.context",
            reason=(
                "the target is Kubernetes, but no context is set: kubectl's current one might be"
                " the wrong cluster"
            ),
            fix="set it to a context listed by `kubectl config get-contexts -o name`",
        )
    if settings.bind_address != "127.0.0.1":
        yield Violation(
            key="groundwork:bindAddress",
            reason="on Kubernetes, no port is published on a host's address",
            fix="remove it; use groundwork:kubernetes.ingress to let requests in",
        )
    for key, address in _addresses(settings):
        if "host.docker.internal" in address:
            yield Violation(
                key=f"groundwork:{key}",
                reason=(
                    "`host.docker.internal` is specific to Docker and does not resolve in a cluster"
                ),
                fix="use a name or address that pods can reach",
            )
    yield from _ingress(settings)


def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    """(key, address) of everything outside the stack."""
    for definition in definitions():
        yield from definition.addresses(settings)
        external = getattr(getattr(settings, definition.group), "external", None)
        if external:
            yield f"{definition.group}.external.host", external.host


def _ingress(settings: Settings) -> Iterator[Violation]:
    exposable = [definition.group for definition in definitions() if definition.exposable]
    ingress = settings.kubernetes.ingress
    hosts = ingress.hosts
    if hosts and settings.kubernetes.network_policies and ingress.controller_namespace is None:
        yield Violation(
            key="groundwork:kubernetes.ingress.controllerNamespace",
            reason=(
                "the network policies would block the ingress controller, because its namespace"
                " is not set"
            ),
            fix=(
                "set it, for example to ingress-nginx, or set"
                " groundwork:kubernetes.networkPolicies to false"
            ),
        )
    for host in hosts:
        if host.service not in exposable:
            yield Violation(
                key="groundwork:kubernetes.ingress.hosts",
                reason=f"an ingress cannot expose `{host.service}`",
                fix=f"use one of {', '.join(sorted(exposable))}",
            )
        elif getattr(getattr(settings, host.service), "tls", False):
            yield Violation(
                key=f"groundwork:{host.service}.tls",
                reason=f"the ingress asks `{host.service}` without TLS, which it would refuse",
                fix=f"set it to false, or remove {host.host} from groundwork:kubernetes.ingress",
            )
        elif not getattr(settings, host.service).deployed:
            yield Violation(
                key="groundwork:kubernetes.ingress.hosts",
                reason=f"`{host.service}` is not deployed",
                fix=f"remove {host.host}, or enable the service",
            )
    for index, host in enumerate(hosts):
        if host.tls_secret is None and not host.plain_http:
            yield Violation(
                key=f"groundwork:kubernetes.ingress.hosts.{index}.tlsSecret",
                reason=(
                    f"keys and passwords for `{host.service}` would cross the network in plain text"
                ),
                fix=(
                    "set it to the Secret with its certificate, or set plainHttp to true if TLS"
                    " is terminated in front of the ingress"
                ),
            )
    for name in repeated([host.service for host in hosts]):
        yield Violation(
            key="groundwork:kubernetes.ingress.hosts",
            reason=f"`{name}` has two host names",
            fix="keep one of them",
        )
    for name in repeated([host.host for host in hosts]):
        yield Violation(
            key="groundwork:kubernetes.ingress.hosts",
            reason=f"two services share the host {name}, and only one would be reachable",
            fix="give each its own host",
        )


def _scalable(settings: Settings) -> Iterator[tuple[Definition, str, Any]]:
    """(service, key, settings) of everything that has replicas."""
    for definition in definitions():
        if definition.settings is None:
            continue
        group = getattr(settings, definition.group)
        parts = {name: part for name, part in vars(group).items() if isinstance(part, Model)}
        for key, node in (
            (definition.group, group),
            *((f"{definition.group}.{name}", part) for name, part in parts.items()),
        ):
            if hasattr(node, "replicas"):
                yield definition, key, node


def _replicas(settings: Settings) -> Iterator[Violation]:
    for definition, name, node in _scalable(settings):
        if node.replicas > 1 and not definition.scales:
            managed = f"use a managed service (groundwork:{definition.group}.external)"
            advice = (
                managed if definition.external_needs is not None else "give it more memory instead"
            )
            yield Violation(
                key=f"groundwork:{name}.replicas",
                reason=(
                    f"{name} cannot be scaled by adding replicas, and Groundwork sets up no"
                    " clustering"
                ),
                fix=f"set it to 1, or {advice}",
            )


def _targets(settings: Settings) -> Iterator[Violation]:
    own = {
        name
        for definition in definitions()
        for name in (definition.group, *definition.service_names)
    } | set(_KUBELETS)
    names = {target.name for target in settings.of(Prometheus).targets}
    for name in sorted(name for name in names if name in own or name.endswith("-exporter")):
        yield Violation(
            key="groundwork:prometheus.targets",
            reason=f"`{name}` is the name of one of Groundwork's own jobs",
            fix="rename the target",
        )
