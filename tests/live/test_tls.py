"""A stack whose stores require TLS: whoever verifies is served, everybody else is refused, and
nothing between its own services is in plain text.
"""

import io
import os
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import httpx
import psycopg
import pytest
import redis
import urllib3
from minio import Minio

from tests.live.clone import Clone, copy_tree
from tests.live.stubs import Stubs
from tests.live.test_fault_injection import Break, edited, wait_healthy
from tests.live.test_frameworks import FRAMEWORKS, run_node
from tests.live.test_observability import Answers, address, arrived, assert_heard_redacted
from tests.support import lanes
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def encrypted(
    engine: docker.DockerClient, stubs: Stubs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clone]:
    """Everything that can require TLS does, and everything that talks to it is deployed."""
    clone = Clone(copy_tree(tmp_path_factory.mktemp("tls") / "clone"), engine, stack="tls")
    clone.configure_stores(
        postgres={"tls": True, "vectors": {"dimensions": 64}},
        redis={"tls": True},
        pooler={"enabled": True},
        prometheus={"enabled": True, "scrapeInterval": "5s"},
        alloy={"enabled": True, "tls": True},
        loki={"enabled": True, "disk": "1GiB"},
        tempo={"enabled": True, "disk": "1GiB"},
        exporters={"postgres": {"enabled": True}, "redis": {"enabled": True}},
        minio={"tls": True, "audit": True},
        litellm={"enabled": True, "tls": True},
    )
    clone.ops("init")
    lanes.register(clone.instance)
    clone.set_keys(
        secrets={"litellm.providers.openai.apiKey": "stub-key-of-openai"},
        plain={
            "litellm.providers.openai.baseUrl": (
                f"http://host.docker.internal:{stubs.working_port}/v1"
            )
        },
    )
    try:
        clone.first_up = clone.ops("up").stdout
        yield clone
    finally:
        clone.remove_everything()


@pytest.fixture
def variables(encrypted: Clone) -> dict[str, str]:
    """What `make env` writes, as a process on this host reads it."""
    encrypted.ops("env")
    found: dict[str, str] = {}
    for name in (".env.tls", ".env.tls.admin"):
        for line in (encrypted.root / name).read_text().splitlines():
            key, _, value = line.partition("=")
            if not line.startswith("#"):
                found[key] = value.strip("'")
    return found


def _redis(variables: dict[str, str]) -> "redis.Redis":
    return redis.from_url(variables["REDIS_QUEUE_URL"], ssl_ca_certs=variables["TLS_CA_FILE"])


def _objects(variables: dict[str, str]) -> Minio:
    at = variables["S3_ENDPOINT"].removeprefix("https://")
    login = (variables["S3_ACCESS_KEY_ID"], variables["S3_SECRET_ACCESS_KEY"])
    pool = urllib3.PoolManager(ca_certs=variables["TLS_CA_FILE"])
    return Minio(at, *login, secure=True, http_client=pool)


def test_all_checks_pass_over_tls(encrypted: Clone) -> None:
    """Those that try without it, too: of Postgres, the pooler, both of Redis, and two of Alloy."""
    assert " passed" in encrypted.first_up
    tried = ("tests/health", "-k", "is_not_encrypted")
    assert "6 passed" in encrypted.health(encrypted.outputs(), *tried).stdout


@contextmanager
def _plain_redis(clone: Clone, stubs: Stubs) -> Iterator[None]:
    """It speaks no TLS any more, so its own readiness fails."""
    container = clone.docker.containers.get(clone.name("redis-queue"))
    told = "s/^port 0/port 6379/; s/^tls-.*//"
    with edited("redis-queue", "redis.conf", told, restart=False)(clone, stubs):
        container.restart(timeout=5)
        url = clone.outputs()["environment"]["REDIS_QUEUE_URL"]
        with redis.from_url(url.replace("rediss:", "redis:")) as client:
            wait_until(lambda: _answers(client), timeout=30, reason="it answers in plain text")
        yield
    container.restart(timeout=5)
    wait_healthy(clone, "redis-queue")


