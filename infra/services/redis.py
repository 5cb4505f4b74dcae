"""Redis: one evicting instance for the cache, one that never evicts for queues and pub/sub."""

import hashlib
from typing import Literal

from infra import sizing
from infra.secret import Secret
from infra.services.context import Context, external_endpoint, limits
from infra.settings.stores import RedisCache, RedisQueue
from infra.spec import CONFIG_DIR, Endpoint, File, HealthCheck, Port, Service, Volume
from infra.templating import render, render_secret

Use = Literal["cache", "queue"]
USERS = ("app", "litellm", "monitoring", "health")
_HEALTH_PASSWORD = f"{CONFIG_DIR}/health-password"
_CLIENT = f"REDISCLI_AUTH=$(cat {_HEALTH_PASSWORD}) redis-cli --user health --no-auth-warning"


def names(context: Context) -> tuple[str, ...]:
    """The instances that are deployed."""
    redis = context.settings.redis
    if not redis.deployed:
        return ()
    return ("redis-queue",) if redis.shared else ("redis-cache", "redis-queue")


def name_for(context: Context, use: Use) -> str:
    """The instance that serves a use."""
    return "redis-queue" if context.settings.redis.shared else f"redis-{use}"


def endpoint(context: Context, use: Use, user: str) -> Endpoint:
    """How a client reaches the instance for a use, as one of USERS."""
    external = context.settings.redis.external
    if external:
        return external_endpoint(external)
    name = name_for(context, use)
    return Endpoint(host=name, port=6379, network=name, username=user, password=context.secret(name, user))


def build(context: Context, name: str) -> Service:
    """One instance, by its name."""
    redis = context.settings.redis
    settings: RedisCache | RedisQueue = redis.cache if name == "redis-cache" else redis.queue
    passwords = {user: context.secret(name, user) for user in USERS}
    return Service(
        name=name,
        settings=("redis", name.removeprefix("redis-")),
        kind="redis",
        image=context.image("redis"),
        limits=limits(settings),
        user="999:0",
        entrypoint=("redis-server",),
        command=(f"{CONFIG_DIR}/redis.conf",),
        files=(
            File(
                path=f"{CONFIG_DIR}/redis.conf",
                content=render(
                    "redis/redis.conf.j2",
                    **sizing.redis(settings.memory), policy=settings.policy,
                    max_clients=settings.max_clients, acl_file=f"{CONFIG_DIR}/users.acl",
                ),
            ),
            File(
                path=f"{CONFIG_DIR}/users.acl",
                content=render_secret("redis/users.acl.j2", hashes={user: _sha256(passwords[user]) for user in USERS}),
                live=True,
            ),
            File(path=_HEALTH_PASSWORD, content=passwords["health"]),
        ),
        # Not for a rotation: what asks for it logs in as one of the users.
        reload=("sh", "-c", f"{_CLIENT} acl load | grep -q OK"),
        volumes=(Volume(name=f"{name}-data", path="/data", size=settings.disk),),
        ports=(Port(name="redis", container=6379, host=context.host_port(settings.port), scheme="redis"),),
        readiness=HealthCheck(
            command=("sh", "-c", f"{_CLIENT} ping | grep -q PONG"),
            start_period=60,
        ),
        stop_grace=30,
        # Beside its clients: its own files, and the few that Redis reserves.
        open_files=settings.max_clients + 128,
        checks={"policy": settings.policy},
        credentials=passwords,
    )  # fmt: skip


def _sha256(password: Secret) -> str:
    return hashlib.sha256(password.reveal().encode()).hexdigest()
