"""Other names for the values of an application's environment, as frameworks and clients expect
them.
"""

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from infra.refusal import Violation
from infra.secret import Keyring
from infra.services.context import Context
from infra.services.platform import why_not
from infra.services.registry import definitions
from infra.settings import Settings

INTERNAL = "_INTERNAL"
"""The suffix of addresses for containers and pods."""

_Form = Callable[[str], str]


def _same(value: str) -> str:
    return value


def _of_url(part: Callable[[SplitResult], str]) -> _Form:
    return lambda value: part(urlsplit(value))


_host = _of_url(lambda url: url.hostname or "")
_port = _of_url(lambda url: str(url.port))
_authority = _of_url(lambda url: f"{url.hostname}:{url.port}")
_user = _of_url(lambda url: unquote(url.username or ""))
_password = _of_url(lambda url: unquote(url.password or ""))
_database = _of_url(lambda url: url.path.removeprefix("/"))
_tls = _of_url(lambda url: str(url.scheme in ("https", "rediss")).lower())
_root = _of_url(lambda url: f"{url.scheme}://{url.netloc}")


def _psycopg(value: str) -> str:
    return value.replace("postgresql://", "postgresql+psycopg://", 1)


def _fixed(text: str) -> _Form:
    return lambda _: text


def _below(path: str) -> _Form:
    return lambda value: value + path


SETS: Mapping[str, Mapping[str, tuple[str, _Form]]] = {
    "aws": {
        "AWS_ACCESS_KEY_ID": ("S3_ACCESS_KEY_ID", _same),
        "AWS_DEFAULT_REGION": ("S3_REGION", _same),
        "AWS_ENDPOINT_URL_S3": ("S3_ENDPOINT", _same),
        "AWS_REGION": ("S3_REGION", _same),
        "AWS_SECRET_ACCESS_KEY": ("S3_SECRET_ACCESS_KEY", _same),
    },
    "clickhouse": {
        "CLICKHOUSE_DB": ("CLICKHOUSE_DATABASE", _same),
        "CLICKHOUSE_HOST": ("CLICKHOUSE_URL", _host),
        "CLICKHOUSE_PORT": ("CLICKHOUSE_URL", _port),
        "CLICKHOUSE_SECURE": ("CLICKHOUSE_URL", _tls),
    },
    "litellm": {
        "LITELLM_API_KEY": ("LLM_API_KEY", _same),
        "LITELLM_BASE_URL": ("LLM_BASE_URL", _root),
        "LITELLM_MODEL": ("LLM_MODEL", _same),
    },
    "minio": {
        "FILE_STORAGE_PROVIDER": ("S3_ENDPOINT", _fixed("minio")),
        "MINIO_ACCESS_KEY": ("S3_ACCESS_KEY_ID", _same),
        "MINIO_BUCKET": ("S3_BUCKET", _same),
        "MINIO_BUCKET_NAME": ("S3_BUCKET", _same),
        "MINIO_ENDPOINT": ("S3_ENDPOINT", _authority),
        "MINIO_HOST": ("S3_ENDPOINT", _host),
        "MINIO_PORT": ("S3_ENDPOINT", _port),
        "MINIO_SECRET_KEY": ("S3_SECRET_ACCESS_KEY", _same),
        "MINIO_URL": ("S3_ENDPOINT", _same),
        "MINIO_USE_SSL": ("S3_ENDPOINT", _tls),
    },
    "openai": {
        "OPENAI_API_BASE": ("LLM_BASE_URL", _same),
        "OPENAI_API_KEY": ("LLM_API_KEY", _same),
        "OPENAI_BASE_URL": ("LLM_BASE_URL", _same),
    },
    "otel": {
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": ("OTEL_EXPORTER_OTLP_ENDPOINT", _below("/v1/logs")),
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            _below("/v1/metrics"),
        ),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            _below("/v1/traces"),
        ),
    },
    "pgvector": {
        "PGVECTOR_CONNECTION_STRING": ("DATABASE_URL", _same),
        "PGVECTOR_TABLE_NAME": ("DATABASE_URL", _fixed("document_vectors")),
        "PGVECTOR_URL": ("DATABASE_URL", _same),
    },
    "sqlalchemy": {
        "SQLALCHEMY_DATABASE_URL": ("DATABASE_URL", _psycopg),
    },
    "postgres": {
        "PGDATABASE": ("DATABASE_URL", _database),
        "PGHOST": ("DATABASE_URL", _host),
        "PGPASSWORD": ("DATABASE_URL", _password),
        "PGPORT": ("DATABASE_URL", _port),
        "PGUSER": ("DATABASE_URL", _user),
    },
    "redis": {
        "REDIS_FALLBACK_URL": ("REDIS_CACHE_URL", _same),
        "REDIS_HOST": ("REDIS_QUEUE_URL", _host),
        "REDIS_PASSWORD": ("REDIS_QUEUE_URL", _password),
        "REDIS_PORT": ("REDIS_QUEUE_URL", _port),
        "REDIS_TLS": ("REDIS_QUEUE_URL", _tls),
        # The instance that never evicts serves every use.
        "REDIS_URL": ("REDIS_QUEUE_URL", _same),
        "REDIS_USERNAME": ("REDIS_QUEUE_URL", _user),
    },
}
"""For each set its names, the variable that each is made from, and how."""


def of(settings: Settings, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The other names that a stack asks for, with their values; an address comes twice, as its
    source does.
    """
    wanted = {
        alias: source for name in settings.contract.aliases for alias, source in SETS[name].items()
    }
    wanted |= {alias: (source, _same) for alias, source in settings.contract.names.items()}
    for alias, (source, form) in wanted.items():
        found = {
            suffix: form(environment[source + suffix])
            for suffix in ("", INTERNAL)
            if source + suffix in environment
        }
        for suffix, value in found.items():
            if not suffix or value != found.get(""):
                yield alias + suffix, value


def problems(settings: Settings) -> Iterator[Violation]:
    """Names that stand for nothing, or would hide a variable."""
    known = _known(settings) if settings.contract.names else set()
    for alias, source in settings.contract.names.items():
        key = f"groundwork:contract.names.{alias}"
        if source not in known:
            yield Violation(
                key=key,
                reason=f"this stack's environment has no {source}",
                fix="use a variable of docs/connecting.md, or enable its service",
            )
        elif alias in known or alias.endswith(INTERNAL):
            yield Violation(
                key=key,
                reason="it is the name of a variable that means something else",
                fix="choose another name",
            )


def _known(settings: Settings) -> set[str]:
    """The names of the own application's variables."""
    context = Context(settings, Keyring(settings.master_secret))
    return {
        item.name
        for definition in definitions()
        if (
            why_not(context, definition) is None
            and definition.name not in {left.service for left in definition.left_out(context)}
        )
        or getattr(getattr(settings, definition.group), "external", None)
        for item in definition.environment(context)
    }
