"""Alloy as the OpenTelemetry endpoint: receives traces, logs and metrics with a token and hands
them on. It mounts nothing from its host.
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from infra import sizing
from infra.redaction import REDACTIONS, REPLACEMENT
from infra.refusal import Violation, repeated
from infra.secret import Secret
from infra.services import loki, prometheus, tempo
from infra.services.context import (
    OBSERVABILITY_NETWORK,
    OWN,
    TLS_FILES,
    Context,
    identity,
    limits,
)
from infra.services.definition import Contract, Definition, Stage
from infra.settings import Settings
from infra.settings.observability import Alloy, Forward, Prometheus
from infra.settings.stores import Minio
from infra.spec import (
    CONFIG_DIR,
    Address,
    Endpoint,
    File,
    HealthCheck,
    Logs,
    Metrics,
    Port,
    Service,
    Variable,
)
from infra.templating import render_secret
from infra.units import MIB

NAME = "alloy"
LOGS = Logs(format="logfmt")
PAGES = 12345
"""The port of its own pages and metrics."""
_AUDIT = 8088
AUDIT_PATH = "/services/collector/raw"
_LOGIN = f"{CONFIG_DIR}/login"


def _ask(request: str, arguments: str = "") -> tuple[str, ...]:
    """A command that succeeds if Alloy's own HTTP server answers a request (for printf, with its
    arguments).

    The official image has no HTTP client, but a shell that can open connections.
    """
    sent = f"printf '{request}\\r\\n\\r\\n'{arguments} >&3"
    script = f"exec 3<>/dev/tcp/127.0.0.1/{PAGES} && {sent} && head -n 1 <&3 | grep -q ' 200'"
    return ("bash", "-c", script)


# By HTTP: the build from packages ends at SIGHUP.
RELOAD = _ask("POST /-/reload HTTP/1.0\\r\\nAuthorization: Basic %s", f' "$(cat {_LOGIN})"')
READINESS = HealthCheck(command=_ask("GET /-/ready HTTP/1.0"), interval=5)
_DATA = "/tmp"  # noqa: S108 - in its own container


def command(data: str, *, preview: bool = False) -> tuple[str, ...]:
    """Alloy's arguments, with the folder for its persistent state; `preview` allows components that
    are not yet said to be stable.
    """
    return (
        "run",
        f"{CONFIG_DIR}/config.alloy",
        f"--storage.path={data}",
        f"--server.http.listen-addr=0.0.0.0:{PAGES}",
        "--disable-reporting",
        "--server.http.disable-support-bundle",
        "--server.http.enable-pprof=false",
        *(["--stability.level=public-preview"] if preview else []),
    )


def login(password: Secret) -> File:
    """The credentials for its own HTTP server, as in an HTTP header."""
    pair = base64.b64encode(f"prometheus:{password.reveal()}".encode()).decode()
    return File(path=_LOGIN, content=Secret(pair))


def takes_traces(context: Context) -> bool:
    """True if there is an OTLP endpoint. It does not depend on where traces are kept, so that
    senders are not replaced when that changes.
    """
    return context.deploys(NAME)


def keeps_traces(context: Context) -> bool:
    """True if the endpoint's traces are kept or forwarded."""
    return context.deploys(tempo.NAME) or bool(context.settings.of(Alloy).forward_traces)


def keeps_logs(context: Context) -> bool:
    """True if logs that are sent to the endpoint are kept or forwarded."""
    return context.deploys(loki.NAME) or bool(context.settings.of(Alloy).forward_logs)


def keeps_metrics(context: Context) -> bool:
    """True if metrics that are sent to the endpoint are kept, for which Prometheus must be ours."""
    return context.settings.of(Prometheus).deployed


def keeps_something(context: Context) -> bool:
    """True if anything that is sent to the endpoint is kept or forwarded."""
    return keeps_traces(context) or keeps_logs(context) or keeps_metrics(context)


def signals(context: Context) -> list[str]:
    """What the endpoint takes; with nothing to keep it takes traces, and drops them."""
    kept = {
        "traces": keeps_traces(context),
        "logs": keeps_logs(context),
        "metrics": keeps_metrics(context),
    }
    return [name for name, there in kept.items() if there] or ["traces"]


def takes_audit(context: Context) -> bool:
    """True if MinIO's requests are taken and kept."""
    minio = context.settings.of(Minio)
    return minio.deployed and minio.audit and takes_traces(context) and keeps_logs(context)


def audit_endpoint(context: Context) -> Endpoint:
    """For lines of text over HTTP, with a bearer token: by a log of its own nobody could tell whose
    they are.
    """
    return _endpoint(context, _AUDIT, "audit")


def endpoint(context: Context) -> Endpoint:
    """OTLP over HTTP, with a bearer token."""
    return _endpoint(context, 4318, "otlp")


def _endpoint(context: Context, port: int, purpose: str) -> Endpoint:
    at = Endpoint(host=NAME, port=port, network=NAME, password=context.secret(NAME, purpose))
    return context.secured(at, context.settings.of(Alloy))


