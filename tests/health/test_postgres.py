"""Postgres does what an application does with it: vectors, organisations kept apart, roles kept
small.
"""

import uuid
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from tests.health.conftest import Deployed

pytestmark = pytest.mark.kind("postgres")

_ROWS = 10_000


def _connect(
    service: Deployed,
    role: str = "app",
    *,
    database: str | None = None,
    password: str | None = None,
    sslmode: str | None = None,
) -> psycopg.Connection[Any]:
    host, port = service.endpoint("postgres")
    return psycopg.connect(
        host=host,
        port=port,
        user=role,
        dbname=database or service.check("database"),
        connect_timeout=5,
        password=service.credentials.get(role, "") if password is None else password,
        sslmode=sslmode or _mode(service),
        sslrootcert=service.authority,
    )


def _mode(service: Deployed) -> str:
    """A forward from a cluster is encrypted itself, and ends with a connection that TLS closes."""
    if service.authority is None:
        return "prefer"
    return "verify-full" if service.forwards is None else "disable"


def _vector(service: Deployed, first: float) -> str:
    return str([first, *([0.5] * (int(service.check("dimensions")) - 1))])


@pytest.fixture
def connection(service: Deployed) -> Iterator[psycopg.Connection[Any]]:
    """A connection as the application's own role; whatever it writes is rolled back."""
    with _connect(service) as opened:
        yield opened
        opened.rollback()


_INSERT: LiteralString = (
    "INSERT INTO document_vectors (organisation_id, document_id, content, embedding) VALUES (%s,"
    " %s, %s, %s)"
)


def _act_for(connection: psycopg.Connection[Any], organisation: uuid.UUID) -> None:
    connection.execute("SELECT set_config('app.organisation_id', %s, true)", [str(organisation)])


def test_writes_and_finds_the_nearest_vector(
    service: Deployed, connection: psycopg.Connection[Any]
) -> None:
    """Two documents written, the nearer one is found first, byte for byte."""
    organisation = uuid.uuid4()
    _act_for(connection, organisation)
    for name, first in (("near", 1.0), ("far", -1.0)):
        connection.execute(
            _INSERT, [organisation, name, f"text of {name} — ünïcode", _vector(service, first)]
        )
    row = connection.execute(
        "SELECT document_id, content FROM document_vectors ORDER BY embedding <=> %s LIMIT 1",
        [_vector(service, 0.9)],
    ).fetchone()
    assert row == ("near", "text of near — ünïcode")


def test_hides_other_organisations(service: Deployed, connection: psycopg.Connection[Any]) -> None:
    """Another organisation's rows are invisible, as are all rows for a connection that
    names none.
    """
    ours, theirs = uuid.uuid4(), uuid.uuid4()
    _act_for(connection, theirs)
    connection.execute(_INSERT, [theirs, "theirs", "not yours", _vector(service, 1)])
    _act_for(connection, ours)
    assert connection.execute(
        "SELECT count(*) FROM document_vectors WHERE document_id = 'theirs'"
    ).fetchone() == (0,)
    connection.execute("SELECT set_config('app.organisation_id', '', true)")
    assert connection.execute("SELECT count(*) FROM document_vectors").fetchone() == (0,)


def test_refuses_to_write_for_another_organisation(
    service: Deployed, connection: psycopg.Connection[Any]
) -> None:
    """A row of another organisation cannot be written either."""
    _act_for(connection, uuid.uuid4())
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        connection.execute(_INSERT, [uuid.uuid4(), "theirs", "not yours", _vector(service, 1)])


