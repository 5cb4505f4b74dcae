"""What a stack tells the outside: its services, and the environment that an application connects with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from infra.identity import Identity
from infra.secret import Secret
from infra.services import alertmanager, alloy, clickhouse, litellm, minio, postgres, prometheus, qdrant, redis
from infra.services.context import Context
from infra.settings import Settings
from infra.spec import Endpoint, Platform, Port, Service
from infra.units import format_size

INTERNAL = "_INTERNAL"
# Service, its credential, and the variable in which an administrator finds it.
_ROOTS = (
    ("litellm", "master-key", "LITELLM_MASTER_KEY"),
    ("minio", "root", "MINIO_ROOT_PASSWORD"),
    ("clickhouse", "admin", "CLICKHOUSE_ADMIN_PASSWORD"),
    ("postgres", "superuser", "POSTGRES_SUPERUSER_PASSWORD"),
)
_ROOT = Path(__file__).resolve().parent.parent


def build(settings: Settings, platform: Platform, context: Context, identity: Identity, notes: Sequence[str]) -> dict[str, Any]:
    """All outputs of a stack, of the same shape on every target. Secrets in them are Secret values."""
    return {
        "identity": {**identity.labels, "prefix": identity.name("")},
        "target": _target(settings),
        "images": settings.images,
        "bindAddress": settings.bind_address,
        "services": {service.name: _describe(settings, service, identity) for service in platform.services},
        "networks": _networks(settings, platform, identity),
        "leftOut": [{"service": item.service, "reason": item.reason} for item in platform.left_out],
        "notes": [*platform.notes, *notes],
        "environment": environment(settings, platform, context),
        "administration": administration(settings, platform, context),
        "credentials": {service.name: dict(service.credentials) for service in platform.services if service.credentials},
    }


def _target(settings: Settings) -> dict[str, str]:
    if not settings.clustered:
        return {"kind": "docker"}
    cluster = settings.kubernetes
    return {
        "kind": "kubernetes",
        "context": cluster.context or "",
        "kubeconfig": str(_ROOT / Path(cluster.kubeconfig).expanduser()) if cluster.kubeconfig else "",
        "namespace": settings.namespace,
    }


def _networks(settings: Settings, platform: Platform, identity: Identity) -> dict[str, str]:
    """What a client joins to reach a service: a network on Docker, a pod's label on Kubernetes."""
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
        "endpoints": {port.name: _endpoint(settings, port) for port in service.ports if port.host is not None},
        "volumes": [volume.name for volume in service.volumes],
        "jobs": [job.name for job in service.jobs],
        "capabilities": list(service.capabilities),
        "readOnlyRoot": service.writable_root is None,
        "root": service.user.startswith("0:") and (service.every_node or not settings.clustered),
        "asksCluster": service.watches_nodes or bool(service.finds_pods_in),
        "checks": dict(service.checks),
    }


def _place(settings: Settings, service: Service, identity: Identity) -> dict[str, Any]:
    if not settings.clustered:
        return {"container": identity.name(service.name)}
    namespace = settings.host_namespace if service.every_node else settings.namespace
    return {
        "container": service.name,
        "namespace": namespace,
        "replicas": service.replicas,
        "everyNode": service.every_node,
        "operator": service.operated.operator if service.operated else None,
    }


def _endpoint(settings: Settings, port: Port) -> dict[str, Any]:
    """Where a client on this machine finds it; on Kubernetes through `kubectl port-forward`, from `servicePort`."""
    found: dict[str, Any] = {"host": settings.bind_address, "port": port.host, "scheme": port.scheme}
    return {**found, "servicePort": port.container} if settings.clustered else found


def environment(settings: Settings, platform: Platform, context: Context) -> dict[str, Secret]:
    """The application's environment, name to value: what the application may do, and no administrator's login.

    Each address comes twice: from this machine, and with the suffix `_INTERNAL` from a container on
    the service's network or a pod in the cluster. The names are a contract; `docs/connecting.md` lists them.
    """
    deployed = {service.name: service for service in platform.services}
    return _secrets(_application(settings, context, deployed))


def administration(settings: Settings, platform: Platform, context: Context) -> dict[str, Secret]:
    """The administrators' logins, name to value: for people, migrations and scripts, never for an application's container."""
    deployed = {service.name: service for service in platform.services}
    return _secrets(_administrators(settings, context, deployed))


def _secrets(pairs: Iterator[tuple[str, str]]) -> dict[str, Secret]:
    return {name: Secret(value) for name, value in sorted(dict(pairs).items())}


_Both = Callable[[str, Endpoint, str, str, str], Iterator[tuple[str, str]]]


def _from_both_sides(settings: Settings, deployed: Mapping[str, Service]) -> _Both:
    def both(name: str, inside: Endpoint, service: str, port: str, template: str) -> Iterator[tuple[str, str]]:
        for suffix, host, number in _places(settings, inside, deployed.get(service), port):
            yield name + suffix, template.format(host=host, port=number, **_credentials(inside))

    return both


def _database_url(settings: Settings) -> str:
    ssl = "?sslmode=verify-full" if settings.postgres.external and settings.postgres.external.tls else ""
    return "postgresql://{username}:{password}@{host}:{port}/{database}" + ssl


