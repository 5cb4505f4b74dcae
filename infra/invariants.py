"""What must hold between services, whatever host they run on. Pure."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

from infra import sizing
from infra.refusal import Problem
from infra.settings import Settings
from infra.units import MIB, format_duration, format_size

_EXTERNAL = ("postgres", "redis", "minio", "qdrant", "clickhouse", "litellm", "prometheus")
_SCALING = ("postgres", "qdrant", "litellm")
_OWN_JOBS = (
    *_EXTERNAL, "redis-cache", "redis-queue", "grafana", "loki", "tempo", "alertmanager", "alloy", "alloy-logs",
    "cadvisor", "socket-proxy", "kubelet", "containers",
)  # fmt: skip
# Names that no public name server answers for (RFC 6762, 8375, ICANN's internal), and those of clusters and of Docker.
_LOCAL_NAMES = (".internal", ".local", ".lan", ".home.arpa", ".svc", ".test")
# Bytes per second below which a store of logs or traces is none.
_LEAST_INTAKE = 2048


def check(settings: Settings) -> list[Problem]:
    """Every contradiction in one stack's settings."""
    return [
        *_dependencies(settings),
        *_redis(settings),
        *_externals(settings),
        *_plain_externals(settings),
        *_postgres(settings),
        *_buckets(settings),
        *_targets(settings),
        *_forwards(settings),
        *_receivers(settings),
        *_stores_of_watchers(settings),
        *(_on_kubernetes(settings) if settings.clustered else _on_docker(settings)),
        *_replicas(settings),
    ]


def _repeated(names: Sequence[str]) -> list[str]:
    """What stands in a list more than once."""
    return sorted({name for name in names if names.count(name) > 1})


def _dependencies(settings: Settings) -> Iterator[Problem]:
    if settings.grafana.enabled and not settings.prometheus.usable:
        yield Problem(
            key="groundwork:prometheus.enabled",
            reason="Grafana shows what Prometheus collects, and Prometheus is off",
            fix="turn Prometheus on, name one under groundwork:prometheus.external, or set groundwork:grafana.enabled to false",
        )
    if settings.litellm.deployed and not settings.redis.usable:
        yield Problem(
            key="groundwork:redis.enabled",
            reason="LiteLLM keeps its cache and its budget in Redis, and Redis is off",
            fix="turn Redis on, name one under groundwork:redis.external, or set groundwork:litellm.enabled to false",
        )
    if settings.litellm.deployed and settings.images != "packages" and not settings.postgres.usable:
        yield Problem(
            key="groundwork:postgres.enabled",
            reason="LiteLLM keeps its spend in Postgres, and Postgres is off",
            fix="turn Postgres on, name one under groundwork:postgres.external, or set groundwork:litellm.enabled to false",
        )


def _redis(settings: Settings) -> Iterator[Problem]:
    if settings.redis.shared and "cache" in settings.redis.model_fields_set:
        yield Problem(
            key="groundwork:redis.cache",
            reason="with `shared` there is no cache of its own, and these settings would do nothing",
            fix="set groundwork:redis.queue instead, or shared to false",
        )
    if settings.redis.queue.policy != "noeviction":
        yield Problem(
            key="groundwork:redis.queue.policy",
            reason="a queue must never evict: an evicted key is a lost job",
            fix="leave it at `noeviction`, and size groundwork:redis.queue.memory instead",
        )
    for name, instance in (("cache", settings.redis.cache), ("queue", settings.redis.queue)):
        # While the append-only file is rewritten the old one and the new one stand side by side.
        least = 2 * sizing.redis(instance.memory)["maxmemory"]
        if settings.redis.deployed and instance.disk < least:
            yield Problem(
                key=f"groundwork:redis.{name}.disk",
                reason=f"{format_size(instance.disk)} do not hold two append-only files of {format_size(instance.memory)} of memory, as a rewrite needs",
                fix=f"raise it to {format_size(least)} or more",
            )


def _postgres(settings: Settings) -> Iterator[Problem]:
    """A connection is a process: an idle one holds about a MiB that is shared with nobody (PostgreSQL wiki, number of connections)."""
    least = settings.postgres.max_connections * MIB
    room = settings.postgres.memory * 3 // 4
    if settings.postgres.deployed and least > room:
        yield Problem(
            key="groundwork:postgres.maxConnections",
            reason=f"so many connections hold about {format_size(least)}, and beside the shared buffers there are {format_size(room)}",
            fix="lower it, or raise groundwork:postgres.memory",
        )