_PLAIN_ALLOY = edited("alloy", "config.alloy", "/^ +tls \\{/,/^ +\\}/d", restart=True)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.mark.parametrize(
    ("check", "service", "broken"),
    [
        (
            "test_postgres.py::test_refuses_what_is_not_encrypted",
            "postgres",
            edited(
                "postgres",
                "pg_hba.conf",
                "s/^hostssl/host/",
                restart=False,
                then="kill -HUP 1",
                user="999",
                settle=1,
            ),
        ),
        (
            "test_pooler.py::test_refuses_what_is_not_encrypted",
            "pooler",
            edited(
                "pooler",
                "pgbouncer.ini",
                "s/^(client_tls_sslmode) = require/\\1 = allow/",
                restart=False,
                then="kill -HUP 1",
                user="65534",
                settle=1,
            ),
        ),
        ("test_redis.py::test_refuses_what_is_not_encrypted", "redis-queue", _plain_redis),
        ("test_alloy.py::test_refuses_what_is_not_encrypted", "alloy", _PLAIN_ALLOY),
        ("test_alloy.py::test_refuses_grpc_that_is_not_encrypted", "alloy", _PLAIN_ALLOY),
    ],
    ids=["postgres", "pooler", "redis", "OTLP over HTTP", "OTLP over gRPC"],
)
def test_a_check_notices_what_serves_without_tls(
    encrypted: Clone, stubs: Stubs, check: str, service: str, broken: Break
) -> None:
    with broken(encrypted, stubs):
        done = encrypted.health(encrypted.outputs(), f"tests/health/{check}", "-k", f"[{service}")
    assert done.returncode == 1, done.stdout
    assert f"FAILED tests/health/{check}[{service}]" in done.stdout
    assert any(said in done.stdout for said in ("DID NOT RAISE", "assert not True"))


def test_a_second_deploy_has_the_same_certificates(encrypted: Clone) -> None:
    """They are derived, not made."""
    done = encrypted.pulumi("preview", "--expect-no-changes", "--stack", encrypted.stack)
    assert done.returncode == 0, done.stdout[-3000:]


def test_every_connection_to_postgres_is_encrypted(
    encrypted: Clone, variables: dict[str, str]
) -> None:
    """The exporter's and the pooler's, by what the server says of them."""
    authority = variables["PGSSLROOTCERT"]
    superuser = encrypted.outputs()["credentials"]["postgres"]["superuser"]
    pooled = psycopg.connect(variables["DATABASE_POOL_URL"], sslrootcert=authority)
    with pooled, pooled.transaction():
        pooled.execute("SELECT 1")

        def found() -> dict[str, bool]:
            with psycopg.connect(
                variables["DATABASE_OWNER_URL"],
                user="postgres",
                password=superuser,
                sslrootcert=authority,
            ) as db:
                return dict(
                    db.execute(
                        "SELECT usename, bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity"
                        " USING (pid) WHERE backend_type = 'client backend' GROUP BY 1"
                    ).fetchall()
                )

        told = wait_until(
            found,
            until=lambda told: {"app", "monitoring", "postgres"} <= set(told),
            timeout=30,
            reason="the exporter and the pooler are connected",
        )
    assert set(told.values()) == {True}, told


@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_POOL_URL"])
def test_a_client_that_trusts_another_authority_is_not_served(
    variable: str, variables: dict[str, str]
) -> None:
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(variables[variable], sslrootcert="system")


def test_applications_keep_what_they_wrote(variables: dict[str, str]) -> None:
    """The cache and the queue, by their URLs."""
    for name in ("REDIS_CACHE_URL", "REDIS_QUEUE_URL"):
        with redis.from_url(variables[name], ssl_ca_certs=variables["TLS_CA_FILE"]) as client:
            client.set("tls", name)
            assert client.get("tls") == name.encode()


def test_objects_and_models_are_reached_by_their_urls(variables: dict[str, str]) -> None:
    """Whoever does not know the authority is refused by his own client."""
    store = _objects(variables)
    store.put_object("documents", "encrypted", io.BytesIO(b"in transit"), 10)
    assert store.get_object("documents", "encrypted").data == b"in transit"
    headers = {"Authorization": f"Bearer {variables['LLM_API_KEY']}"}
    url = f"{variables['LLM_BASE_URL']}/models"
    trusted = ssl.create_default_context(cafile=variables["TLS_CA_FILE"])
    assert httpx.get(url, headers=headers, verify=trusted).status_code == 200
    for refused in (url, variables["S3_ENDPOINT"]):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(refused)
        with pytest.raises(httpx.HTTPError):
            httpx.get(refused.replace("https://", "http://")).raise_for_status()


def test_prometheus_scrapes_over_tls(encrypted: Clone) -> None:
    """Each target of the stores is up, and those that speak TLS are asked by it."""
    told = encrypted.outputs()["administration"]
    answer = httpx.get(
        f"{told['PROMETHEUS_URL']}/api/v1/targets",
        auth=(told["PROMETHEUS_USER"], told["PROMETHEUS_PASSWORD"]),
    )
    schemes = {
        target["labels"]["job"]: (target["scrapeUrl"].partition(":")[0], target["health"])
        for target in answer.json()["data"]["activeTargets"]
    }
    assert schemes["minio"] == schemes["litellm"] == ("https", "up")
    assert schemes["redis-cache-exporter"] == ("http", "up")


@pytest.fixture
def answers(encrypted: Clone) -> Iterator[Answers]:
    made = Answers(encrypted)
    yield made
    made.close()


