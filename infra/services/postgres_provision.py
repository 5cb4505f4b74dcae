"""What a deploy makes in Postgres: roles, databases, extensions, and the table of vectors."""

from collections.abc import Iterator

from infra import sizing
from infra.secret import Secret
from infra.services import applications
from infra.services.applications import Application
from infra.services.context import AUTHORITY, Context
from infra.services.scram import verifier
from infra.settings import Settings
from infra.settings.stores import Postgres, Vectors
from infra.spec import CONFIG_DIR, File, Job
from infra.templating import render, render_secret

NAME = "postgres"
LITELLM_DATABASE = "litellm"
SUPERUSER_PASSWORD = f"{CONFIG_DIR}/superuser-password"
_SUPERUSER = "superuser"
# Rotations that a server may have missed while it was not deployed.
_REMEMBERED = 5
_SERVICES = ("litellm", "monitoring", "grafana")


def application_roles(settings: Settings) -> tuple[str, ...]:
    """The roles of applications: for each the one that uses its tables and the one that owns
    them.
    """
    return tuple(role for item in applications.every(settings) for role in (item.name, item.owner))


def application_verifiers(context: Context) -> dict[str, Secret]:
    """What checks the passwords of applications' roles."""
    return {
        item.name: _verifier(context, item.name) for item in applications.every(context.settings)
    }


def _verifier(context: Context, role: str) -> Secret:
    return verifier(context.secret(NAME, role), context.secret(NAME, f"{role}-salt", length=22))


def roles(context: Context) -> tuple[str, ...]:
    """Every role that a deploy makes."""
    return (*application_roles(context.settings), *_SERVICES)


def superuser(context: Context) -> Secret:
    """The superuser's password."""
    return context.secret(NAME, _SUPERUSER)


def _earlier(context: Context) -> dict[str, Secret]:
    """File to each password that the superuser may have before this deploy, the last one first.
    Releases before 2026-11-26 never rotated the first.

    No later ones: who has read them would know the next before it is used.
    """
    now = context.settings.of(Postgres).secret_generation
    numbers = {1, *range(max(1, now - _REMEMBERED), now)} - {now}
    return {
        f"{SUPERUSER_PASSWORD}-{number}": context.keyring.derive(NAME, _SUPERUSER, number)
        for number in sorted(numbers, reverse=True)
    }


def job(context: Context) -> Job:
    """Roles, databases, and the table of vectors with its index."""
    settings = context.settings.of(Postgres)
    vectors = settings.vectors
    search = (
        {"hnsw.ef_search": vectors.hnsw.ef_search, "hnsw.iterative_scan": "strict_order"}
        if vectors.index == "hnsw"
        else {"ivfflat.probes": vectors.ivfflat.probes, "ivfflat.iterative_scan": "relaxed_order"}
    )
    verifiers = {role: _verifier(context, role) for role in roles(context)}
    own = verifier(superuser(context), context.secret(NAME, f"{_SUPERUSER}-salt", length=22))
    earlier = _earlier(context)
    every = applications.every(context.settings)
    return Job(
        name="postgres-provision",
        user="999:0",
        env={
            "PGHOST": NAME,
            "PGUSER": "postgres",
            "PGCONNECT_TIMEOUT": "5",
            "PGOPTIONS": "-c default_transaction_read_only=off",
            **({"PGSSLMODE": "verify-full", "PGSSLROOTCERT": AUTHORITY} if settings.tls else {}),
        },
        script=render(
            "postgres/provision.sh.j2",
            superuser_password=SUPERUSER_PASSWORD,
            earlier=list(earlier),
            applications=every,
            shadows=settings.shadow_database,
            config_dir=CONFIG_DIR,
        ),
        upkeep=(
            render("postgres/upkeep.sh.j2", applications=every, config_dir=CONFIG_DIR)
            if vectors.index == "ivfflat"
            else None
        ),
        files=(
            File(path=SUPERUSER_PASSWORD, content=superuser(context)),
            *(File(path=path, content=password) for path, password in earlier.items()),
            File(
                path=f"{CONFIG_DIR}/roles.sql",
                content=render_secret(
                    "postgres/roles.sql.j2",
                    verifiers=verifiers,
                    superuser=own,
                    applications=every,
                    shadows=settings.shadow_database,
                    litellm_database=LITELLM_DATABASE,
                    search=search,
                    frozen=NAME in context.consent.majors - context.consent.previous.keys(),
                ),
            ),
            File(path=f"{CONFIG_DIR}/index.sql", content=_index(vectors)),
            *(file for item in every for file in _of(context, item)),
            *_shadow(settings),
            *_authority(context),
        ),
    )


def _shadow(settings: Postgres) -> Iterator[File]:
    if settings.shadow_database:
        yield File(path=f"{CONFIG_DIR}/shadow.sql", content=render("postgres/shadow.sql.j2"))


def _authority(context: Context) -> Iterator[File]:
    if context.settings.of(Postgres).tls:
        yield File(path=AUTHORITY, content=context.authority.certificate)


def _of(context: Context, application: Application) -> Iterator[File]:
    dimensions = context.settings.of(Postgres).vectors.dimensions
    folder = f"{CONFIG_DIR}/{application.name}"
    yield File(path=f"{folder}/owner-password", content=context.secret(NAME, application.owner))
    yield File(
        path=f"{folder}/extensions.sql",
        content=render("postgres/extensions.sql.j2", application=application),
    )
    yield File(
        path=f"{folder}/schema.sql",
        content=render("postgres/schema.sql.j2", dimensions=dimensions, role=application.name),
    )


def _index(vectors: Vectors) -> str:
    if vectors.index == "hnsw":
        options = {"m": vectors.hnsw.m, "ef_construction": vectors.hnsw.ef_construction}
        return render(
            "postgres/index.sql.j2",
            index="hnsw",
            wanted=",".join(sorted(f"{name}={value}" for name, value in options.items())),
            options=", ".join(f"{name} = {value}" for name, value in options.items()),
        )
    lists = vectors.ivfflat.lists
    return render(
        "postgres/index.sql.j2",
        index="ivfflat",
        fixed=lists is not None,
        lists=lists,
        least=sizing.ivfflat_rows(lists),
    )