def _plain_externals(settings: Settings) -> Iterator[Problem]:
    """A password goes unencrypted to private addresses and local names only."""
    for name in _EXTERNAL:
        external = getattr(settings, name).external
        if external and external.password and not external.tls and not _private(external.host):
            yield Problem(
                key=f"groundwork:{name}.external.tls",
                reason=f"a password would cross public networks to {external.host} in plain text",
                fix="remove it (clients then speak TLS), or name a private address",
            )


def _private(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_NAMES)


def _externals(settings: Settings) -> Iterator[Problem]:
    needed = {
        "postgres": ("username", "password", "database"), "minio": ("username", "password", "database"),
        "qdrant": (), "clickhouse": ("username", "password", "database"), "redis": (), "litellm": ("password",),
        "prometheus": (),
    }  # fmt: skip
    for name, fields in needed.items():
        external = getattr(settings, name).external
        for field in fields if external else ():
            if getattr(external, field) is None:
                yield Problem(
                    key=f"groundwork:{name}.external.{field}",
                    reason=f"an external {name} needs it, because Groundwork provisions nothing there",
                    fix=f"set it: `pulumi config set {'--secret ' * (field == 'password')}--path groundwork:{name}.external.{field} …`",
                )
    if settings.grafana.external:
        yield Problem(
            key="groundwork:grafana.external",
            reason="nothing of Groundwork's connects to Grafana",
            fix="set groundwork:grafana.enabled to false instead",
        )


def _buckets(settings: Settings) -> Iterator[Problem]:
    names = [bucket.name for bucket in settings.minio.buckets]
    for name in _repeated(names):
        yield Problem(key="groundwork:minio.buckets", reason=f"bucket `{name}` is declared twice", fix="remove one of them")


def _on_docker(settings: Settings) -> Iterator[Problem]:
    for key in sorted(settings.kubernetes.model_fields_set - {"namespace"}):
        yield Problem(
            key=f"groundwork:kubernetes.{to_camel(key)}",
            reason="the target is Docker, where this would do nothing",
            fix="set groundwork:target to kubernetes, or remove it",
        )
    for name, node in _scalable(settings):
        if node.replicas > 1:
            yield Problem(
                key=f"groundwork:{name}.replicas",
                reason="a Docker host runs one of each service",
                fix="set it to 1, or groundwork:target to kubernetes",
            )


def _on_kubernetes(settings: Settings) -> Iterator[Problem]:
    if settings.kubernetes.context is None:
        yield Problem(
            key="groundwork:kubernetes.context",
            reason="the target is Kubernetes, and no context is named: whatever kubectl points to might be the wrong cluster",
            fix="set it to one of `kubectl config get-contexts -o name`",
        )
    if settings.bind_address != "127.0.0.1":
        yield Problem(
            key="groundwork:bindAddress",
            reason="Kubernetes publishes nothing on a host's address",
            fix="remove it; groundwork:kubernetes.ingress lets requests in",
        )
    addresses = {f"prometheus.targets ({target.name})": target.address for target in settings.prometheus.targets}
    addresses |= {f"{name}.external.host": getattr(settings, name).external.host for name in _EXTERNAL if getattr(settings, name).external}
    addresses |= {"litellm.providers.ollama.url": settings.litellm.providers.ollama.url or ""}
    for key, address in addresses.items():
        if "host.docker.internal" in address:
            yield Problem(
                key=f"groundwork:{key}",
                reason="`host.docker.internal` is a name of Docker's; in a cluster it leads nowhere",
                fix="write a name or address that pods reach",
            )
    ingress = settings.kubernetes.ingress
    hosts = ingress.hosts
    if hosts and settings.kubernetes.network_policies and ingress.controller_namespace is None:
        yield Problem(
            key="groundwork:kubernetes.ingress.controllerNamespace",
            reason="the network policies would keep the ingress controller out, and it is not said where that runs",
            fix="set it, for example to ingress-nginx, or groundwork:kubernetes.networkPolicies to false",
        )
    for host in hosts:
        if not getattr(settings, host.service).deployed:
            yield Problem(
                key="groundwork:kubernetes.ingress.hosts", reason=f"`{host.service}` is not deployed", fix=f"remove {host.host}, or turn the service on"
            )
    for index, host in enumerate(hosts):
        if host.tls_secret is None and not host.plain_http:
            yield Problem(
                key=f"groundwork:kubernetes.ingress.hosts.{index}.tlsSecret",
                reason=f"keys and passwords for `{host.service}` would cross the network in plain text",
                fix="name the Secret with its certificate, or set plainHttp to true if something in front speaks TLS",
            )
    for name in _repeated([host.service for host in hosts]):
        yield Problem(key="groundwork:kubernetes.ingress.hosts", reason=f"`{name}` has two names", fix="keep one of them")
    for name in _repeated([host.host for host in hosts]):
        yield Problem(
            key="groundwork:kubernetes.ingress.hosts", reason=f"two services share the host {name}, and only one would be reached", fix="give each its own"
        )


