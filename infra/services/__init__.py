"""All services of a stack, in two passes: stores and applications, then what watches them."""

from collections.abc import Iterator, Sequence
from types import ModuleType

from infra.secret import Keyring
from infra.services import alertmanager, alloy, alloy_logs, clickhouse, exporters, grafana, litellm, loki, minio, postgres, prometheus, qdrant, redis, tempo
from infra.services.context import Context
from infra.settings import Settings
from infra.spec import LeftOut, Platform, Service

_APPLICATIONS: tuple[ModuleType, ...] = (postgres, minio, qdrant, clickhouse, litellm)


def build(settings: Settings) -> Platform:
    """The platform that a stack's settings describe. Pure: nothing is read or changed."""
    context = Context(settings, Keyring(settings.master_secret))
    left_out: list[LeftOut] = []
    services = list(_stores(context, left_out))
    services.extend(exporters.build(context))
    services.extend(_watchers(context, services, left_out))
    if settings.litellm.deployed:
        left_out.extend(litellm.left_out(context))
    return Platform(services=tuple(services), left_out=tuple(left_out), notes=tuple(_notes(context)))


def _watchers(context: Context, watched: Sequence[Service], left_out: list[LeftOut]) -> Iterator[Service]:
    """What watches: each is given what it watches, those of these that come before it included."""
    found = list(watched)
    for module in (loki, tempo, alertmanager, grafana, alloy):
        if not getattr(context.settings, module.NAME).enabled:
            continue
        if not context.available(module.NAME):
            left_out.append(LeftOut(service=module.NAME, reason=context.why_unavailable(module.NAME)))
        else:
            found.append(module.build(context, found))
    if alloy_logs.wanted(context):
        found.append(alloy_logs.build(context, found))
    if context.settings.prometheus.deployed:
        found.append(prometheus.build(context, found))
    elif context.settings.prometheus.external:
        left_out.append(_external(prometheus.NAME))
    yield from found[len(watched) :]


def _stores(context: Context, left_out: list[LeftOut]) -> Iterator[Service]:
    if context.settings.redis.external:
        left_out.append(_external("redis"))
    for name in redis.names(context):
        yield redis.build(context, name)
    for module in _APPLICATIONS:
        settings = getattr(context.settings, module.NAME)
        if settings.external:
            left_out.append(_external(module.NAME))
        elif settings.enabled and not context.available(module.NAME):
            left_out.append(LeftOut(service=module.NAME, reason=context.why_unavailable(module.NAME)))
        elif settings.enabled:
            yield module.build(context)


def _external(name: str) -> LeftOut:
    return LeftOut(service=name, reason=f"runs elsewhere (groundwork:{name}.external)")


def _notes(context: Context) -> Iterator[str]:
    """What a person should know about this deploy, in plain words."""
    settings = context.settings
    if settings.litellm.deployed:
        if not litellm.chain(context):
            yield "LiteLLM has no provider yet, so it answers no completion: set a provider's key or Ollama's URL."
        if not litellm.has_database(context):
            yield "LiteLLM keeps no spend in Postgres here; the daily budget is held in Redis, for each paid provider."
    if settings.images == "packages":
        yield "Debian's pgvector 0.8.0 is older than 0.8.4, which fixes index corruption in vacuum: rebuild HNSW indexes after mass deletes."
        yield "MinIO's last upstream state has two open CVEs (2026-40344, 2026-41145: unsigned writes): keep it on loopback."
        if settings.tempo.enabled:
            yield (
                "Tempo 2.9.0 is the newest release that modules carry, and public scans list CVE-2026-28377 and CVE-2026-21728 "
                "for that line: it publishes no port, keep it so."
            )
    if settings.alertmanager.enabled:
        yield from alertmanager.notes(context)
    if settings.bind_address != "127.0.0.1":
        yield f"Ports are published on {settings.bind_address}: Docker's published ports bypass the host's firewall."
