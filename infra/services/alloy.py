"""Alloy: reads every container's log, redacts it, and hands it to Loki; takes traces at one OTLP endpoint and hands them on."""

from collections.abc import Iterator, Sequence

from infra import sizing
from infra.redaction import REDACTIONS, REPLACEMENT
from infra.services import loki, tempo
from infra.services.context import CONFIG_DIR, OBSERVABILITY_NETWORK, Context, limits
from infra.spec import Endpoint, File, HealthCheck, Logs, Metrics, Port, Service, Volume
from infra.templating import render_secret
from infra.units import MIB

NAME = "alloy"
_DATA = "/alloy"
_LOGS = Logs(format="logfmt")
# How entries of most loggers begin: a brace, a time, a level, or a first key of logfmt.
_BEGINNING = r"^(?:[{\[<]|\d{4}[-/.]\d{2}|\d{2}:\d{2}|[A-Z]{4,8}\b|[a-z]{3,5}[=:]|\x1b\[)"
# Where the engine's own log driver writes, and where kubelets do.
_DOCKER_LOGS = "/var/lib/docker/containers"
_POD_LOGS = "/var/log/pods"
# The official image has no client for HTTP, but a shell that opens connections.
_READY = "exec 3<>/dev/tcp/127.0.0.1/12345 && printf 'GET /-/ready HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200'"


def takes_traces(context: Context) -> bool:
    """Whether there is an OTLP endpoint. It does not depend on who keeps traces: what sends them is not to be replaced for that."""
    return context.deploys(NAME)


def keeps_traces(context: Context) -> bool:
    """Whether somebody keeps what the endpoint takes, or passes it on."""
    return context.deploys(tempo.NAME) or bool(context.settings.alloy.forward_traces)


def endpoint(context: Context) -> Endpoint:
    """OTLP over HTTP, with a bearer token."""
    host = f"{NAME}.{context.settings.host_namespace}" if context.settings.clustered else NAME
    return Endpoint(host=host, port=4318, network=NAME, password=context.secret(NAME, "otlp"))


def build(context: Context, services: Sequence[Service]) -> Service:
    """The collector of the logs of `services` and of applications, on each host."""
    settings = context.settings.alloy
    token, scraping = context.secret(NAME, "otlp"), context.secret(NAME, "metrics")
    logs = context.deploys(loki.NAME)
    source = _POD_LOGS if context.settings.clustered else _DOCKER_LOGS
    return Service(
        name=NAME,
        kind="alloy",
        image=context.image(NAME),
        limits=limits(settings),
        # Logs belong to root, which can read its own files without any of its powers.
        user="0:0",
        entrypoint=("/bin/alloy",),
        command=(
            "run", f"{CONFIG_DIR}/config.alloy", f"--storage.path={_DATA}", "--server.http.listen-addr=0.0.0.0:12345",
            "--disable-reporting", "--server.http.disable-support-bundle", "--server.http.enable-pprof=false",
        ),
        env=sizing.go_runtime(settings.memory),
        files=(
            File(
                path=f"{CONFIG_DIR}/config.alloy",
                content=render_secret(
                    "alloy/config.alloy.j2",
                    environment=context.settings.environment, clustered=context.settings.clustered, source=source,
                    instance=context.settings.instance, namespaces=[context.settings.namespace, context.settings.host_namespace],
                    loki=loki.endpoint(context).url("http") if logs else None,
                    formats=[(service.name, service.logs) for service in services] + [(NAME, _LOGS)],
                    beginning=_BEGINNING, redactions=REDACTIONS, replacement=REPLACEMENT,
                    tempo=tempo.endpoint(context, port=4318).url("http") if context.deploys(tempo.NAME) else None,
                    forwards=[{"name": item.name, "endpoint": item.endpoint, "headers": item.headers} for item in settings.forward_traces],
                    token=token, scraping=scraping, memory=sizing.alloy_traces(settings.memory) // MIB,
                ),
            ),
        ),
        binds={source: source},
        volumes=(Volume(name="alloy-data", path=_DATA, size=settings.disk),),
        ports=tuple(_ports(context)),
        network=NAME,
        reaches=(OBSERVABILITY_NETWORK,),
        reaches_out=bool(settings.forward_traces),
        host_gateway=bool(settings.forward_traces),
        every_node=True,
        readiness=HealthCheck(command=("bash", "-c", _READY), interval=10),
        stop_grace=20,
        metrics=(Metrics(port=12345, username="prometheus", password=scraping),),
        logs=_LOGS,
        checks={"traces": str(keeps_traces(context)).lower(), "forwards": ",".join(item.name for item in settings.forward_traces)},
        credentials={"otlp": token},
    )  # fmt: skip


def _ports(context: Context) -> Iterator[Port]:
    settings = context.settings.alloy
    yield Port(name="otlp-http", container=4318, host=context.host_port(settings.port), scheme="http")
    yield Port(name="otlp-grpc", container=4317, host=context.host_port(settings.grpc_port))