@pytest.mark.parametrize(
    "attempt",
    [
        "SET LOCAL row_security = off; SELECT count(*) FROM document_vectors",
        "SET LOCAL ROLE app_owner",
        "ALTER TABLE document_vectors DISABLE ROW LEVEL SECURITY",
    ],
    ids=["row security off", "the owner's role", "the table's policy off"],
)
def test_organisations_hold_the_application_whatever_it_sets(
    connection: psycopg.Connection[Any], attempt: LiteralString
) -> None:
    """It can neither turn row-level security off nor become the owner, who is not held by it."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(attempt)


@pytest.mark.deep
def test_uses_the_index_over_many_rows(
    service: Deployed, connection: psycopg.Connection[Any]
) -> None:
    """Over 10,000 rows the nearest-neighbour query, filtered by organisation, walks the vector
    index.

    The rows lie in a temporary copy of the table, with its indexes and its policy, so that nothing
    of the check is left in the application's data.
    """
    organisation = uuid.uuid4()
    index = service.check("index")
    _act_for(connection, organisation)
    connection.execute(
        "CREATE TEMPORARY TABLE probe (LIKE document_vectors INCLUDING DEFAULTS INCLUDING IDENTITY"
        " INCLUDING INDEXES) ON COMMIT DROP"
    )
    connection.execute("ALTER TABLE probe ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    connection.execute(
        "CREATE POLICY organisation ON probe USING (organisation_id ="
        " current_setting('app.organisation_id')::uuid)"
    )
    # An index over rows that are there takes a fifth of the time; IVFFlat has none before.
    found = connection.execute(
        "SELECT pg_get_indexdef(to_regclass('pg_temp.probe_embedding_idx'))"
    ).fetchone()
    connection.execute("DROP INDEX IF EXISTS probe_embedding_idx")
    dimensions = int(service.check("dimensions"))
    connection.execute(
        "INSERT INTO probe (organisation_id, document_id, content, embedding) SELECT %s, n::text,"
        " 'probe', subvector(wave.whole, n, %s) FROM (SELECT array_agg(sin(k * 0.37) + sin(k * k *"
        " 0.0013))::vector AS whole FROM generate_series(1, %s) k) wave, generate_series(1, %s) n",
        [organisation, dimensions, _ROWS + dimensions, _ROWS],
    )
    connection.execute(
        (found and found[0])
        or "CREATE INDEX probe_embedding_idx ON probe USING ivfflat (embedding vector_cosine_ops)"
        " WITH (lists = 10)"
    )
    connection.execute("ANALYZE probe")
    query: LiteralString = (
        "SELECT document_id FROM probe ORDER BY embedding <=> %s::vector LIMIT 10"
    )
    plan = "\n".join(
        row[0] for row in connection.execute("EXPLAIN " + query, [_vector(service, 0.9)])
    )
    assert "using probe_embedding_idx" in plan, plan
    assert index in str(
        connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'probe_embedding_idx'"
        ).fetchone()
    )
    assert len(connection.execute(query, [_vector(service, 0.9)]).fetchall()) == 10


def test_application_role_is_least_privileged(connection: psycopg.Connection[Any]) -> None:
    """The application's role is no superuser, bypasses no policy, makes no tables and reads no
    other database.
    """
    flags = connection.execute(
        "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname ="
        " current_user"
    ).fetchone()
    assert flags == (False, False, False, False)
    allowed = connection.execute(
        "SELECT has_schema_privilege('public', 'CREATE'), has_database_privilege('litellm',"
        " 'CONNECT')"
    ).fetchone()
    assert allowed == (False, False)


def test_statements_show_no_password(service: Deployed) -> None:
    """The statements that `monitoring` can read hold no role's password."""
    with _connect(service, "monitoring") as connection:
        found = {
            name: connection.execute(
                "SELECT count(*) FROM pg_stat_statements WHERE strpos(query, %s) > 0", [secret]
            ).fetchone()
            for name, secret in service.credentials.items()
        }
    assert found == dict.fromkeys(found, (0,)), "passwords stand in pg_stat_statements"


@pytest.mark.parametrize("password", ["", "wrong"], ids=["no password", "wrong password"])
def test_refuses_without_credentials(service: Deployed, password: str) -> None:
    """A connection without the password is refused by the server, not lost on the way."""
    with pytest.raises(psycopg.OperationalError, match="password"):
        _connect(service, password=password)


@pytest.mark.encrypted
@pytest.mark.target("docker")
def test_refuses_what_is_not_encrypted(service: Deployed) -> None:
    """Where TLS is required the password is not even asked for. A forward from a cluster arrives
    within the pod, where nothing need be encrypted.
    """
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        _connect(service, sslmode="disable")
