"""Redis: one evicting instance for the cache, one that never evicts for queues and pub/sub."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal

from infra import sizing
from infra.refusal import Violation
from infra.secret import Secret
from infra.services import applications
from infra.services.context import (
    AUTHORITY,
    OWN,
    TLS_FILES,
    Context,
    external_endpoint,
    identity,
    limits,
    trust,
)
from infra.services.definition import Contract, Definition, Stage
from infra.settings import Settings
from infra.settings.common import LogLevel
from infra.settings.stores import Redis, RedisCache, RedisInstance, RedisQueue
from infra.spec import (
    CONFIG_DIR,
    Address,
    Endpoint,
    File,
    HealthCheck,
    Port,
    Service,
    Store,
    Variable,
    Volume,
)
from infra.templating import render, render_secret
from infra.units import format_size

Use = Literal["cache", "queue"]
# It has none beyond warnings.
_LOG_LEVELS: Mapping[LogLevel, str] = {
    "debug": "debug",
    "info": "notice",
    "warn": "warning",
    "error": "warning",
}
BACKUP = "backup"
USERS = (OWN, "litellm", "monitoring", "health", BACKUP)
SYNC_PORT = 6399
"""Where a backup answers an instance that it restores, as its primary."""
_HEALTH_PASSWORD = f"{CONFIG_DIR}/health-password"


def names(context: Context) -> tuple[str, ...]:
    """The instances that are deployed."""
    redis = context.settings.of(Redis)
    if not redis.deployed:
        return ()
    return ("redis-queue",) if redis.shared else ("redis-cache", "redis-queue")


def name_for(context: Context, use: Use) -> str:
    """The instance that serves a use."""
    return "redis-queue" if context.settings.of(Redis).shared else f"redis-{use}"


def endpoint(context: Context, use: Use, user: str) -> Endpoint:
    """The endpoint of the instance for a use, for one of USERS."""
    settings = context.settings.of(Redis)
    if settings.external:
        return external_endpoint(settings.external)
    name = name_for(context, use)
    at = Endpoint(
        host=name, port=6379, network=name, username=user, password=_password(context, name, user)
    )
    return context.secured(at, settings)


def build(context: Context, name: str) -> Service:
    """One instance, by its name."""
    settings = _settings(context, name)
    declared = applications.every(context.settings)[1:]
    users = (*USERS, *(item.name for item in declared))
    passwords = {user: _password(context, name, user) for user in users}
    at = endpoint(context, "cache" if name == "redis-cache" else "queue", "health")
    client = _client(at)
    return Service(
        name=name,
        settings=("redis", name.removeprefix("redis-")),
        kind="redis",
        image=context.image("redis", name),
        limits=limits(settings),
        user="999:0",
        entrypoint=("redis-server",),
        command=(f"{CONFIG_DIR}/redis.conf",),
        files=(
            File(
                path=f"{CONFIG_DIR}/redis.conf",
                content=render(
                    "redis/redis.conf.j2",
                    **sizing.redis(settings.memory),
                    policy=settings.policy,
                    log_level=_LOG_LEVELS[settings.log_level],
                    max_clients=_clients(settings, tls=at.tls),
                    acl_file=f"{CONFIG_DIR}/users.acl",
                    tls=TLS_FILES if at.tls else None,
                ),
            ),
            File(
                path=f"{CONFIG_DIR}/users.acl",
                content=render_secret(
                    "redis/users.acl.j2",
                    hashes={user: _sha256(password) for user, password in passwords.items()},
                    applications=declared,
                ),
                live=True,
            ),
            File(path=_HEALTH_PASSWORD, content=passwords["health"]),
            *trust(at),
            *identity(context, name, settings, tls=at.tls),
        ),
        calls_back=(BACKUP,) if context.deploys(BACKUP) else (),
        # Not for a rotation: what asks for it logs in as one of the users.
        reload=("sh", "-c", f"{client} acl load | grep -q OK"),
        volumes=(Volume(name=f"{name}-data", path="/data", size=settings.disk),),
        ports=(
            Port(
                name="redis",
                container=6379,
                host=context.host_port(settings.port),
                scheme="rediss" if at.tls else "redis",
            ),
        ),
        readiness=HealthCheck(
            command=("sh", "-c", f"{client} ping | grep -q PONG"),
            start_period=60,
        ),
        stop_grace=30,
        # Beside its clients: its own files, and the few that Redis reserves.
        open_files=_clients(settings, tls=at.tls) + 128,
        checks={"policy": settings.policy, "tls": str(at.tls).lower()},
        credentials=passwords,
    )


def _client(at: Endpoint) -> str:
    """The command of a client inside the container."""
    tls = f" --tls --cacert {AUTHORITY}" if at.tls else ""
    return (
        f"REDISCLI_AUTH=$(cat {_HEALTH_PASSWORD}) redis-cli{tls} --user {at.username}"
        " --no-auth-warning"
    )


def _clients(settings: RedisInstance, *, tls: bool) -> int:
    """As many as are set; with TLS no more than there is memory for."""
    most = sizing.redis_clients(settings.memory)
    return min(settings.max_clients, most) if tls else settings.max_clients


def _sha256(password: Secret) -> str:
    return hashlib.sha256(password.reveal().encode()).hexdigest()


def _settings(context: Context, name: str) -> RedisCache | RedisQueue:
    redis = context.settings.of(Redis)
    return redis.cache if name == "redis-cache" else redis.queue


def _password(context: Context, name: str, user: str) -> Secret:
    return context.secret(name, user, of=_settings(context, name))


def _validate(stack: Settings) -> Iterator[Violation]:
    settings = stack.of(Redis)
    if settings.shared and "cache" in settings.model_fields_set:
        yield Violation(
            key="groundwork:redis.cache",
            reason=(
                "with `shared` there is no separate cache, so these settings would have no effect"
            ),
            fix="set groundwork:redis.queue instead, or set shared to false",
        )
    if settings.queue.policy != "noeviction":
        yield Violation(
            key="groundwork:redis.queue.policy",
            reason="a queue must never evict: an evicted key is a lost job",
            fix="leave it at `noeviction`, and size groundwork:redis.queue.memory instead",
        )
    for name, instance in (("cache", settings.cache), ("queue", settings.queue)):
        most = sizing.redis_clients(instance.memory)
        if (
            settings.deployed
            and settings.tls
            and "max_clients" in instance.model_fields_set
            and instance.max_clients > most
        ):
            yield Violation(
                key=f"groundwork:redis.{name}.maxClients",
                reason=(
                    f"with TLS each connection takes {format_size(sizing.TLS_CONNECTION)} of"
                    f" memory, and an eighth of {format_size(instance.memory)} holds {most}"
                ),
                fix=f"lower it to {most}, or raise groundwork:redis.{name}.memory",
            )
        # While the append-only file is rewritten the old one and the new one stand side by side.
        least = 2 * sizing.redis(instance.memory)["maxmemory"]
        if settings.deployed and instance.disk < least:
            yield Violation(
                key=f"groundwork:redis.{name}.disk",
                reason=(
                    f"{format_size(instance.disk)} cannot hold two append-only files for"
                    f" {format_size(instance.memory)} of memory, as a rewrite requires"
                ),
                fix=f"raise it to {format_size(least)} or more",
            )


def _environment(context: Context) -> Contract:
    uses: tuple[tuple[str, Use], ...] = (("REDIS_CACHE_URL", "cache"), ("REDIS_QUEUE_URL", "queue"))
    for variable, use in uses:
        at = endpoint(context, use, context.application)
        yield Address(
            variable,
            at,
            name_for(context, use),
            "redis",
            f"redis{'s' if at.tls else ''}://{{username}}:{{password}}@{{host}}:{{port}}/0",
        )
    prefix = applications.current(context).keys
    if prefix:
        yield Variable("REDIS_KEY_PREFIX", prefix)


def _stores(context: Context) -> Iterator[Store]:
    for name in names(context):
        use: Use = "cache" if name == "redis-cache" else "queue"
        yield Store(
            name=name,
            kind="redis",
            at=endpoint(context, use, BACKUP),
            # What LiteLLM keeps there is no reason not to replace it.
            options={"own": "litellm:*"},
        )


DEFINITION = Definition(
    name="redis",
    stage=Stage.STORE,
    settings=Redis,
    description="Redis for cache, queues and pub/sub.",
    image="redis",
    names=("redis-cache", "redis-queue"),
    build=lambda context, _: [build(context, name) for name in names(context)],
    external_needs=(),
    validate=_validate,
    environment=_environment,
    stores=_stores,
)