def test_requests_for_objects_are_told_over_tls(
    variables: dict[str, str], answers: Answers
) -> None:
    """MinIO trusts the collector's certificate."""
    name = f"told-{uuid.uuid4().hex[:8]}"
    _objects(variables).put_object("documents", name, io.BytesIO(b"text"), 4)
    (line,) = arrived(answers, f'{{service="minio", stream="audit"}} |= "{name}"', count=1)
    assert line.startswith('action="PutObject" user="app" ')


def test_the_gateways_spans_arrive_over_tls(encrypted: Clone, variables: dict[str, str]) -> None:
    """LiteLLM trusts the collector's certificate."""
    trusted = ssl.create_default_context(cafile=variables["TLS_CA_FILE"])
    answer = httpx.post(
        f"{variables['LLM_BASE_URL']}/chat/completions",
        headers={"Authorization": f"Bearer {variables['LLM_API_KEY']}"},
        json={"model": "default", "messages": [{"role": "user", "content": "over TLS"}]},
        verify=trusted,
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    wait_until(
        lambda: httpx.get(
            f"http://{address(encrypted, 'tempo')}:3200/api/search",
            params={"q": '{resource.service.name="litellm" && name="litellm_request"}'},
            timeout=10,
        ).json()["traces"],
        timeout=60,
        reason="Tempo has a span of the gateway's",
    )


def test_telemetry_is_sent_by_what_make_env_writes(
    framework_python: Path, framework_node: Path, variables: dict[str, str], answers: Answers
) -> None:
    """OpenTelemetry's SDK for Python and for Node find the authority by a variable each."""
    mark = uuid.uuid4().hex
    done = subprocess.run(
        [framework_python, "-P", FRAMEWORKS / "telemetry.py", mark],
        env={"PATH": os.environ["PATH"], **variables, "OTEL_SERVICE_NAME": "worker"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert_heard_redacted(answers, "worker", mark)
    done = run_node(framework_node, "winston.mjs", {**variables, "OTEL_SERVICE_NAME": "pm2"}, mark)
    assert done.returncode == 0, done.stderr
    assert_heard_redacted(answers, "pm2", mark)


@pytest.mark.parametrize(
    "name", ["alembic_migration", "django_models", "langchain_store", "llama_index_store"]
)
def test_a_framework_in_python_works_with_what_make_env_writes(
    framework_python: Path, variables: dict[str, str], name: str
) -> None:
    """Drivers find the authority by libpq's own variables, from a URL or from its parts."""
    done = subprocess.run(
        [framework_python, "-P", FRAMEWORKS / f"{name}.py"],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_framework_in_node_works_with_what_make_env_writes(
    framework_node: Path, variables: dict[str, str]
) -> None:
    """Node finds the authority by its own variable, and without it refuses the server."""
    done = run_node(framework_node, "drizzle.mjs", variables)
    assert done.returncode == 0, done.stdout + done.stderr
    without = {name: value for name, value in variables.items() if name != "NODE_EXTRA_CA_CERTS"}
    done = run_node(framework_node, "drizzle.mjs", without)
    assert done.returncode != 0
    assert "certificate" in done.stdout + done.stderr


def test_a_backup_is_made_and_restored_over_tls(
    encrypted: Clone, variables: dict[str, str]
) -> None:
    """Redis, too, as the replica of the backup that it loads."""
    authority = variables["PGSSLROOTCERT"]
    with psycopg.connect(variables["DATABASE_OWNER_URL"], sslrootcert=authority) as db:
        db.execute("CREATE TABLE saved AS SELECT 42 AS answer")
    with _redis(variables) as client:
        client.set("saved", "42")
    encrypted.ops("backup")
    with psycopg.connect(variables["DATABASE_OWNER_URL"], sslrootcert=authority) as db:
        db.execute("DROP TABLE saved")
    with _redis(variables) as client:
        client.delete("saved")
    encrypted.ops("restore", "--replace", "all")
    with psycopg.connect(variables["DATABASE_OWNER_URL"], sslrootcert=authority) as db:
        assert db.execute("SELECT answer FROM saved").fetchone() == (42,)
    with _redis(variables) as client:
        assert client.get("saved") == b"42"


def test_another_authority_replaces_the_first(encrypted: Clone, variables: dict[str, str]) -> None:
    """Its generation ends every certificate; the data stay, and `make env` tells the new one."""
    old = (encrypted.root / ".env.tls.ca.pem").read_text()
    former = encrypted.root / "former.pem"
    former.write_text(old)
    encrypted.configure(tls={"generation": 2})
    encrypted.ops("up")
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(variables["DATABASE_URL"], sslrootcert=str(former))
    encrypted.ops("env")
    assert (encrypted.root / ".env.tls.ca.pem").read_text() != old
    with psycopg.connect(
        variables["DATABASE_OWNER_URL"], sslrootcert=variables["PGSSLROOTCERT"]
    ) as db:
        assert db.execute("SELECT answer FROM saved").fetchone() == (42,)
    with _redis(variables) as client:
        assert client.get("saved") == b"42"
