"""LiteLLM: one endpoint over a chain of model providers, with a budget, a cache and metrics."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from infra.refusal import Violation
from infra.secret import Secret
from infra.services import alloy, applications, litellm_files, model_chain, postgres, redis
from infra.services.context import (
    AUTHORITY,
    CERTIFICATE,
    CERTIFICATE_KEY,
    Context,
    external_endpoint,
    identity,
    limits,
    trust,
)
from infra.services.definition import Contract, Definition, Stage
from infra.settings import Settings
from infra.settings.common import LogLevel
from infra.settings.gateway import Litellm
from infra.settings.stores import Postgres, Redis
from infra.spec import (
    CONFIG_DIR,
    Address,
    Endpoint,
    File,
    HealthCheck,
    LeftOut,
    Logs,
    Metrics,
    Port,
    Service,
    Variable,
)
from infra.templating import TEMPLATES
from infra.units import MIB

NAME = "litellm"
# Without any it tells of warnings.
_LOG_LEVELS: Mapping[LogLevel, str] = {"debug": "DEBUG", "info": "INFO", "error": "ERROR"}
KEYS = ("master", "app", "metrics")
"""The administrator's key, the own application's, and Prometheus'; `templates/litellm/keys.py`
defines what each opens. Other applications' are in a file of their own.
"""
_START = """\
LITELLM_SALT_KEY=$(cat {dir}/salt-key)
export LITELLM_SALT_KEY
if [ -f {dir}/otlp-token ]; then
    OTEL_HEADERS="Authorization=Bearer $(cat {dir}/otlp-token)"
    export OTEL_HEADERS
fi
exec litellm "$@"
"""
_READY = """\
import sys, urllib.request
body = urllib.request.urlopen("{url}/health/readiness", timeout=4).read().decode()
sys.exit('"db":"disconnected"' in body.replace(" ", ""))
"""


def endpoint(context: Context) -> Endpoint:
    """The OpenAI-compatible endpoint with the application's key."""
    settings = context.settings.of(Litellm)
    if settings.external:
        return external_endpoint(settings.external)
    at = Endpoint(
        host=NAME, port=4000, network=NAME, password=litellm_files.key(context, context.application)
    )
    return context.secured(at, settings)


def has_database(context: Context) -> bool:
    """True if spend is kept in Postgres; an image from packages lacks the database client's
    engine.
    """
    return not context.image(NAME).built and context.settings.of(Postgres).usable


def left_out(context: Context) -> Iterator[LeftOut]:
    """The providers that are left out, and why."""
    for name, key in model_chain.missing(context.settings.of(Litellm)):
        yield LeftOut(service=f"litellm: {name}", reason=f"{key} is not set")