def build(context: Context, _: Sequence[Service] = ()) -> Service:
    """The endpoint for applications' and LiteLLM's traces."""
    settings = context.settings.of(Alloy)
    token, scraping = context.secret(NAME, "otlp"), context.secret(NAME, "metrics")
    return Service(
        name=NAME,
        kind="alloy",
        image=context.image(NAME),
        limits=limits(settings),
        user="473:0",
        entrypoint=("/bin/alloy",),
        command=command(_DATA, preview=takes_audit(context)),
        env=sizing.go_runtime(settings.memory),
        files=(
            File(
                path=f"{CONFIG_DIR}/config.alloy",
                content=render_secret(
                    "alloy/otlp.alloy.j2",
                    signals=signals(context),
                    log_level=settings.log_level,
                    environment=context.settings.environment,
                    tempo=(
                        tempo.endpoint(context, port=4318).url("http")
                        if context.deploys(tempo.NAME)
                        else None
                    ),
                    loki=(
                        loki.endpoint(context).url("http") if context.deploys(loki.NAME) else None
                    ),
                    prometheus=_prometheus(context) if keeps_metrics(context) else None,
                    forwards=forwards(settings.forward_traces),
                    forwards_of_logs=forwards(settings.forward_logs),
                    redactions=REDACTIONS,
                    replacement=REPLACEMENT,
                    token=token,
                    tls=TLS_FILES if settings.tls else None,
                    audit=takes_audit(context)
                    and {"port": _AUDIT, "token": audit_endpoint(context).password},
                    scraping=scraping,
                    memory=sizing.alloy_intake(settings.memory) // MIB,
                ),
                live=True,
            ),
            login(scraping),
            *identity(context, NAME, settings, tls=settings.tls),
        ),
        reload=RELOAD,
        ports=tuple(_ports(context)),
        network=NAME,
        # Who else joins its network is not to reach MinIO, so it joins MinIO's.
        connects_to=(OBSERVABILITY_NETWORK, *(["minio"] if takes_audit(context) else [])),
        reaches_out=bool(settings.forward_traces or settings.forward_logs),
        host_gateway=bool(settings.forward_traces or settings.forward_logs),
        readiness=READINESS,
        stop_grace=20,
        metrics=(Metrics(port=PAGES, username="prometheus", password=scraping),),
        logs=LOGS,
        checks={
            "traces": str(keeps_traces(context)).lower(),
            "logs": str(context.deploys(loki.NAME)).lower(),
            "metrics": str(keeps_metrics(context)).lower(),
            "forwards": ",".join(item.name for item in settings.forward_traces),
            "tls": str(settings.tls).lower(),
        },
        credentials={"otlp": token},
    )


def forwards(declared: Sequence[Forward]) -> list[dict[str, Any]]:
    """External endpoints, as the templates write them."""
    return [
        {"name": item.name, "endpoint": item.endpoint, "headers": item.headers} for item in declared
    ]


def _prometheus(context: Context) -> dict[str, Any]:
    at = prometheus.endpoint(context, NAME)
    return at.login()


def _ports(context: Context) -> Iterator[Port]:
    settings = context.settings.of(Alloy)
    scheme = "https" if settings.tls else "http"
    yield Port(
        name="otlp-http", container=4318, host=context.host_port(settings.port), scheme=scheme
    )
    yield Port(name="otlp-grpc", container=4317, host=context.host_port(settings.grpc_port))
    if takes_audit(context):
        yield Port(name="audit", container=_AUDIT, scheme=scheme)


def _validate(stack: Settings) -> Iterator[Violation]:
    settings = stack.of(Alloy)
    for key, declared in (
        ("forwardTraces", settings.forward_traces),
        ("forwardLogs", settings.forward_logs),
    ):
        for name in repeated([item.name for item in declared]):
            yield Violation(
                key=f"groundwork:alloy.{key}",
                reason=f"endpoint `{name}` is declared twice",
                fix="rename one of them",
            )
    if settings.logs.namespaces and not stack.clustered:
        yield Violation(
            key="groundwork:alloy.logs.namespaces",
            reason="a Docker host has no namespaces; a container asks for it by a label",
            fix="remove it; see docs/observability.md#logs",
        )


def _environment(context: Context) -> Contract:
    """The names that OpenTelemetry's own libraries read."""
    taken = signals(context) if keeps_something(context) else []
    for signal in ("traces", "metrics", "logs"):
        if taken:
            exporter = "otlp" if signal in taken else "none"
            yield Variable(f"OTEL_{signal.upper()}_EXPORTER", exporter)
    if taken:
        at = endpoint(context)
        if context.application != OWN:
            yield Variable("OTEL_SERVICE_NAME", context.application)
        token = at.password.reveal() if at.password else ""
        yield Address("OTEL_EXPORTER_OTLP_ENDPOINT", at, NAME, "otlp-http", at.template("http"))
        yield Variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        yield Variable("OTEL_EXPORTER_OTLP_HEADERS", Secret(f"Authorization=Bearer%20{token}"))


DEFINITION = Definition(
    name=NAME,
    stage=Stage.MONITORING,
    settings=Alloy,
    description="Receives traces, logs and metrics at one OTLP endpoint, and collects logs.",
    image=NAME,
    build=lambda context, services: [build(context, services)],
    validate=_validate,
    environment=_environment,
)
