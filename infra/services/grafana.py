"""Grafana: data sources and dashboards are provisioned as read-only files."""

from collections.abc import Iterator, Sequence

from infra.dashboards import BOARDS, present
from infra.dashboards.model import SQL_PLUGIN, Board
from infra.refusal import Violation
from infra.secret import Secret
from infra.services import (
    alertmanager,
    applications,
    clickhouse,
    links,
    loki,
    postgres,
    prometheus,
    tempo,
)
from infra.services.context import OBSERVABILITY_NETWORK, Context, limits
from infra.services.definition import Contract, Definition, Stage
from infra.settings import Settings
from infra.settings.observability import Grafana, Prometheus
from infra.settings.stores import Clickhouse, Postgres
from infra.spec import (
    CONFIG_DIR,
    Endpoint,
    File,
    HealthCheck,
    Logs,
    Metrics,
    Port,
    Service,
    Store,
    Variable,
    Volume,
)
from infra.templating import render, render_secret
from infra.units import format_duration

NAME = "grafana"
# github.com/grafana/clickhouse-datasource, release of 2026-04-10.
_PLUGIN = f"{SQL_PLUGIN}@4.15.0"


def build(context: Context, services: Sequence[Service]) -> Service:
    """Grafana with its data sources, and dashboards of `services`."""
    settings = context.settings.of(Grafana)
    admin = _admin(context)
    scraping = context.secret(NAME, "metrics")
    asks_clickhouse = _asks_clickhouse(context)
    boards = [board.of(present(context.settings, services)) for board in BOARDS]
    shown = [board for board in boards if board.rows]
    return Service(
        name=NAME,
        kind="grafana",
        image=context.image(NAME),
        limits=limits(settings),
        user="472:0",
        entrypoint=("sh", f"{CONFIG_DIR}/start.sh"),
        env={
            "GF_SERVER_ROOT_URL": f"{_url(context)}/",
            "GF_SECURITY_ADMIN_PASSWORD__FILE": f"{CONFIG_DIR}/admin-password",
            "GF_SECURITY_SECRET_KEY__FILE": f"{CONFIG_DIR}/secret-key",
            "GF_PATHS_PROVISIONING": f"{CONFIG_DIR}/provisioning",
            "GF_AUTH_ANONYMOUS_ENABLED": "false",
            "GF_LOG_LEVEL": settings.log_level,
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
            "GF_SECURITY_DISABLE_GRAVATAR": "true",
            **({"GF_PLUGINS_PREINSTALL_SYNC": _PLUGIN} if asks_clickhouse else {}),
            "GF_METRICS_BASIC_AUTH_USERNAME": "prometheus",
            "GF_METRICS_BASIC_AUTH_PASSWORD__FILE": f"{CONFIG_DIR}/metrics-password",
        },
        files=(
            File(
                path=f"{CONFIG_DIR}/start.sh",
                content=render(
                    "grafana/start.sh.j2",
                    config_dir=CONFIG_DIR,
                    generation=settings.secret_generation,
                ),
                executable=True,
            ),
            File(path=f"{CONFIG_DIR}/admin-password", content=admin),
            File(path=f"{CONFIG_DIR}/metrics-password", content=scraping),
            # It encrypts what Grafana's database keeps, so it has no generation.
            File(
                path=f"{CONFIG_DIR}/secret-key", content=context.keyring.derive(NAME, "secret-key")
            ),
            *_provisioning(context, shown),
        ),
        volumes=(Volume(name="grafana-data", path="/var/lib/grafana", size=settings.disk),),
        ports=(
            Port(name="http", container=3000, host=context.host_port(settings.port), scheme="http"),
        ),
        network=OBSERVABILITY_NETWORK,
        connects_to=tuple(_stores_asked(context)),
        reaches_out=context.settings.of(Prometheus).external is not None or asks_clickhouse,
        readiness=HealthCheck(
            command=("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3000/api/health"),
            start_period=120,
        ),
        stop_grace=20,
        metrics=(Metrics(port=3000, username="prometheus", password=scraping),),
        logs=Logs(format="logfmt"),
        checks={
            "dashboards": ",".join(board.slug for board in shown),
            "sources": ",".join(uid for uid, there in _sources(context) if there),
        },
        credentials={"admin": admin},
    )