def _application(settings: Settings, context: Context, deployed: Mapping[str, Service]) -> Iterator[tuple[str, str]]:
    both = _from_both_sides(settings, deployed)

    def wanted(name: str) -> bool:
        node = getattr(settings, name)
        return bool(node.external) or name in deployed

    if wanted("postgres"):
        yield from both("DATABASE_URL", postgres.endpoint(context, "app"), "postgres", "postgres", _database_url(settings))
    if settings.redis.usable:
        scheme = "rediss" if settings.redis.external and settings.redis.external.tls else "redis"
        uses: tuple[tuple[str, redis.Use], ...] = (("REDIS_CACHE_URL", "cache"), ("REDIS_QUEUE_URL", "queue"))
        for name, use in uses:
            at = redis.endpoint(context, use, "app")
            yield from both(name, at, redis.name_for(context, use), "redis", scheme + "://{username}:{password}@{host}:{port}/0")
    if wanted("minio"):
        at = minio.endpoint(context)
        yield from both("S3_ENDPOINT", at, "minio", "s3", _http(at))
        yield "S3_ACCESS_KEY_ID", at.username or ""
        yield "S3_SECRET_ACCESS_KEY", at.password.reveal() if at.password else ""
        yield "S3_BUCKET", at.database or ""
        yield "S3_REGION", "us-east-1"
    if wanted("qdrant"):
        at = qdrant.endpoint(context)
        yield from both("QDRANT_URL", at, "qdrant", "rest", _http(at))
        yield "QDRANT_API_KEY", at.password.reveal() if at.password else ""
    if wanted("clickhouse"):
        at = clickhouse.endpoint(context)
        yield from both("CLICKHOUSE_URL", at, "clickhouse", "http", _http(at))
        yield "CLICKHOUSE_USER", at.username or ""
        yield "CLICKHOUSE_PASSWORD", at.password.reveal() if at.password else ""
        yield "CLICKHOUSE_DATABASE", at.database or ""
    if wanted("litellm"):
        at = litellm.endpoint(context)
        yield from both("LLM_BASE_URL", at, "litellm", "http", _http(at) + "/v1")
        yield "LLM_API_KEY", at.password.reveal() if at.password else ""
        yield "LLM_MODEL", settings.litellm.model_name
    if "alloy" in deployed and alloy.keeps_traces(context):
        at = alloy.endpoint(context)
        # The names that OpenTelemetry's own libraries read.
        yield from both("OTEL_EXPORTER_OTLP_ENDPOINT", at, "alloy", "otlp-http", _http(at))
        yield "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"
        yield "OTEL_EXPORTER_OTLP_HEADERS", f"Authorization=Bearer%20{at.password.reveal() if at.password else ''}"


def _administrators(settings: Settings, context: Context, deployed: Mapping[str, Service]) -> Iterator[tuple[str, str]]:
    both = _from_both_sides(settings, deployed)
    if settings.postgres.external or "postgres" in deployed:
        owner = postgres.endpoint(context, "app_owner")
        yield from both("DATABASE_OWNER_URL", owner, "postgres", "postgres", _database_url(settings))
    for service, credential, name in _ROOTS:
        if service in deployed:
            yield name, deployed[service].credentials[credential].reveal()
    if settings.prometheus.external or "prometheus" in deployed:
        at = prometheus.endpoint(context, "admin")
        yield from both("PROMETHEUS_URL", at, "prometheus", "http", _http(at))
        yield "PROMETHEUS_USER", at.username or ""
        yield "PROMETHEUS_PASSWORD", at.password.reveal() if at.password else ""
    if "alertmanager" in deployed:
        at = alertmanager.endpoint(context, "admin")
        yield from both("ALERTMANAGER_URL", at, "alertmanager", "http", _http(at))
        yield "ALERTMANAGER_USER", at.username or ""
        yield "ALERTMANAGER_PASSWORD", at.password.reveal() if at.password else ""
    if "grafana" in deployed:
        port = deployed["grafana"].ports[0].host
        yield "GRAFANA_URL", f"http://{settings.bind_address}:{port}"
        yield "GRAFANA_USER", "admin"
        yield "GRAFANA_PASSWORD", deployed["grafana"].credentials["admin"].reveal()


def _http(at: Endpoint) -> str:
    return f"http{'s' if at.tls else ''}://{{host}}:{{port}}"


def _places(settings: Settings, inside: Endpoint, service: Service | None, port: str) -> Iterator[tuple[str, str, int]]:
    """(suffix, host, port) from the host and from inside; an external service has one address for both."""
    if service is None:
        yield "", inside.host, inside.port
    else:
        published = next(item for item in service.ports if item.name == port)
        if published.host is not None:
            yield "", settings.bind_address, published.host
    qualified = settings.clustered and service is not None and "." not in inside.host
    inner = f"{inside.host}.{settings.namespace}" if qualified else inside.host
    yield INTERNAL, inner, inside.port


def _credentials(at: Endpoint) -> dict[str, str]:
    return {
        "username": quote(at.username or "", safe=""),
        "password": quote(at.password.reveal() if at.password else "", safe=""),
        "database": at.database or "",
    }
