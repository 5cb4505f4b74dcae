"""What must hold between services, whatever host they run on. Pure."""

from collections.abc import Iterator

from infra.refusal import Problem
from infra.settings import Settings


def check(settings: Settings) -> list[Problem]:
    """Every contradiction in one stack's settings."""
    return [*_dependencies(settings), *_redis(settings), *_externals(settings), *_buckets(settings), *_targets(settings)]


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
    if settings.redis.queue.policy != "noeviction":
        yield Problem(
            key="groundwork:redis.queue.policy",
            reason=f"`{settings.redis.queue.policy}` evicts keys, and an evicted key of a queue is a lost job",
            fix="leave it at `noeviction`, and size groundwork:redis.queue.memory instead",
        )


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
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(key="groundwork:minio.buckets", reason=f"bucket `{name}` is declared twice", fix="remove one of them")


def _targets(settings: Settings) -> Iterator[Problem]:
    names = [target.name for target in settings.prometheus.targets]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(key="groundwork:prometheus.targets", reason=f"target `{name}` is declared twice", fix="rename one of them")
