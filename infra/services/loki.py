"""Loki: keeps logs. It has no authentication, so it is reachable only from its own network."""

from collections.abc import Iterator, Sequence
from typing import Any

from infra import sizing
from infra.services import alertmanager, links, retention
from infra.services.context import OBSERVABILITY_NETWORK, Context, limits
from infra.services.definition import Definition, Stage
from infra.settings.observability import Loki
from infra.spec import CONFIG_DIR, Endpoint, File, HealthCheck, Logs, Metrics, Service, Volume
from infra.templating import render, render_secret
from infra.units import format_duration

NAME = "loki"
_RULES = f"{CONFIG_DIR}/rules"
# Chunks, each named in base64: the milliseconds of its first line, in hexadecimal digits, come
# first. When the file was written tells nothing where lines come late or a volume was copied.
_PARTS = r"""find . -type f -exec stat -c '%n %s' {} + | awk '
        BEGIN {
            letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            for (i = 1; i <= 64; i++) value[substr(letters, i, 1)] = i - 1
            for (i = 0; i < 16; i++) digit[i < 10 ? 48 + i : 87 + i] = i
            unit[0] = 1; unit[2] = 4; unit[4] = 16
        }
        {
            name = $1
            sub(/.*\//, "", name)
            at = bits = held = 0
            for (i = 1; i <= 15; i++) {
                held = held * 64 + value[substr(name, i, 1)]
                bits += 6
                if (bits >= 8) {
                    bits -= 8
                    byte = int(held / unit[bits])
                    at = at * 16 + digit[byte]
                    held -= byte * unit[bits]
                }
            }
            printf "%.0f %s\n", at / 1000, $2
        }'"""


def endpoint(context: Context) -> Endpoint:
    """The endpoint for its clients, from any namespace."""
    return Endpoint(host=context.address(NAME), port=3100, network=OBSERVABILITY_NETWORK)


def build(context: Context, _: Sequence[Service] = ()) -> Service:
    """Loki in one process, on a volume."""
    settings = context.settings.of(Loki)
    service = Service(
        name=NAME,
        kind="loki",
        image=context.image(NAME),
        limits=limits(settings),
        user="10001:0",
        entrypoint=("/usr/bin/loki",),
        command=(f"-config.file={CONFIG_DIR}/loki.yaml",),
        env=sizing.go_runtime(settings.memory),
        files=(
            File(
                path=f"{CONFIG_DIR}/loki.yaml",
                content=render_secret(
                    "loki/loki.yaml.j2",
                    rules=_RULES,
                    log_level=settings.log_level,
                    alertmanager=_alertmanager(context),
                    links=links.grafana_url(context),
                    retention=format_duration(settings.retention),
                    overrides=retention.PATH,
                    sizes=sizing.loki(memory=settings.memory, disk=settings.disk),
                ),
            ),
            *_rules(context),
        ),
        volumes=(Volume(name="loki-data", path="/loki", size=settings.disk),),
        network=OBSERVABILITY_NETWORK,
        # The image holds nothing but this binary, which asks its own readiness.
        readiness=HealthCheck(
            command=("/usr/bin/loki", "-health", "-health.url=http://127.0.0.1:3100/ready"),
            interval=5,
            start_period=90,
        ),
        stop_grace=60,
        metrics=(Metrics(port=3100),),
        logs=Logs(format="logfmt"),
        checks={
            "retention": str(settings.retention),
            "environment": context.settings.environment or "",
            "collector": "alloy-logs" if context.deploys("alloy") else "",
        },
    )
    kept = retention.Kept(
        retention=settings.retention,
        folder="/loki/chunks/fake",
        parts=_PARTS,
        tenant="fake",  # its name where nobody logs in
        limits=lambda period: {"retention_period": period},
    )
    return retention.kept_by_size(context, service, kept)


def _rules(context: Context) -> Iterator[File]:
    """Rules over logs; Loki keeps those of its one tenant in a folder of this name."""
    if context.deploys(alertmanager.NAME):
        yield File(
            path=f"{_RULES}/fake/logs.yml",
            content=render(
                "loki/rules.yml.j2",
                environment=context.settings.environment,
                threshold=context.settings.alerts.thresholds.logged_errors_per_minute,
            ),
        )


def _alertmanager(context: Context) -> dict[str, Any] | None:
    if not context.deploys(alertmanager.NAME):
        return None
    at = alertmanager.endpoint(context, NAME)
    return at.login()


DEFINITION = Definition(
    name=NAME,
    stage=Stage.MONITORING,
    settings=Loki,
    description="Keeps logs.",
    image=NAME,
    build=lambda context, services: [build(context, services)],
)
