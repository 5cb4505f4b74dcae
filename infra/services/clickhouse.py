"""ClickHouse: the analytics schema, sized for a small host, with hashed passwords."""

import hashlib
from collections.abc import Iterator, Mapping

from infra import sizing
from infra.secret import Secret
from infra.services import applications
from infra.services.context import (
    AUTHORITY,
    TLS_FILES,
    Context,
    external_endpoint,
    identity,
    limits,
    trust,
)
from infra.services.definition import Contract, Definition, Stage, http_login
from infra.settings.common import LogLevel
from infra.settings.stores import Clickhouse
from infra.spec import (
    CONFIG_DIR,
    Endpoint,
    File,
    HealthCheck,
    Job,
    Logs,
    Metrics,
    Port,
    Service,
    Store,
    Variable,
    Volume,
)
from infra.templating import render, render_secret

NAME = "clickhouse"
_LOG_LEVELS: Mapping[LogLevel, str] = {
    "debug": "debug",
    "info": "information",
    "warn": "warning",
    "error": "error",
}
_SERVICES = ("admin", "monitoring", "grafana")
_SERVER = "/etc/clickhouse-server"

SYSTEM_LOGS = (
    "query_log",
    "trace_log",
    "query_thread_log",
    "query_views_log",
    "part_log",
    "text_log",
    "metric_log",
    "error_log",
    "query_metric_log",
    "asynchronous_metric_log",
    "latency_log",
    "processors_profile_log",
    "asynchronous_insert_log",
    "backup_log",
    "blob_storage_log",
)
"""Tables of the server's own logs that get a TTL; without one they outgrow the data on a small
host.
"""


def endpoint(context: Context, user: str, database: str | None = None) -> Endpoint:
    """The HTTP endpoint for a user; in the stack's own database, if none is given."""
    settings = context.settings.of(Clickhouse)
    if settings.external:
        return external_endpoint(settings.external)
    at = Endpoint(
        host=NAME,
        port=8123,
        network=NAME,
        username=user,
        password=context.secret(NAME, user),
        database=database or settings.database,
    )
    return context.secured(at, settings)


def build(context: Context) -> Service:
    """ClickHouse, its schema and its users."""
    settings = context.settings.of(Clickhouse)
    every = applications.every(context.settings)
    users = (*_SERVICES, *(item.name for item in every))
    passwords = {user: context.secret(NAME, user) for user in users}
    return Service(
        name=NAME,
        kind="clickhouse",
        image=context.image(NAME),
        limits=limits(settings),
        user="101:0",
        env={"CLICKHOUSE_SKIP_USER_SETUP": "1", "CLICKHOUSE_DO_NOT_CHOWN": "1"},
        files=(
            File(
                path=f"{_SERVER}/config.d/groundwork.yaml",
                content=render(
                    "clickhouse/config.yaml.j2",
                    system_logs=SYSTEM_LOGS,
                    log_level=_LOG_LEVELS[settings.log_level],
                    tls=TLS_FILES if settings.tls else None,
                    log_days=settings.system_log_retention // 86400,
                    **sizing.clickhouse(settings.memory),
                ),
            ),
            File(
                path=f"{_SERVER}/users.d/groundwork.yaml",
                content=render_secret(
                    "clickhouse/users.yaml.j2",
                    hashes={user: _sha256(password) for user, password in passwords.items()},
                    applications=every,
                    **sizing.clickhouse(settings.memory),
                ),
            ),
            *identity(context, NAME, settings, tls=settings.tls),
            *trust(endpoint(context, "admin")),
        ),
        volumes=(Volume(name="clickhouse-data", path="/var/lib/clickhouse", size=settings.disk),),
        ports=(
            Port(
                name="http",
                container=8123,
                host=context.host_port(settings.port),
                scheme="https" if settings.tls else "http",
            ),
            Port(
                name="native",
                container=9000,
                host=context.host_port(settings.native_port),
                scheme="clickhouse",
            ),
        ),
        readiness=HealthCheck(command=_ready(tls=settings.tls), start_period=90),
        stop_grace=60,
        open_files=262_144,
        writable_root="its image's entry point writes below /etc and /var/log",
        jobs=(_provision(context),),
        metrics=(Metrics(port=9363),),
        logs=Logs(first_line=r"^\d{4}\.\d{2}\.\d{2} "),
        checks={"database": settings.database, "tls": str(settings.tls).lower()},
        credentials=passwords,
    )


def _ready(*, tls: bool) -> tuple[str, ...]:
    trusted = ("--ca-certificate", AUTHORITY) if tls else ()
    url = f"http{'s' if tls else ''}://127.0.0.1:8123/ping"
    return ("wget", "-q", *trusted, "-O", "/dev/null", url)


def schema(context: Context) -> str:
    """The analytics schema, in each application's database: events, runs of agents and
    evaluations in monthly partitions with a TTL, and events by the hour in a materialized view.
    """
    settings = context.settings.of(Clickhouse)
    return "\n".join(
        render(
            "clickhouse/schema.sql.j2",
            database=item.analytics,
            days=settings.retention // 86400,
            aggregate_days=settings.aggregate_retention // 86400,
        )
        for item in applications.every(context.settings)
    )


def _provision(context: Context) -> Job:
    at = endpoint(context, "admin")
    return Job(
        name="clickhouse-provision",
        user="101:0",
        script=render("clickhouse/provision.sh.j2", config_dir=CONFIG_DIR),
        files=(
            File(path=f"{CONFIG_DIR}/schema.sql", content=schema(context)),
            File(
                path=f"{CONFIG_DIR}/client.xml",
                content=render_secret(
                    "clickhouse/client.xml.j2",
                    password=at.password,
                    authority=AUTHORITY if at.tls else None,
                ),
            ),
            *trust(at),
        ),
    )


def _sha256(password: Secret) -> str:
    return hashlib.sha256(password.reveal().encode()).hexdigest()


def _environment(context: Context) -> Contract:
    item = applications.current(context)
    at = endpoint(context, item.name, item.analytics)
    yield from http_login("CLICKHOUSE", at, NAME)
    yield Variable("CLICKHOUSE_DATABASE", at.database or "")


def _administration(context: Context) -> Contract:
    if context.settings.of(Clickhouse).deployed:
        yield Variable("CLICKHOUSE_ADMIN_PASSWORD", context.secret(NAME, "admin"))


def _stores(context: Context) -> Iterator[Store]:
    yield Store(name=NAME, kind="clickhouse", at=endpoint(context, "admin"))


DEFINITION = Definition(
    name=NAME,
    stage=Stage.STORE,
    settings=Clickhouse,
    description="Analytics database.",
    image=NAME,
    build=lambda context, _: [build(context)],
    external_needs=("username", "password", "database"),
    exposable=True,
    environment=_environment,
    stores=_stores,
    administration=_administration,
)
