"""Tempo: keeps traces. It has no authentication, so it is reachable only from its own network;
spans arrive through Alloy.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from infra import sizing
from infra.refusal import Violation
from infra.services import prometheus
from infra.services.context import OBSERVABILITY_NETWORK, Context, limits
from infra.services.definition import Definition, Stage
from infra.settings import Settings
from infra.settings.observability import Prometheus, Tempo
from infra.spec import (
    CONFIG_DIR,
    Endpoint,
    File,
    HealthCheck,
    Image,
    Logs,
    Metrics,
    Port,
    Service,
    Volume,
)
from infra.templating import render_secret
from infra.units import go_duration

NAME = "tempo"


def endpoint(context: Context, *, port: int = 3200) -> Endpoint:
    """The endpoint for its clients, from any namespace: 3200 for queries, 4318 for spans."""
    return Endpoint(host=context.address(NAME), port=port, network=OBSERVABILITY_NETWORK)


def build(context: Context, _: Sequence[Service] = ()) -> Service:
    """Tempo in one process, on a volume."""
    settings = context.settings.of(Tempo)
    image = context.image(NAME)
    return Service(
        name=NAME,
        kind="tempo",
        image=image,
        limits=limits(settings),
        user="10001:0",
        entrypoint=("/tempo",),
        command=(f"-config.file={CONFIG_DIR}/tempo.yaml",),
        env=sizing.go_runtime(settings.memory),
        files=(
            File(
                path=f"{CONFIG_DIR}/tempo.yaml",
                content=render_secret(
                    "tempo/tempo.yaml.j2",
                    prometheus=_prometheus(context),
                    major=image.major,
                    log_level=settings.log_level,
                    retention=go_duration(settings.retention),
                    sizes=sizing.tempo(
                        memory=settings.memory, disk=settings.disk, retention=settings.retention
                    ),
                ),
            ),
        ),
        volumes=(Volume(name="tempo-data", path="/var/tempo", size=settings.disk),),
        network=OBSERVABILITY_NETWORK,
        readiness=HealthCheck(command=_ready(image), interval=5, start_period=120),
        # Version 2 may hang when it is told to end soon after a search (grafana/tempo#7967); what
        # it took is in its log ahead of blocks.
        stop_grace=15,
        metrics=(Metrics(port=3200),),
        ports=(Port(name="otlp-http", container=4318),),
        logs=Logs(format="logfmt"),
    )


def _prometheus(context: Context) -> dict[str, Any] | None:
    """Where the rates and durations of spans go, if Prometheus is ours."""
    if not context.settings.of(Prometheus).deployed:
        return None
    at = prometheus.endpoint(context, NAME)
    return at.login()


def _ready(image: Image) -> tuple[str, ...]:
    # The official image of version 3 holds nothing but this binary, which asks its own readiness;
    # version 2 cannot.
    url = "http://127.0.0.1:3200/ready"
    return (
        ("/tempo", "-health", f"-health.url={url}")
        if image.major > 2
        else ("wget", "-q", "-O", "/dev/null", url)
    )


def _validate(stack: Settings) -> Iterator[Violation]:
    settings = stack.of(Tempo)
    if settings.enabled:
        yield from sizing.intake_problems(NAME, disk=settings.disk, retention=settings.retention)


def _notes(context: Context) -> Iterator[str]:
    if context.image(NAME).built:
        yield (
            "Tempo 2.9.0 is the newest release available as modules, and public scans list"
            " CVE-2026-28377 and CVE-2026-21728 for that line: it publishes no port; keep it that"
            " way."
        )


DEFINITION = Definition(
    name=NAME,
    stage=Stage.MONITORING,
    settings=Tempo,
    description="Keeps traces.",
    image=NAME,
    build=lambda context, services: [build(context, services)],
    validate=_validate,
    notes=_notes,
)
