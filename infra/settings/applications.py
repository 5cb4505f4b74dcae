"""Settings of applications beside the stack's own."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from infra.settings.common import Because, Model
from infra.settings.stores import Bucket
from infra.settings.text import Kind, ModelName

# MinIO takes no shorter access key.
_NAME = re.compile(r"[a-z][a-z0-9_]{2,30}")
_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
# Users and databases of the stores themselves, and of Groundwork's own services there.
_TAKEN = frozenset(
    {
        *(
            "admin",
            "all",
            "app",
            "backup",
            "default",
            "encryption",
            "grafana",
            "health",
            "information_schema",
        ),
        *(
            "litellm",
            "master",
            "metrics",
            "monitoring",
            "pgbouncer",
            "postgres",
            "public",
            "root",
            "select",
        ),
        *("streaming_replica", "superuser", "system", "table", "template0", "template1", "user"),
    }
)
_ENDINGS = ("_owner", "_shadow")


def _name(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise ValueError(
            "it must be 3 to 31 lower-case letters, digits and underscores, and begin with a letter"
        )
    if value in _TAKEN or value.startswith("pg_"):
        raise ValueError("the stores have a user or a database of that name")
    if value.endswith(_ENDINGS):
        raise ValueError("names that end so belong to another application's roles and databases")
    return value


def _collection(value: str) -> str:
    if _COLLECTION.fullmatch(value) is None:
        raise ValueError("it must be 1 to 255 letters, digits, underscores, dots and hyphens")
    return value


ApplicationName = Annotated[str, AfterValidator(_name), Kind("name")]
CollectionName = Annotated[str, AfterValidator(_collection), Kind("name")]
Dollars = Annotated[
    float,
    Field(strict=True, allow_inf_nan=False, ge=0.01, le=1_000_000),
    Because("less than a cent allows no request, and more than a million is no limit"),
]


class Application(Model):
    """An application with logins, databases and an environment file of its own."""

    name: ApplicationName = Field(
        description="Its database, its roles, its users and the prefix of its Redis keys."
    )
    buckets: tuple[Bucket, ...] = Field((), description="S3 buckets that only it may use.")
    collections: tuple[CollectionName, ...] = Field(
        (), description="Qdrant collections that it may read and write; none, if not set."
    )
    models: tuple[ModelName, ...] = Field(
        (), description="Models that it may request; all, if not set."
    )
    daily_budget_usd: Dollars | None = Field(
        None, description="Its daily spending limit in US dollars, within the stack's."
    )
