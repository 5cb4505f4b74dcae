"""PgBouncer: many clients share few connections to Postgres."""

from collections.abc import Iterator, Sequence

from infra.refusal import Violation
from infra.services import applications, postgres, postgres_provision
from infra.services.context import (
    TLS_FILES,
    Context,
    identity,
    limits,
    trust,
)
from infra.services.definition import Contract, Definition, Stage
from infra.settings import Settings
from infra.settings.pooler import Pooler
from infra.settings.stores import Postgres
from infra.spec import (
    CONFIG_DIR,
    Address,
    Endpoint,
    File,
    HealthCheck,
    LeftOut,
    Logs,
    Port,
    Service,
)
from infra.templating import render, render_secret

NAME = "pooler"
_PORT = 6432


def build(context: Context, _: Sequence[Service] = ()) -> Iterator[Service]:
    """PgBouncer before Postgres, if an image for it can be had."""
    settings = context.settings.of(Pooler)
    image = context.extended(NAME, settings.image)
    if image is None:
        return
    at = postgres.endpoint(context, "app")
    yield Service(
        name=NAME,
        kind="pooler",
        image=image,
        limits=limits(settings),
        user="65534:0",
        entrypoint=("pgbouncer",),
        command=(f"{CONFIG_DIR}/pgbouncer.ini",),
        files=(
            File(
                path=f"{CONFIG_DIR}/pgbouncer.ini",
                content=render(
                    "pooler/pgbouncer.ini.j2",
                    applications=applications.every(context.settings),
                    host=at.host,
                    port=at.port,
                    config_dir=CONFIG_DIR,
                    mode=settings.mode,
                    clients=settings.max_clients,
                    pool=settings.pool_size,
                    tls=TLS_FILES if at.tls else None,
                ),
                live=True,
            ),
            File(
                path=f"{CONFIG_DIR}/users.txt",
                content=render_secret(
                    "pooler/users.txt.j2",
                    verifiers=postgres_provision.application_verifiers(context),
                ),
                live=True,
            ),
            *trust(at),
            *identity(context, NAME, context.settings.of(Postgres), tls=at.tls, live=True),
        ),
        reload=("sh", "-c", "kill -HUP 1"),
        ports=(
            Port(
                name="postgres",
                container=_PORT,
                host=context.host_port(settings.port),
                scheme="postgresql",
            ),
        ),
        depends_on=(postgres.NAME,),
        # The image has bash, and nothing that speaks Postgres' protocol.
        readiness=HealthCheck(command=("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{_PORT}")),
        open_files=settings.max_clients + settings.pool_size * 16 + 128,
        logs=Logs(first_line=r"^\d{4}-\d{2}-\d{2} "),
        checks={"pool": str(settings.pool_size), "tls": str(at.tls).lower()},
    )


def _validate(stack: Settings) -> Iterator[Violation]:
    settings = stack.of(Pooler)
    if not settings.enabled:
        return
    if not stack.of(Postgres).deployed:
        yield Violation(
            key="groundwork:pooler.enabled",
            reason="it shares connections to this stack's Postgres, which is not deployed",
            fix="enable Postgres, or set groundwork:pooler.enabled to false",
        )
    needed = settings.pool_size * len(applications.every(stack))
    allowed = stack.of(Postgres).max_connections
    if needed > allowed * 3 // 4:
        yield Violation(
            key="groundwork:pooler.poolSize",
            reason=(
                f"the applications' pools may take {needed} connections, but three quarters of"
                f" groundwork:postgres.maxConnections are {allowed * 3 // 4}"
            ),
            fix="lower it, or raise groundwork:postgres.maxConnections",
        )


def _environment(context: Context) -> Contract:
    item = applications.current(context)
    login = postgres.endpoint(context, item.name, item.database)
    at = Endpoint(
        host=NAME,
        port=_PORT,
        network=NAME,
        username=login.username,
        password=login.password,
        database=login.database,
        tls=login.tls,
    )
    yield Address("DATABASE_POOL_URL", at, NAME, "postgres", postgres.url(at))


def _left_out(context: Context) -> Iterator[LeftOut]:
    if context.extended(NAME, context.settings.of(Pooler).image) is None:
        yield LeftOut(
            service=NAME,
            reason=(
                "no public image is known here; build images/pooler, push it to your registry and"
                " set groundwork:pooler.image"
            ),
        )


DEFINITION = Definition(
    name=NAME,
    stage=Stage.APPLICATION,
    settings=Pooler,
    description="Connections to Postgres, shared by many clients.",
    image=NAME,
    build=build,
    validate=_validate,
    environment=_environment,
    left_out=_left_out,
)