def _scalable(settings: Settings) -> Iterator[tuple[str, Any]]:
    for name in ("postgres", "minio", "qdrant", "clickhouse", "litellm", "prometheus", "grafana"):
        yield name, getattr(settings, name)
    yield "redis.cache", settings.redis.cache
    yield "redis.queue", settings.redis.queue


def _replicas(settings: Settings) -> Iterator[Problem]:
    for name, node in _scalable(settings):
        if node.replicas > 1 and name not in _SCALING:
            elsewhere = name.partition(".")[0]
            advice = f"use a managed one under groundwork:{elsewhere}.external" if elsewhere in _EXTERNAL else "give it more memory instead"
            yield Problem(
                key=f"groundwork:{name}.replicas",
                reason=f"{name} does not scale by copies of itself, and Groundwork builds no clustering",
                fix=f"set it to 1, or {advice}",
            )
    if settings.postgres.replicas > 1 and settings.images == "packages":
        yield Problem(
            key="groundwork:postgres.replicas",
            reason="an operator runs several instances, with images of its own that no package carries",
            fix="set groundwork:images to registry or to a mirror, or replicas to 1",
        )
    if 1 < settings.litellm.max_replicas < settings.litellm.replicas:
        yield Problem(
            key="groundwork:litellm.maxReplicas",
            reason=f"{settings.litellm.max_replicas} is below groundwork:litellm.replicas ({settings.litellm.replicas})",
            fix="raise it, or remove it for a fixed number",
        )
    if not settings.clustered and settings.litellm.max_replicas > 1:
        yield Problem(
            key="groundwork:litellm.maxReplicas", reason="a Docker host runs one of each service", fix="remove it, or set groundwork:target to kubernetes"
        )


def _targets(settings: Settings) -> Iterator[Problem]:
    names = [target.name for target in settings.prometheus.targets]
    for name in sorted({name for name in names if name in _OWN_JOBS or name.endswith("-exporter")}):
        yield Problem(key="groundwork:prometheus.targets", reason=f"`{name}` is the name of a job of Groundwork's own", fix="rename the target")
    for name in _repeated(names):
        yield Problem(key="groundwork:prometheus.targets", reason=f"target `{name}` is declared twice", fix="rename one of them")


def _forwards(settings: Settings) -> Iterator[Problem]:
    forwards = [item.name for item in settings.alloy.forward_traces]
    for name in _repeated(forwards):
        yield Problem(key="groundwork:alloy.forwardTraces", reason=f"endpoint `{name}` is declared twice", fix="rename one of them")
    if "tempo" in forwards:
        yield Problem(key="groundwork:alloy.forwardTraces", reason="`tempo` is the name of the stack's own store of traces", fix="rename the endpoint")


def _receivers(settings: Settings) -> Iterator[Problem]:
    email = settings.alertmanager.email
    if email and bool(email.username) != bool(email.password):
        yield Problem(
            key=f"groundwork:alertmanager.email.{'password' if email.username else 'username'}",
            reason="a mail server takes a login only whole, and the other half of it is set",
            fix="set it too, or remove the other",
        )


def _stores_of_watchers(settings: Settings) -> Iterator[Problem]:
    """Neither deletes the oldest when its disk is full: what a disk can keep for so long has to be worth keeping."""
    for name, store in (("loki", settings.loki), ("tempo", settings.tempo)):
        rate = sizing.kept_per_second(disk=store.disk, retention=store.retention)
        if store.enabled and rate < _LEAST_INTAKE:
            yield Problem(
                key=f"groundwork:{name}.retention",
                reason=f"{format_duration(store.retention)} on a disk of {format_size(store.disk)} leave {rate:.0f} bytes per second",
                fix=f"shorten it, or raise groundwork:{name}.disk",
            )
