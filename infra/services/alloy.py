"""Alloy as the OpenTelemetry endpoint: receives traces with a token and forwards them. It mounts
nothing from its host.
"""

import base64
from collections.abc import Iterator, Sequence

from infra import sizing
from infra.refusal import Violation, repeated
from infra.secret import Secret
from infra.services import tempo
from infra.services.context import OBSERVABILITY_NETWORK, Context, limits
from infra.services.definition import Contract, Definition, Stage
from infra.settings import Settings
from infra.settings.observability import Alloy
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


def command(data: str) -> tuple[str, ...]:
    """Alloy's arguments, with the folder for its persistent state."""
    return (
        "run",
        f"{CONFIG_DIR}/config.alloy",
        f"--storage.path={data}",
        f"--server.http.listen-addr=0.0.0.0:{PAGES}",
        "--disable-reporting",
        "--server.http.disable-support-bundle",
        "--server.http.enable-pprof=false",
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


def endpoint(context: Context) -> Endpoint:
    """OTLP over HTTP, with a bearer token."""
    return Endpoint(host=NAME, port=4318, network=NAME, password=context.secret(NAME, "otlp"))


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
        command=command(_DATA),
        env=sizing.go_runtime(settings.memory),
        files=(
            File(
                path=f"{CONFIG_DIR}/config.alloy",
                content=render_secret(
                    "alloy/traces.alloy.j2",
                    tempo=(
                        tempo.endpoint(context, port=4318).url("http")
                        if context.deploys(tempo.NAME)
                        else None
                    ),
                    forwards=[
                        {"name": item.name, "endpoint": item.endpoint, "headers": item.headers}
                        for item in settings.forward_traces
                    ],
                    token=token,
                    scraping=scraping,
                    memory=sizing.alloy_traces(settings.memory) // MIB,
                ),
                live=True,
            ),
            login(scraping),
        ),
        reload=RELOAD,
        ports=tuple(_ports(context)),
        network=NAME,
        connects_to=(OBSERVABILITY_NETWORK,),
        reaches_out=bool(settings.forward_traces),
        host_gateway=bool(settings.forward_traces),
        readiness=READINESS,
        stop_grace=20,
        metrics=(Metrics(port=PAGES, username="prometheus", password=scraping),),
        logs=LOGS,
        checks={
            "traces": str(keeps_traces(context)).lower(),
            "forwards": ",".join(item.name for item in settings.forward_traces),
        },
        credentials={"otlp": token},
    )


def _ports(context: Context) -> Iterator[Port]:
    settings = context.settings.of(Alloy)
    yield Port(
        name="otlp-http", container=4318, host=context.host_port(settings.port), scheme="http"
    )
    yield Port(name="otlp-grpc", container=4317, host=context.host_port(settings.grpc_port))


def _validate(stack: Settings) -> Iterator[Violation]:
    forwards = [item.name for item in stack.of(Alloy).forward_traces]
    for name in repeated(forwards):
        yield Violation(
            key="groundwork:alloy.forwardTraces",
            reason=f"endpoint `{name}` is declared twice",
            fix="rename one of them",
        )
    if "tempo" in forwards:
        yield Violation(
            key="groundwork:alloy.forwardTraces",
            reason="`tempo` is the name of the stack's own trace store",
            fix="rename the endpoint",
        )


def _environment(context: Context) -> Contract:
    """The names that OpenTelemetry's own libraries read."""
    if keeps_traces(context):
        at = endpoint(context)
        token = at.password.reveal() if at.password else ""
        yield Address("OTEL_EXPORTER_OTLP_ENDPOINT", at, NAME, "otlp-http", at.template("http"))
        yield Variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        yield Variable("OTEL_EXPORTER_OTLP_HEADERS", Secret(f"Authorization=Bearer%20{token}"))


DEFINITION = Definition(
    name=NAME,
    stage=Stage.MONITORING,
    settings=Alloy,
    description="Receives traces at one OTLP endpoint and collects logs.",
    image=NAME,
    build=lambda context, services: [build(context, services)],
    validate=_validate,
    environment=_environment,
)
