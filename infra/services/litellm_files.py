"""The files that LiteLLM reads: its configuration, the keys of applications, its stores' logins."""

import json
from collections.abc import Iterator
from urllib.parse import quote

from infra.secret import Secret
from infra.services import alloy, applications, model_chain, postgres, redis
from infra.services.context import Context
from infra.settings.gateway import Litellm
from infra.spec import CONFIG_DIR, Endpoint, File
from infra.templating import render_secret

NAME = "litellm"
_POSTGRES_AUTHORITY, _REDIS_AUTHORITY, COLLECTOR_AUTHORITY = (
    f"{CONFIG_DIR}/{name}-ca.pem" for name in ("postgres", "redis", "collector")
)


def config(context: Context, cache: Endpoint | None, *, database: bool) -> Secret:
    """LiteLLM's configuration."""
    settings = context.settings.of(Litellm)
    return render_secret(
        "litellm/config.yaml.j2",
        deployments=model_chain.deployments(settings),
        paid=model_chain.paid(settings),
        budget=settings.daily_budget_usd,
        cache=(
            {
                "host": cache.host,
                "port": cache.port,
                "username": cache.username,
                "password": cache.password,
                "tls": cache.tls,
            }
            if cache
            else None
        ),
        database=_database_url(context) if database else None,
        traces=alloy.takes_traces(context),
        master_key=key(context, "master"),
        redis_authority=_REDIS_AUTHORITY if cache and cache.authority else None,
    )


def _database_url(context: Context) -> Secret:
    at = postgres.endpoint(context, "litellm")
    user, password = (
        quote(at.username or "", safe=""),
        quote(at.password.reveal() if at.password else "", safe=""),
    )
    # Prisma's words for a certificate that must be valid; it knows no verify-full.
    query = "?sslmode=require&sslaccept=strict" if at.tls else ""
    query += f"&sslcert={_POSTGRES_AUTHORITY}" if at.tls and at.authority else ""
    return Secret(f"postgresql://{user}:{password}@{at.host}:{at.port}/{at.database}{query}")


def applications_file(context: Context) -> Secret:
    """The applications beside the own one: their keys, models and budgets."""
    found = {
        item.name: {
            "key": key(context, item.name).reveal(),
            "models": item.models,
            "budget": item.budget,
        }
        for item in applications.every(context.settings)[1:]
    }
    return Secret(json.dumps(found, indent=2))


def ledger(context: Context) -> Secret:
    """The login of the Redis that keeps what is spent: the one that never evicts."""
    at = redis.endpoint(context, "queue", NAME)
    found = {
        "host": at.host,
        "port": at.port,
        "username": at.username,
        "password": at.password.reveal() if at.password else None,
        "ssl": at.tls,
        "ssl_ca_certs": _REDIS_AUTHORITY if at.authority else None,
    }
    return Secret(json.dumps({name: value for name, value in found.items() if value}, indent=2))


def key(context: Context, name: str) -> Secret:
    """One of KEYS or an application's, with the prefix that LiteLLM requires."""
    return Secret(f"sk-{context.secret(NAME, name).reveal()}")


def authorities(context: Context) -> Iterator[File]:
    """The certificate authorities of the stores and of the collector of its traces."""
    for path, at in (
        (_POSTGRES_AUTHORITY, postgres.endpoint(context, NAME)),
        (_REDIS_AUTHORITY, redis.endpoint(context, "queue", NAME)),
        *(((COLLECTOR_AUTHORITY, alloy.endpoint(context)),) if alloy.takes_traces(context) else ()),
    ):
        if at.authority:
            yield File(path=path, content=at.authority)
