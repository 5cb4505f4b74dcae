"""Postgres with pgvector: databases, roles and the vector table are provisioned at every deploy."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from infra import sizing
from infra.refusal import Violation
from infra.services import applications, postgres_cluster, postgres_provision
from infra.services.context import (
    TLS_FILES,
    Context,
    external_endpoint,
    identity,
    limits,
)
from infra.services.definition import Contract, Definition, Stage
from infra.settings import Settings
from infra.settings.common import LogLevel
from infra.settings.stores import Postgres
from infra.spec import (
    CONFIG_DIR,
    Address,
    Endpoint,
    File,
    HealthCheck,
    Logs,
    Port,
    Service,
    Store,
    Variable,
    Volume,
)
from infra.templating import render
from infra.units import MIB, format_size

NAME = "postgres"
_LOG_LEVELS: Mapping[LogLevel, str] = {
    "debug": "debug1",
    "info": "info",
    "warn": "warning",
    "error": "error",
}


def endpoint(context: Context, role: str, database: str | None = None) -> Endpoint:
    """The endpoint for a role; in the stack's own database, if none is given."""
    settings = context.settings.of(Postgres)
    if settings.external:
        return external_endpoint(settings.external)
    # Tables are counted in the database that the exporter is connected to.
    database = database or (
        postgres_provision.LITELLM_DATABASE if role == "litellm" else settings.database
    )
    at = Endpoint(
        host=NAME,
        port=5432,
        network=NAME,
        username=role,
        password=context.secret(NAME, role),
        database=database,
    )
    return context.secured(at, settings)


def build(context: Context) -> Service:
    """Postgres with its roles, databases and the vector table."""
    settings = context.settings.of(Postgres)
    image = context.image("postgres-cluster" if settings.replicas > 1 else NAME, NAME)
    superuser = postgres_provision.superuser(context)
    several = settings.replicas > 1
    tuning = sizing.postgres(
        memory=settings.memory, cpus=settings.cpus, max_connections=settings.max_connections
    )
    configuration = render(
        "postgres/postgresql.conf.j2",
        data_directory=f"/var/lib/postgresql/{image.major}/docker",
        max_connections=settings.max_connections,
        audit=settings.audit,
        log_level=_LOG_LEVELS[settings.log_level],
        tls=TLS_FILES if settings.tls else None,
        **tuning,
    )
    return Service(
        name=NAME,
        kind="postgres",
        image=image,
        limits=limits(settings),
        user="999:0",
        command=("postgres", "-c", f"config_file={CONFIG_DIR}/postgresql.conf"),
        env={
            "POSTGRES_PASSWORD_FILE": postgres_provision.SUPERUSER_PASSWORD,
            "POSTGRES_INITDB_ARGS": (
                "--data-checksums --auth-local=scram-sha-256 --auth-host=scram-sha-256"
            ),
        },
        files=(
            # The server reads it when it makes its data directory; the job changes it later.
            File(path=postgres_provision.SUPERUSER_PASSWORD, content=superuser, live=True),
            File(path=f"{CONFIG_DIR}/postgresql.conf", content=configuration),
            File(
                path=f"{CONFIG_DIR}/pg_hba.conf",
                content=render("postgres/pg_hba.conf.j2", tls=settings.tls),
            ),
            *identity(context, NAME, settings, tls=settings.tls, live=True),
        ),
        reload=("sh", "-c", "kill -HUP 1"),
        volumes=(Volume(name="postgres-data", path="/var/lib/postgresql", size=settings.disk),),
        ports=(
            Port(
                name="postgres",
                container=5432,
                host=context.host_port(settings.port),
                scheme="postgresql",
            ),
        ),
        writable={
            "/tmp": 64 * MIB,  # noqa: S108 - in its own container
            "/var/run/postgresql": MIB,
        },
        shm_size=sizing.postgres_shm(settings.memory),
        # TCP on purpose: the server that initialises a fresh volume listens on its socket only.
        readiness=HealthCheck(
            command=("pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"), start_period=120
        ),
        stop_grace=60,
        replicas=settings.replicas,
        operated=postgres_cluster.operated(context, configuration, superuser) if several else None,
        jobs=(postgres_provision.job(context),),
        # A statement of several lines is one entry.
        logs=Logs(first_line=r"^\d{4}-\d{2}-\d{2} "),
        checks={
            "database": settings.database,
            "dimensions": str(settings.vectors.dimensions),
            "index": settings.vectors.index,
            "tls": str(settings.tls).lower(),
            "roles": ",".join(postgres_provision.application_roles(context.settings)),
        },
        credentials={
            "superuser": superuser,
            **{role: context.secret(NAME, role) for role in postgres_provision.roles(context)},
        },
    )


