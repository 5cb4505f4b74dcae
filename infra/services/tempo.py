"""Tempo: keeps traces. It has no authentication, so it is reachable only from its own network;
spans arrive through Alloy.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra import sizing
from infra.services import prometheus, retention
from infra.services.context import OBSERVABILITY_NETWORK, Context, limits
from infra.services.definition import Definition, Stage
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
# Blocks by the end of their spans; one may be younger than that where blocks have been merged.
_PARTS = r"""find . -name meta.json -exec sed -n \
        's/.*"endTime":"\([0-9-]*\)T\([0-9:]*\).*"size":\([0-9]*\).*/\1 \2 \3/p' {} + |
        TZ=UTC awk '{ size = $3; sub(/ [0-9]*$/, ""); gsub(/[-:]/, " ")
            print mktime($0), size }'"""


def endpoint(context: Context, *, port: int = 3200) -> Endpoint:
    """The endpoint for its clients, from any namespace: 3200 for queries, 4318 for spans."""
    return Endpoint(host=context.address(NAME), port=port, network=OBSERVABILITY_NETWORK)


def build(context: Context, _: Sequence[Service] = ()) -> Service:
    """Tempo in one process, on a volume."""
    settings = context.settings.of(Tempo)
    image = context.image(NAME)
    sizes = sizing.tempo(memory=settings.memory, disk=settings.disk)
    push = _prometheus(context)
    limits_of_tenant = _limits(sizes, image, measured=push is not None)
    service = Service(
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
                    prometheus=push,
                    major=image.major,
                    log_level=settings.log_level,
                    retention=go_duration(settings.retention),
                    defaults=limits_of_tenant,
                    overrides=retention.PATH,
                    sizes=sizes,
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
        checks={"retention": str(settings.retention)},
    )
    kept = retention.Kept(
        retention=settings.retention,
        folder="/var/tempo/blocks",
        parts=_PARTS,
        tenant="single-tenant",
        # They replace the defaults as a whole.
        limits=lambda period: {**limits_of_tenant, "compaction": {"block_retention": period}},
    )
    return retention.kept_by_size(context, service, kept)


def _limits(sizes: Mapping[str, int], image: Image, *, measured: bool) -> dict[str, Any]:
    """The tenant's limits; those that follow from no setting are Tempo's own defaults. Rates and
    durations of spans are `measured` for Prometheus.
    """
    generated = {"processors": ["span-metrics"], "generate_native_histograms": "classic"}
    return {
        **({"metrics_generator": generated} if measured else {}),
        "ingestion": {
            "rate_limit_bytes": sizes["rate"],
            "burst_size_bytes": sizes["burst"],
            "max_traces_per_user": 10_000,
            **({"retry_info_enabled": True} if image.major > 2 else {}),
        },
        "read": {"max_bytes_per_tag_values_query": 1_000_000},
        "global": {"max_bytes_per_trace": sizes["trace"]},
    }


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
    notes=_notes,
)
