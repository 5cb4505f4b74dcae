"""What holds when a service turns against the others, or its neighbours are many: with real
traffic and real data.
"""

import contextlib
import os
import resource
import secrets
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
import redis

from infra.services import postgres
from tests.live.clone import SOURCE, Clone, superuser_url
from tests.support.waiting import wait_until
from tests.unit.conftest import make_context

_OUTSIDE, _INSIDE, _PORT = "198.18.77.2", "198.18.77.1", 9
# Both collectors, since this stack forwards traces and logs.
_REACHES_OUT = {"litellm", "alertmanager", "prometheus", "alloy", "alloy-logs"}


def _run(
    *command: str, check: bool = True, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=check,
        text=True,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.fixture
def outside() -> Iterator[str]:
    """A host beside this one, in a network of its own, that routes whatever it answers through
    this one.
    """
    name = "gw-outside"
    _run("ip", "netns", "del", name, check=False)
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", "gw-out0", "type", "veth", "peer", "name", "gw-out1")
        _run("ip", "link", "set", "gw-out1", "netns", name)
        _run("ip", "addr", "add", f"{_INSIDE}/30", "dev", "gw-out0")
        _run("ip", "link", "set", "gw-out0", "up")
        for command in (
            f"addr add {_OUTSIDE}/30 dev gw-out1",
            "link set gw-out1 up",
            f"route add default via {_INSIDE}",
        ):
            _run("ip", "-n", name, *command.split())
        serve = (
            f"import socket; s=socket.create_server(('{_OUTSIDE}', {_PORT}))\nwhile True:"
            " s.accept()[0].close()"
        )
        with subprocess.Popen(["ip", "netns", "exec", name, "python3", "-c", serve]) as server:
            time.sleep(0.5)
            try:
                yield _OUTSIDE
            finally:
                server.kill()
    finally:
        _run("ip", "netns", "del", name, check=False)


def test_a_store_reaches_nobody_outside(deployed: Clone, outside: str) -> None:
    """From inside each container's own network: only what asks others for a living gets an answer
    from a host beside this one.
    """
    connect = f"import socket; socket.create_connection(('{outside}', {_PORT}), timeout=1.5)"
    assert _run("python3", "-c", connect).returncode == 0, "the host itself reaches it"
    reached = set()
    for name in deployed.containers():
        pid = deployed.docker.containers.get(deployed.name(name)).attrs["State"]["Pid"]
        if (
            _run(
                "nsenter", f"--net=/proc/{pid}/ns/net", "python3", "-c", connect, check=False
            ).returncode
            == 0
        ):
            reached.add(name)
    assert reached == _REACHES_OUT


def test_what_the_owner_plants_is_never_run_by_the_superuser(deployed: Clone) -> None:
    """A view in place of the table calls the owner's function when the schema is provisioned
    again: with the owner's rights.
    """
    owner = deployed.outputs()["administration"]["DATABASE_OWNER_URL"]
    provision = deployed.docker.containers.get(deployed.name("postgres-provision"))
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("ALTER TABLE document_vectors RENAME TO document_vectors_aside")
        try:
            connection.execute(
                "CREATE FUNCTION planted() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN BEGIN"
                " EXECUTE 'RESET ROLE'; EXECUTE 'ALTER ROLE app_owner SUPERUSER'; EXCEPTION WHEN"
                " OTHERS THEN NULL; END; RETURN 1; END $$"
            )
            connection.execute(
                "CREATE VIEW document_vectors AS SELECT '[1,2,3]'::vector(3) AS embedding FROM"
                " planted()"
            )
            provision.exec_run(["sh", "-eu", "/etc/groundwork/job.sh"], user="999:0")
            called = connection.execute("SELECT count(*) FROM document_vectors").fetchone()
            assert called == (1,), "the view is one that calls it"
            assert connection.execute(
                "SELECT rolsuper FROM pg_roles WHERE rolname = 'app_owner'"
            ).fetchone() == (False,)
        finally:
            connection.execute("DROP VIEW IF EXISTS document_vectors")
            connection.execute("DROP FUNCTION IF EXISTS planted()")
            connection.execute("DROP TABLE IF EXISTS document_vectors")
            connection.execute("ALTER TABLE document_vectors_aside RENAME TO document_vectors")
    done = provision.exec_run(["sh", "-eu", "/etc/groundwork/job.sh"], user="999:0")
    assert done.exit_code == 0, done.output


def test_a_bucket_that_is_no_longer_declared_is_closed_and_kept(deployed: Clone) -> None:
    provision = deployed.docker.containers.get(deployed.name("minio-provision"))
    # `mc pipe` makes a buffer of 500 MiB, of which the job's memory has been too small once.
    made = (
        "export MC_CONFIG_DIR=/tmp/mc; mc mb --quiet store/leftover; mc anonymous set download"
        " store/leftover; echo kept > /tmp/kept; mc cp --quiet /tmp/kept store/leftover/x"
    )
    assert provision.exec_run(["sh", "-c", made], user="1000:0").exit_code == 0
    url = f"{deployed.outputs()['environment']['S3_ENDPOINT']}/leftover/x"
    assert httpx.get(url, timeout=5).status_code == 200
    done = provision.exec_run(["sh", "-eu", "/etc/groundwork/job.sh"], user="1000:0")
    assert done.exit_code == 0, done.output
    assert httpx.get(url, timeout=5).status_code == 403
    removed = provision.exec_run(
        [
            "sh",
            "-c",
            (
                "export MC_CONFIG_DIR=/tmp/mc; mc cat store/leftover/x && mc rb --quiet --force"
                " store/leftover"
            ),
        ],
        user="1000:0",
    )
    assert removed.exit_code == 0, "its objects are kept"


@pytest.mark.parametrize("instance", ["redis-cache", "redis-queue"])
def test_other_services_read_no_value_of_the_applications(deployed: Clone, instance: str) -> None:
    """LiteLLM's user has keys of its own, monitoring's has none, and neither may empty the
    instance.
    """
    outputs = deployed.outputs()
    end, passwords = (
        outputs["services"][instance]["endpoints"]["redis"],
        outputs["credentials"][instance],
    )

    def login(user: str) -> "redis.Redis":
        return redis.Redis(
            host=end["host"],
            port=end["port"],
            username=user,
            password=passwords[user],
            socket_timeout=5,
        )

    with login("app") as app, login("litellm") as litellm, login("monitoring") as monitoring:
        app.set("secret:of:the:application", "value")
        users = {"app": app, "litellm": litellm, "monitoring": monitoring}
        read = {
            user: _answer(client, "GET", "secret:of:the:application")
            for user, client in users.items()
        }
        assert read == {"app": b"value", "litellm": "refused", "monitoring": "refused"}
        emptied = {
            (user, command): _answer(users[user], command)
            for user in ("litellm", "monitoring")
            for command in ("FLUSHDB", "FLUSHALL")
        }
        assert set(emptied.values()) == {"refused"}, emptied
        assert _answer(monitoring, "SLOWLOG", "GET") == "refused"
        litellm.set("litellm:own", "1", ex=60)
        app.delete("secret:of:the:application")


def _answer(client: Any, *command: str) -> Any:
    try:
        return client.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return "refused"


_CLIENTS = 10_000


def test_a_full_queue_survives_its_rewrite_under_writes_and_ten_thousand_clients(
    deployed: Clone,
) -> None:
    """Filled until it refuses, rewritten while its keys are overwritten, with as many clients as
    it takes: not killed, nothing lost.
    """
    container = deployed.docker.containers.get(deployed.name("redis-queue"))
    outputs = deployed.outputs()
    password = outputs["credentials"]["redis-queue"]["app"]
    address = container.attrs["NetworkSettings"]["Networks"][deployed.name("redis-queue")][
        "IPAddress"
    ]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pid = container.attrs["State"]["Pid"]
    login = f"AUTH app {password}\r\n".encode()
    with (
        redis.Redis(
            host=address, port=6379, username="app", password=password, socket_timeout=60
        ) as client,
        contextlib.ExitStack() as opened,
    ):
        connected = 0
        for _ in range(min(_CLIENTS, hard - 500) - 50):
            end = opened.enter_context(socket.create_connection((address, 6379), timeout=10))
            end.sendall(login)
            connected += end.recv(64).startswith(b"+OK")
            if connected % 1500 == 0:
                # A new client's buffer is 16 KiB until the server, which looks once a second,
                # finds it idle and shrinks it.
                time.sleep(2)
        assert connected > 9_000, connected
        value = os.urandom(4096)
        filled = 0
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            while True:
                with client.pipeline(transaction=False) as pipeline:
                    for _ in range(500):
                        pipeline.set(f"fill:{filled}", value)
                        filled += 1
                    pipeline.execute()

        def after_writes() -> dict[str, Any]:
            with client.pipeline(transaction=False) as pipeline:
                for _ in range(300):
                    pipeline.set(f"fill:{secrets.randbelow(filled - 500)}", os.urandom(4096))
                pipeline.execute(raise_on_error=False)
            state: dict[str, Any] = client.info("persistence")
            return state

        before = int(client.info("persistence")["aof_current_size"])
        wait_until(
            after_writes,
            until=lambda state: (
                state["aof_rewrite_in_progress"] or int(state["aof_current_size"]) < before
            ),
            timeout=90,
            interval=0,
            reason="a rewrite of the append-only file begins",
        )
        wait_until(
            after_writes,
            until=lambda state: not state["aof_rewrite_in_progress"],
            timeout=300,
            interval=0,
            reason="the rewrite of the append-only file ends",
        )
        assert client.info("persistence")["aof_last_bgrewrite_status"] == "ok"
        assert int(client.info("clients")["connected_clients"]) > 9_000
        assert client.get("fill:0")
        for first in range(0, filled, 1000):
            client.unlink(*(f"fill:{number}" for number in range(first, min(first + 1000, filled))))
    container.reload()
    assert container.attrs["State"]["Pid"] == pid, "it was killed"
    assert not container.attrs["State"]["OOMKilled"]


def test_an_ivfflat_index_is_built_from_rows_and_finds_what_is_near(deployed: Clone) -> None:
    """None on an empty table; from 10,000 rows one whose ten nearest are those of an exact search;
    built again when they are many more.
    """
    database, dimensions = f"ivfflat_{uuid.uuid4().hex[:8]}", 64
    context = make_context(
        images=SOURCE, postgres={"vectors": {"index": "ivfflat", "dimensions": dimensions}}
    )
    (job,) = postgres.build(context).jobs
    scripts = {file.path.rpartition("/")[2]: file.content for file in job.files}
    administration = deployed.outputs()["administration"]
    owner = administration["DATABASE_OWNER_URL"].rpartition("/")[0] + f"/{database}"
    host = owner.rpartition("@")[2].partition("/")[0]
    superuser = superuser_url(administration)
    psql = [
        "docker",
        "exec",
        "-i",
        deployed.name("postgres-provision"),
        "psql",
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        "-",
    ]

    def run(script: object, url: str) -> None:
        inside = url.replace(host, "postgres:5432")
        done = subprocess.run(
            [*psql, inside],
            input=str(script),
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout

    root = superuser_url(administration, database)
    with psycopg.connect(superuser, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {database} OWNER app_owner")
        try:
            run(scripts["extensions.sql"], root)
            run(scripts["schema.sql"], owner)
            run(scripts["index.sql"], owner)
            with psycopg.connect(owner, autocommit=True) as connection:
                assert _index(connection) is None, "on an empty table"
                _fill(connection, 10_000, dimensions)
                run(scripts["index.sql"], owner)
                assert _index(connection) == "lists=10"
                assert _recall(connection, dimensions) >= 0.95
                _fill(connection, 35_000, dimensions)
                run(scripts["index.sql"], owner)
                assert _index(connection) == "lists=45"
        finally:
            server.execute(f"DROP DATABASE {database} WITH (FORCE)")


def _index(connection: "psycopg.Connection[tuple[str, ...]]") -> str | None:
    found = connection.execute(
        "SELECT replace(reloptions[1], '''', '') FROM pg_class WHERE relname ="
        " 'document_vectors_ivfflat'"
    ).fetchone()
    return found[0] if found else None


def _fill(connection: "psycopg.Connection[tuple[str, ...]]", rows: int, dimensions: int) -> None:
    """Rows in clusters, as embeddings are: fifty topics, and noise around each."""
    connection.execute(
        "INSERT INTO document_vectors (organisation_id, document_id, content, embedding) SELECT"
        " gen_random_uuid(), n::text, '', (SELECT array_agg(sin((n %% 50) * 12.9898 + d * 78.233) +"
        " random() * 0.6) FROM generate_series(1, %s) d WHERE n > 0)::vector FROM"
        " generate_series(1, %s) n",
        [dimensions, rows],
    )
    connection.execute("ANALYZE document_vectors")


def _recall(
    connection: "psycopg.Connection[tuple[str, ...]]", dimensions: int, *, searches: int = 40
) -> float:
    """The share of the ten nearest rows by an exact search that the index finds with ten probes."""
    query = "SELECT id FROM document_vectors ORDER BY embedding <=> %s::vector LIMIT 10"
    found = 0
    for _ in range(searches):
        (point,) = connection.execute(
            "SELECT embedding::text FROM document_vectors OFFSET floor(random() * 9000) LIMIT 1"
        ).fetchone() or ("",)
        answers = []
        for setting in (
            "SET enable_indexscan = off",
            "SET enable_indexscan = on; SET enable_seqscan = off; SET ivfflat.probes = 10",
        ):
            connection.execute(setting)
            answers.append({row[0] for row in connection.execute(query, [point])})
        connection.execute("RESET ALL")
        found += len(answers[0] & answers[1])
    return found / (10 * searches)
