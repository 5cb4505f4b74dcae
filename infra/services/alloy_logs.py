"""Alloy as the log reader: from every container, through redaction, to Loki. It accepts nothing
from the network.
"""

from collections.abc import Sequence

from infra import sizing
from infra.redaction import REDACTIONS, REPLACEMENT
from infra.services import alloy, loki
from infra.services.context import OBSERVABILITY_NETWORK, Context, limits
from infra.services.definition import Definition, Stage
from infra.settings.observability import Alloy
from infra.spec import CONFIG_DIR, File, Logs, Metrics, Service, Volume
from infra.templating import render_secret

NAME = "alloy-logs"
_DATA = "/alloy"
# How entries of most loggers begin: a brace, a time, a level, or a first key of logfmt.
_BEGINNING = r"^(?:[{\[<]|\d{4}[-/.]\d{2}|\d{2}:\d{2}|[A-Z]{4,8}\b|[a-z]{3,5}[=:]|\x1b\[)"


def wanted(context: Context) -> bool:
    """True if logs are read, which requires Loki."""
    return context.deploys(alloy.NAME) and context.deploys(loki.NAME)


def build(context: Context, services: Sequence[Service]) -> Service:
    """The reader of the logs of `services` and of applications, on each host."""
    alloys = context.settings.of(Alloy)
    settings = alloys.logs
    scraping = context.secret(NAME, "metrics", of=alloys)
    source = context.runtime.log_folder
    return Service(
        name=NAME,
        settings=(alloy.NAME, "logs"),
        kind="alloy-logs",
        image=context.image(alloy.NAME),
        limits=limits(settings),
        # Logs belong to root, which can read its own files without any of its powers.
        user="0:0",
        entrypoint=("/bin/alloy",),
        command=alloy.command(_DATA),
        env=sizing.go_runtime(settings.memory),
        files=(
            File(
                path=f"{CONFIG_DIR}/config.alloy",
                content=render_secret(
                    "alloy/logs.alloy.j2",
                    log_level=alloys.log_level,
                    environment=context.settings.environment,
                    log_format=context.runtime.log_format,
                    source=source,
                    instance=context.settings.instance,
                    namespaces=_namespaces(context),
                    forwards=alloy.forwards(alloys.forward_logs),
                    loki=loki.endpoint(context).url("http"),
                    formats=[
                        *((service.name, service.logs) for service in services),
                        *(
                            (sidecar.name, Logs(format="logfmt"))
                            for service in services
                            for sidecar in service.sidecars
                        ),
                        (NAME, alloy.LOGS),
                    ],
                    beginning=_BEGINNING,
                    redactions=REDACTIONS,
                    replacement=REPLACEMENT,
                    scraping=scraping,
                ),
                live=True,
            ),
            alloy.login(scraping),
        ),
        reload=alloy.RELOAD,
        binds={source: source},
        volumes=(Volume(name="alloy-data", path=_DATA, size=settings.disk),),
        network=OBSERVABILITY_NETWORK,
        reaches_out=bool(alloys.forward_logs),
        host_gateway=bool(alloys.forward_logs),
        per_node=True,
        readiness=alloy.READINESS,
        stop_grace=20,
        metrics=(Metrics(port=alloy.PAGES, username="prometheus", password=scraping),),
        logs=alloy.LOGS,
    )


def _namespaces(context: Context) -> tuple[str, ...]:
    named = context.settings.of(Alloy).logs.namespaces if context.runtime.namespaces else ()
    return (*context.runtime.namespaces, *named)


DEFINITION = Definition(
    name=NAME,
    key=alloy.NAME,
    stage=Stage.COLLECTOR,
    image=alloy.NAME,
    build=lambda context, services: [build(context, services)] if wanted(context) else [],
)