def build(context: Context) -> Service:
    """LiteLLM over the chain of configured providers."""
    settings = context.settings.of(Litellm)
    database = has_database(context)
    embedding = model_chain.first(settings, "embedding")
    cache = (
        redis.endpoint(context, "cache", "litellm") if context.settings.of(Redis).usable else None
    )
    store = postgres.endpoint(context, "litellm").network if database else None
    own = endpoint(context)
    log_level = _LOG_LEVELS.get(settings.log_level)
    keys = {name: litellm_files.key(context, name) for name in KEYS}
    salt_key = Secret(f"sk-{context.keyring.derive(NAME, 'salt', length=40).reveal()}")
    return Service(
        name=NAME,
        kind="litellm",
        image=context.image(NAME),
        limits=limits(settings),
        user="65534:0",
        entrypoint=("sh", f"{CONFIG_DIR}/start.sh"),
        command=(
            *("--config", f"{CONFIG_DIR}/config.yaml", "--port", "4000", "--num_workers", "1"),
            *(
                ("--ssl_certfile_path", CERTIFICATE, "--ssl_keyfile_path", CERTIFICATE_KEY)
                if settings.tls
                else ()
            ),
        ),
        env={
            # Prices come with the package; a start must not depend on a download.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_TELEMETRY": "False",
            **({"LITELLM_LOG": log_level} if log_level else {}),
            "PYTHONPATH": CONFIG_DIR,
            "HOME": "/tmp",  # noqa: S108 - inside its own container
            **_tracing(context),
        },
        files=(
            File(
                path=f"{CONFIG_DIR}/config.yaml",
                content=litellm_files.config(context, cache, database=database),
            ),
            *(
                File(path=f"{CONFIG_DIR}/{name}", content=(TEMPLATES / NAME / name).read_text())
                for name in ("keys.py", "sitecustomize.py", "spending.py")
            ),
            *(File(path=f"{CONFIG_DIR}/{name}-key", content=key) for name, key in keys.items()),
            File(
                path=f"{CONFIG_DIR}/applications.json",
                content=litellm_files.applications_file(context),
            ),
            File(path=f"{CONFIG_DIR}/spending.json", content=litellm_files.ledger(context)),
            *litellm_files.authorities(context),
            *identity(context, NAME, settings, tls=settings.tls),
            *trust(own),
            File(path=f"{CONFIG_DIR}/salt-key", content=salt_key),
            *_otlp_token(context),
            File(
                path=f"{CONFIG_DIR}/start.sh",
                content=_START.format(dir=CONFIG_DIR),
                executable=True,
            ),
        ),
        ports=(
            Port(
                name="http",
                container=4000,
                host=context.host_port(settings.port),
                scheme="https" if settings.tls else "http",
            ),
        ),
        # Its tables are made at its start, so Postgres must be there; to Redis it connects when it
        # needs it.
        depends_on=(store,) if store else (),
        connects_to=(
            *(
                at.network
                for at in (cache, redis.endpoint(context, "queue", NAME) if cache else None)
                if at and at.network
            ),
            *((alloy.NAME,) if alloy.takes_traces(context) else ()),
        ),
        # Providers may be anywhere, and Ollama is usually on the host.
        reaches_out=True,
        host_gateway=True,
        readiness=HealthCheck(command=_ready(own), interval=3, start_period=180),
        stop_grace=30,
        writable={"/tmp": 256 * MIB},  # noqa: S108 - in its own container
        # Built here, it writes nowhere else; of the official image that was not seen.
        writable_root=(
            None
            if context.image(NAME).built
            else "its image generates a database client beside its own packages"
        ),
        replicas=settings.replicas,
        max_replicas=settings.max_replicas,
        metrics=(Metrics(port=4000, path="/metrics/", bearer=keys["metrics"], tls=settings.tls),),
        # Python's tracebacks span lines; an entry begins with a time, a level or a brace.
        logs=Logs(
            format="json",
            first_line=r"^(?:\{|\x1b|\d{2}:\d{2}:\d{2}|\d{4}-\d{2}-\d{2}|[A-Z]{4,8}:|Traceback)",
        ),
        checks={
            "model": model_chain.chat(settings) or "",
            "models": ",".join(model.name for model in model_chain.offered(settings)),
            "embedding": embedding.name if embedding else "",
            "dimensions": str(embedding.dimensions) if embedding else "",
            "database": str(database).lower(),
            "tls": str(settings.tls).lower(),
        },
        credentials={**{f"{name}-key": key for name, key in keys.items()}, "salt-key": salt_key},
    )


def _ready(at: Endpoint) -> tuple[str, ...]:
    script = _READY.format(url=replace(at, host="127.0.0.1").url("http"))
    # Its only client that needs another authority than the system's: providers are on the Internet.
    trusted = ("env", f"SSL_CERT_FILE={AUTHORITY}") if at.tls else ()
    return (*trusted, "python3", "-c", script)


def _otlp_token(context: Context) -> Iterator[File]:
    at = alloy.endpoint(context)
    if alloy.takes_traces(context) and at.password:
        yield File(path=f"{CONFIG_DIR}/otlp-token", content=at.password)