def _validate(stack: Settings) -> Iterator[Violation]:
    """A connection is a process: an idle one holds about one MiB of private memory (PostgreSQL
    wiki, number of connections).
    """
    settings = stack.of(Postgres)
    least = settings.max_connections * MIB
    room = settings.memory * 3 // 4
    if settings.deployed and least > room:
        yield Violation(
            key="groundwork:postgres.maxConnections",
            reason=(
                f"this many connections need about {format_size(least)}, but only"
                f" {format_size(room)} remain besides the shared buffers"
            ),
            fix="lower it, or raise groundwork:postgres.memory",
        )
    if settings.replicas > 1 and stack.images == "packages":
        yield Violation(
            key="groundwork:postgres.replicas",
            reason=(
                "several instances are run by an operator, whose images are not available from"
                " packages"
            ),
            fix="set groundwork:images to registry or to a mirror, or set replicas to 1",
        )
    if settings.replicas > 1 and settings.tls:
        yield Violation(
            key="groundwork:postgres.tls",
            reason="several instances have certificates of their operator, not of this stack",
            fix="set it to false: the operator's clients may use TLS; or set replicas to 1",
        )


_URL = "postgresql://{username}:{password}@{host}:{port}/{database}"


def url(at: Endpoint) -> str:
    """The template of a URL for applications. libpq finds the authority by PGSSLROOTCERT."""
    return _URL + ("?sslmode=verify-full" if at.tls else "")


def _address(name: str, at: Endpoint) -> Address:
    """A forward is encrypted itself. Postgres resets a connection that TLS has closed, and with it
    ends `kubectl port-forward`.
    """
    inside = at.tls and at.network is not None
    return Address(name, at, NAME, "postgres", url(at), f"{_URL}?sslmode=disable" if inside else "")


def _environment(context: Context) -> Contract:
    item = applications.current(context)
    at = endpoint(context, item.name, item.database)
    yield _address("DATABASE_URL", at)


def _migrations(context: Context) -> Contract:
    item = applications.current(context)
    owner = endpoint(context, item.owner, item.database)
    yield _address("DATABASE_OWNER_URL", owner)
    settings = context.settings.of(Postgres)
    if settings.deployed and settings.shadow_database:
        shadow = endpoint(context, item.owner, item.shadow)
        yield _address("SHADOW_DATABASE_URL", shadow)


def _administration(context: Context) -> Contract:
    if context.settings.of(Postgres).deployed:
        yield Variable("POSTGRES_SUPERUSER_PASSWORD", postgres_provision.superuser(context))


def _stores(context: Context) -> Iterator[Store]:
    superuser = replace(
        endpoint(context, "app"),
        username="postgres",
        password=postgres_provision.superuser(context),
    )
    # What LiteLLM keeps there is no reason not to replace it.
    own = {"own": postgres_provision.LITELLM_DATABASE}
    yield Store(name=NAME, kind="postgres", at=superuser, options=own)


def _notes(context: Context) -> Iterator[str]:
    if context.image(NAME).built:
        yield (
            "Debian's pgvector 0.8.0 is older than 0.8.4, which fixes index corruption in vacuum:"
            " rebuild HNSW indexes after mass deletes."
        )


DEFINITION = Definition(
    name=NAME,
    stage=Stage.STORE,
    settings=Postgres,
    description="Postgres with pgvector.",
    image=NAME,
    build=lambda context, _: [build(context)],
    external_needs=("username", "password", "database"),
    scales=True,
    validate=_validate,
    environment=_environment,
    migrations=_migrations,
    administration=_administration,
    stores=_stores,
    notes=_notes,
)