def _asks_clickhouse(context: Context) -> bool:
    wanted = context.settings.of(Grafana).clickhouse
    deployed = context.settings.of(Clickhouse).deployed
    return wanted and deployed and context.available(clickhouse.NAME)


def _stores_asked(context: Context) -> Iterator[str]:
    if context.settings.of(Postgres).deployed:
        yield postgres.NAME
    if _asks_clickhouse(context):
        yield clickhouse.NAME


def _sources(context: Context) -> Iterator[tuple[str, bool]]:
    """Each data source's uid, and whether it is available."""
    yield "prometheus", context.settings.of(Prometheus).usable
    yield "postgres", context.settings.of(Postgres).deployed
    yield "clickhouse", _asks_clickhouse(context)
    yield "loki", context.deploys(loki.NAME)
    yield "tempo", context.deploys(tempo.NAME)
    yield "alertmanager", context.deploys(alertmanager.NAME)


def _provisioning(context: Context, boards: Sequence[Board]) -> Iterator[File]:
    # Imported here: the builders take a fifth of a second, which a stack without Grafana need not
    # wait for.
    from infra.dashboards.render import render as render_board

    folder = f"{CONFIG_DIR}/provisioning"
    there = dict(_sources(context))
    yield File(
        path=f"{folder}/datasources/groundwork.yaml",
        content=render_secret(
            "grafana/datasources.yaml.j2",
            interval=format_duration(context.settings.of(Prometheus).scrape_interval),
            prometheus=(
                _login(prometheus.endpoint(context, "grafana")) if there["prometheus"] else None
            ),
            alertmanager=(
                _login(alertmanager.endpoint(context, "admin")) if there["alertmanager"] else None
            ),
            postgres=_store(postgres.endpoint(context, NAME)) if there["postgres"] else None,
            clickhouse=(
                _store(clickhouse.endpoint(context, NAME)) if there["clickhouse"] else None
            ),
            applications=applications.every(context.settings),
            loki=loki.endpoint(context).url("http") if there["loki"] else None,
            tempo=tempo.endpoint(context).url("http") if there["tempo"] else None,
        ),
    )
    yield File(
        path=f"{folder}/dashboards/groundwork.yaml",
        content=render("grafana/dashboards.yaml.j2", path=f"{CONFIG_DIR}/dashboards"),
    )
    for board in boards:
        yield File(
            path=f"{CONFIG_DIR}/dashboards/Groundwork/{board.slug}.json",
            content=render_board(board),
        )


def _store(at: Endpoint) -> dict[str, object]:
    return {
        "host": at.host,
        "port": at.port,
        "username": at.username,
        "password": at.password,
        "tls": at.tls,
        "authority": at.authority,
    }


def _login(at: Endpoint) -> dict[str, object]:
    return {**at.login(), "authority": at.authority}


def _url(context: Context) -> str:
    settings = context.settings.of(Grafana)
    return links.external_url(context, NAME, settings.port, settings.external_url)


def _admin(context: Context) -> Secret:
    return context.secret(NAME, "admin")


def _validate(stack: Settings) -> Iterator[Violation]:
    settings = stack.of(Grafana)
    if settings.enabled and not stack.of(Prometheus).usable:
        yield Violation(
            key="groundwork:prometheus.enabled",
            reason="Grafana shows what Prometheus collects, but Prometheus is disabled",
            fix=(
                "enable Prometheus, set groundwork:prometheus.external, or set"
                " groundwork:grafana.enabled to false"
            ),
        )
    if settings.external:
        yield Violation(
            key="groundwork:grafana.external",
            reason="no Groundwork service connects to Grafana",
            fix="set groundwork:grafana.enabled to false instead",
        )


def _administration(context: Context) -> Contract:
    yield Variable("GRAFANA_URL", _url(context))
    yield Variable("GRAFANA_USER", "admin")
    yield Variable("GRAFANA_PASSWORD", _admin(context))


def _stores(context: Context) -> Iterator[Store]:
    at = Endpoint(
        host=NAME,
        port=3000,
        network=OBSERVABILITY_NETWORK,
        username="admin",
        password=_admin(context),
    )
    yield Store(name=NAME, kind="grafana", at=at)


DEFINITION = Definition(
    name=NAME,
    stage=Stage.DASHBOARDS,
    settings=Grafana,
    description="Dashboards.",
    image=NAME,
    build=lambda context, services: [build(context, services)],
    exposable=True,
    validate=_validate,
    administration=_administration,
    stores=_stores,
)