def _tracing(context: Context) -> dict[str, str]:
    """The destination of its spans; prompts and completions stay out of them."""
    if not alloy.takes_traces(context):
        return {}
    at = alloy.endpoint(context)
    return {
        "OTEL_EXPORTER": "otlp_http",
        "OTEL_ENDPOINT": f"{at.url('http')}/v1/traces",
        "OTEL_SERVICE_NAME": NAME,
        "OTEL_ENVIRONMENT_NAME": context.settings.environment or "",
        # Seconds. At its stop it would wait for a collector that stops too.
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
        **(
            {"OTEL_EXPORTER_OTLP_CERTIFICATE": litellm_files.COLLECTOR_AUTHORITY}
            if at.authority
            else {}
        ),
    }


def _validate(stack: Settings) -> Iterator[Violation]:
    settings = stack.of(Litellm)
    yield from model_chain.problems(stack)
    if settings.deployed and not stack.of(Redis).usable:
        yield Violation(
            key="groundwork:redis.enabled",
            reason="LiteLLM keeps its cache and its budget in Redis, but Redis is disabled",
            fix=(
                "enable Redis, set groundwork:redis.external, or set groundwork:litellm.enabled"
                " to false"
            ),
        )
    if settings.deployed and stack.images != "packages" and not stack.of(Postgres).usable:
        yield Violation(
            key="groundwork:postgres.enabled",
            reason="LiteLLM keeps its spend in Postgres, but Postgres is disabled",
            fix=(
                "enable Postgres, set groundwork:postgres.external, or set"
                " groundwork:litellm.enabled to false"
            ),
        )
    if 1 < settings.max_replicas < settings.replicas:
        yield Violation(
            key="groundwork:litellm.maxReplicas",
            reason=(
                f"{settings.max_replicas} is below groundwork:litellm.replicas"
                f" ({settings.replicas})"
            ),
            fix="raise it, or remove it for a fixed number of replicas",
        )


def _addresses(stack: Settings) -> Iterator[tuple[str, str]]:
    yield "litellm.providers.ollama.url", stack.of(Litellm).providers.ollama.url or ""


def _environment(context: Context) -> Contract:
    at = endpoint(context)
    yield Address("LLM_BASE_URL", at, NAME, "http", at.template("http") + "/v1")
    yield Variable("LLM_API_KEY", at.password or "")
    settings = context.settings.of(Litellm)
    allowed = applications.current(context).models
    model = model_chain.chat(settings, allowed)
    if model:
        yield Variable("LLM_MODEL", model)
    embedding = model_chain.first(settings, "embedding", allowed)
    if embedding:
        yield Variable("LLM_EMBEDDING_MODEL", embedding.name)
        yield Variable("LLM_EMBEDDING_DIMENSIONS", str(embedding.dimensions))
    rerank = model_chain.first(settings, "rerank", allowed)
    if rerank:
        yield Variable("LLM_RERANK_MODEL", rerank.name)


def _administration(context: Context) -> Contract:
    if context.settings.of(Litellm).deployed:
        yield Variable("LITELLM_MASTER_KEY", litellm_files.key(context, "master"))


def _notes(context: Context) -> Iterator[str]:
    if not model_chain.offered(context.settings.of(Litellm)):
        yield (
            "LiteLLM has no provider yet, so it cannot answer requests: set a provider's API key"
            " or Ollama's URL."
        )
    if not has_database(context):
        yield (
            "LiteLLM does not record spend in Postgres here; the daily budget is kept in Redis,"
            " per paid provider."
        )


DEFINITION = Definition(
    name=NAME,
    stage=Stage.APPLICATION,
    settings=Litellm,
    description="One endpoint over a chain of model providers.",
    image=NAME,
    build=lambda context, _: [build(context)],
    external_needs=("password",),
    scales=True,
    exposable=True,
    addresses=_addresses,
    validate=_validate,
    environment=_environment,
    administration=_administration,
    left_out=left_out,
    notes=_notes,
)
