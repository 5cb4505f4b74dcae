"""The applications of a stack, each with its own place in every store."""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.refusal import Violation, repeated
from infra.services import model_chain
from infra.services.context import OWN, Context
from infra.settings import Settings
from infra.settings.gateway import Litellm
from infra.settings.stores import Bucket, Clickhouse, Minio, Postgres


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What one application has: databases, buckets, collections of vectors, and models (all, if
    empty) within a daily budget in US dollars.

    `keys` is the prefix of its keys and channels in Redis; empty for the stack's own application,
    which may use every key.
    """

    name: str
    database: str
    analytics: str
    keys: str
    buckets: tuple[Bucket, ...]
    collections: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    budget: float | None = None

    @property
    def owner(self) -> str:
        """The role that owns its tables, for migrations."""
        return f"{self.name}_owner"

    @property
    def shadow(self) -> str:
        """The database in which tools of migrations try them."""
        return f"{self.database}_shadow"


def every(settings: Settings) -> tuple[Application, ...]:
    """The stack's own application, then the declared ones."""
    own = Application(
        name=OWN,
        database=settings.of(Postgres).database,
        analytics=settings.of(Clickhouse).database,
        keys="",
        buckets=settings.of(Minio).buckets,
    )
    return (
        own,
        *(
            Application(
                name=item.name,
                database=item.name,
                analytics=item.name,
                keys=f"{item.name}:",
                buckets=item.buckets,
                collections=item.collections,
                models=item.models,
                budget=item.daily_budget_usd,
            )
            for item in settings.applications
        ),
    )


def current(context: Context) -> Application:
    """The application that the context is about."""
    return next(item for item in every(context.settings) if item.name == context.application)


def problems(stack: Settings) -> Iterator[Violation]:
    """Contradictions among applications."""
    key = "groundwork:applications"
    for name in repeated([item.name for item in stack.applications]):
        yield Violation(
            key=key,
            reason=f"application `{name}` is declared twice",
            fix="rename one of them",
        )
    declared = {item.name for item in every(stack)}
    for index, file in enumerate(stack.contract.files):
        if file.application not in declared:
            yield Violation(
                key=f"groundwork:contract.files.{index}.application",
                reason=f"application `{file.application}` is not declared",
                fix="declare it in groundwork:applications, or name another one",
            )
    yield from _shadows(stack)
    own = every(stack)[0]
    taken = {own.database: "postgres.database", own.analytics: "clickhouse.database"}
    for index, item in enumerate(stack.applications):
        if item.name in taken:
            yield Violation(
                key=f"{key}.{index}.name",
                reason=f"its databases would be the stack's own (groundwork:{taken[item.name]})",
                fix="rename it",
            )
        for model in sorted(set(item.models) - _models(stack)):
            yield Violation(
                key=f"{key}.{index}.models",
                reason=f"LiteLLM offers no model `{model}`",
                fix="declare it in groundwork:litellm.models, or remove it",
            )
    buckets = [bucket.name for item in every(stack) for bucket in item.buckets]
    for name in repeated(buckets):
        yield Violation(
            key="groundwork:minio.buckets",
            reason=f"bucket `{name}` is declared twice",
            fix="remove one of them; an application's buckets are its own",
        )


def _shadows(stack: Settings) -> Iterator[Violation]:
    if not stack.of(Postgres).shadow_database:
        return
    names = [name for item in every(stack) for name in (item.database, item.shadow)]
    for name in repeated(names):
        yield Violation(
            key="groundwork:postgres.database",
            reason=f"`{name}` is also the shadow database of an application",
            fix="rename one of them, or set groundwork:postgres.shadowDatabase to false",
        )


def _models(stack: Settings) -> set[str]:
    return {model.name for model in model_chain.offered(stack.of(Litellm))}
