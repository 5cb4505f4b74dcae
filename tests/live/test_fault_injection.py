"""Every health check is seen to fail: the service is broken in the way that the check is there to
notice.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from infra.images import BASE_TAG
from tests.live.clone import Clone
from tests.live.stubs import Stubs
from tests.support.waiting import wait_until

HEALTH = Path(__file__).resolve().parents[1] / "health"
Break = Callable[[Clone, Stubs], AbstractContextManager[None]]
_CONFIG = "/etc/groundwork"
# What arrives at all arrives within three seconds; a scrape of these tests is every two.
_PATIENCE = 10


def execute(clone: Clone, part: str, script: str, *, user: str = "0") -> str:
    """Runs a script in a container, as root unless told otherwise; it must succeed."""
    code, output = clone.docker.containers.get(clone.name(part)).exec_run(
        ["sh", "-c", script], user=user
    )
    text = output.decode() if isinstance(output, bytes) else ""
    assert code == 0, text
    return text


def wait_healthy(clone: Clone, part: str, seconds: float = 90) -> None:
    wait_until(lambda: clone.ready(part), timeout=seconds, interval=0.3, reason=f"{part} is ready")


def sql(broken: str, mended: str, *, database: str = "app") -> Break:
    @contextmanager
    def make(clone: Clone, _: Stubs) -> Iterator[None]:
        # A password in a statement would stay in the container's log, which the stack audits.
        run = (
            "PGOPTIONS='-c log_statement=none'"
            f" PGPASSWORD=$(cat {_CONFIG}/superuser-password) psql -X -q -v ON_ERROR_STOP=1 -h"
            f" 127.0.0.1 -U postgres -d {database} -c "
        )
        execute(clone, "postgres", f'{run} "{broken}"')
        try:
            yield
        finally:
            execute(clone, "postgres", f'{run} "{mended}"')

    return make


def edited(
    part: str,
    name: str,
    expression: str,
    *,
    restart: bool,
    then: str = "true",
    user: str = "0",
    settle: float = 0,
) -> Break:
    """Edits one of a container's files in their volume; the file is put back afterwards. `then` is
    run as `user`: root has no power over another user's processes there.
    """

    @contextmanager
    def make(clone: Clone, _: Stubs) -> Iterator[None]:
        path = f"{_CONFIG}/{name}"

        def apply(script: str) -> None:
            # The container itself may only read its files.
            mounts = clone.docker.containers.get(clone.name(part)).attrs["Mounts"]
            volume = next(mount["Name"] for mount in mounts if mount["Destination"] == _CONFIG)
            place = {volume: {"bind": _CONFIG, "mode": "rw"}}
            clone.docker.containers.run(
                BASE_TAG, ["sh", "-euc", script], volumes=place, network_mode="none", remove=True
            )
            if restart:
                clone.docker.containers.get(clone.name(part)).restart(timeout=10)
                wait_healthy(clone, part)
            else:
                execute(clone, part, then, user=user)
                time.sleep(settle)

        apply(
            f"cp -p {path} /tmp/kept && sed -i -E '{expression}' {path} && ! cmp -s {path}"
            f" /tmp/kept && cp -p /tmp/kept {path}.kept"
        )
        try:
            yield
        finally:
            apply(f"mv {path}.kept {path}")

    return make


def minio(broken: str, mended: str) -> Break:
    @contextmanager
    def make(clone: Clone, _: Stubs) -> Iterator[None]:
        execute(clone, "minio-provision", f"export MC_CONFIG_DIR=/tmp/mc; {broken}", user="1000")
        try:
            yield
        finally:
            execute(
                clone, "minio-provision", f"export MC_CONFIG_DIR=/tmp/mc; {mended}", user="1000"
            )

    return make


def backed_up(status: str) -> Break:
    """The outcome of a backup or a check, as the program writes it down."""
    path = "/backup/state/status.json"

    @contextmanager
    def make(clone: Clone, _: Stubs) -> Iterator[None]:
        execute(clone, "backup", f"cp {path} {path}.kept; echo '{status}' > {path}", user="65532")
        try:
            yield
        finally:
            execute(clone, "backup", f"mv {path}.kept {path}", user="65532")

    return make


def stopped(part: str, *, settle: float = 0) -> Break:
    """Stops a container, for as long as it takes that others notice; starts it again afterwards."""

    @contextmanager
    def make(clone: Clone, _: Stubs) -> Iterator[None]:
        container = clone.docker.containers.get(clone.name(part))
        container.stop(timeout=10)
        time.sleep(settle)
        try:
            yield
        finally:
            container.start()
            wait_healthy(clone, part)

    return make


@contextmanager
def crashing(clone: Clone, _: Stubs) -> Iterator[None]:
    """The service restarts while its stability is watched."""
    container = clone.docker.containers.get(clone.name("redis-queue"))
    container.restart(timeout=5)
    timer = threading.Timer(6, lambda: container.restart(timeout=5))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        wait_healthy(clone, "redis-queue")


@contextmanager
def careless(clone: Clone, _: Stubs) -> Iterator[None]:
    """In place of an exporter stands a container that publishes to everybody, keeps its
    capabilities and shows a secret.
    """
    name = clone.name("redis-queue-exporter")
    original = clone.docker.containers.get(name)
    secret = clone.outputs()["credentials"]["postgres"]["app"]
    original.rename(f"{name}-aside")
    substitute = clone.docker.containers.run(
        original.attrs["Image"],
        ["sleep", "600"],
        entrypoint="",
        name=name,
        detach=True,
        ports={"9121/tcp": ("0.0.0.0", 0)},
        environment={"PASSWORD": secret},
        labels=original.labels,
    )
    try:
        yield
    finally:
        substitute.remove(force=True, v=True)
        original.rename(name)


@contextmanager
def providers_down(_: Clone, stubs: Stubs) -> Iterator[None]:
    stubs.working.failing = True
    try:
        yield
    finally:
        stubs.working.failing = False


UNDEFENDED = (
    "s/^ *master_key: .*/  dangerously_permit_weak_or_unset_master_key: true/; /custom_auth/d"
)
OPEN_HBA = "s/scram-sha-256/trust/"
RELOAD = (
    f"PGPASSWORD=$(cat {_CONFIG}/superuser-password) psql -X -q -h 127.0.0.1 -U postgres -d"
    " postgres -c 'SELECT pg_reload_conf()'"
)

BREAKS: list[tuple[str, str, Break]] = [
    ("test_containers.py::test_is_running_and_ready", "redis-queue", stopped("redis-queue")),
    (
        "test_containers.py::test_its_sidecars_are_ready_and_confined",
        "loki",
        stopped("loki-retention"),
    ),
    ("test_containers.py::test_is_stable", "redis-queue", crashing),
    ("test_containers.py::test_listens_on_loopback_only", "redis-queue-exporter", careless),
    ("test_containers.py::test_is_confined", "redis-queue-exporter", careless),
    ("test_containers.py::test_shows_no_secret", "redis-queue-exporter", careless),
    (
        "test_postgres.py::test_writes_and_finds_the_nearest_vector",
        "postgres",
        sql(
            "REVOKE INSERT ON document_vectors FROM app", "GRANT INSERT ON document_vectors TO app"
        ),
    ),
    (
        "test_postgres.py::test_hides_other_organisations",
        "postgres",
        sql(
            "ALTER TABLE document_vectors DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE document_vectors ENABLE ROW LEVEL SECURITY",
        ),
    ),
    (
        "test_postgres.py::test_refuses_to_write_for_another_organisation",
        "postgres",
        sql(
            "ALTER TABLE document_vectors DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE document_vectors ENABLE ROW LEVEL SECURITY",
        ),
    ),
    (
        "test_postgres.py::test_uses_the_index_over_many_rows",
        "postgres",
        sql(
            "DROP INDEX document_vectors_hnsw",
            "SET ROLE app_owner; CREATE INDEX document_vectors_hnsw ON document_vectors USING hnsw"
            " (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)",
        ),
    ),
    (
        "test_postgres.py::test_statements_show_no_password",
        "postgres",
        sql(
            f"CREATE ROLE shown PASSWORD '$(cat {_CONFIG}/superuser-password)'",
            "DROP ROLE shown; SELECT pg_stat_statements_reset()",
            database="postgres",
        ),
    ),
    (
        "test_postgres.py::test_organisations_hold_the_application_whatever_it_sets",
        "postgres",
        sql("GRANT app_owner TO app", "REVOKE app_owner FROM app"),
    ),
    (
        "test_postgres.py::test_application_role_is_least_privileged",
        "postgres",
        sql("ALTER ROLE app CREATEDB", "ALTER ROLE app NOCREATEDB"),
    ),
    (
        "test_postgres.py::test_refuses_without_credentials",
        "postgres",
        edited("postgres", "pg_hba.conf", OPEN_HBA, restart=False, then=RELOAD, settle=1),
    ),
    (
        "test_redis.py::test_returns_what_was_set",
        "redis-cache",
        edited("redis-cache", "users.acl", "s/^(user app .*)$/\\1 -set/", restart=True),
    ),
    (
        "test_redis.py::test_delivers_a_message",
        "redis-cache",
        edited("redis-cache", "users.acl", "s/^(user app .*)$/\\1 -publish/", restart=True),
    ),
    (
        "test_redis.py::test_evicts_as_its_use_needs",
        "redis-cache",
        edited(
            "redis-cache",
            "redis.conf",
            "s/^maxmemory-policy .*/maxmemory-policy noeviction/",
            restart=True,
        ),
    ),
    (
        "test_redis.py::test_keeps_its_data_on_disk",
        "redis-cache",
        edited("redis-cache", "redis.conf", "s/^appendonly yes/appendonly no/", restart=True),
    ),
    (
        "test_redis.py::test_refuses_without_credentials",
        "redis-cache",
        edited(
            "redis-cache",
            "users.acl",
            "s/^user default off/user default on nopass ~* +@all/",
            restart=True,
        ),
    ),
    (
        "test_redis.py::test_application_user_is_no_administrator",
        "redis-cache",
        edited("redis-cache", "users.acl", "s/^(user app .*)$/\\1 +@all/", restart=True),
    ),
    (
        "test_minio.py::test_returns_what_was_put",
        "minio",
        minio(
            "mc admin policy detach store groundwork-app --user app",
            "mc admin policy attach store groundwork-app --user app",
        ),
    ),
    (
        "test_minio.py::test_keeps_earlier_versions",
        "minio",
        minio("mc version suspend store/documents", "mc version enable store/documents"),
    ),
    (
        "test_minio.py::test_application_key_destroys_no_earlier_version",
        "minio",
        minio(
            "mc admin policy detach store groundwork-app --user app; mc admin policy attach store"
            " readwrite --user app",
            "mc admin policy detach store readwrite --user app; mc admin policy attach store"
            " groundwork-app --user app",
        ),
    ),
    (
        "test_minio.py::test_application_key_opens_nothing_else",
        "minio",
        minio(
            "mc admin policy attach store readwrite --user app",
            "mc admin policy detach store readwrite --user app",
        ),
    ),
    (
        "test_minio.py::test_refuses_without_credentials",
        "minio",
        minio("mc anonymous set public store/documents", "mc anonymous set none store/documents"),
    ),
    (
        "test_litellm.py::test_knows_its_models",
        "litellm",
        edited("litellm", "config.yaml", "s/model_name: .*/model_name: other/", restart=True),
    ),
    (
        "test_litellm.py::test_refuses_without_credentials",
        "litellm",
        edited("litellm", "config.yaml", UNDEFENDED, restart=True),
    ),
    (
        "test_litellm.py::test_application_key_administers_nothing",
        "litellm",
        edited(
            "litellm",
            "keys.py",
            "s/if not path.removeprefix.*/if False:/; s/INTERNAL_USER, parent/PROXY_ADMIN, parent/",
            restart=True,
        ),
    ),
    (
        "test_applications.py::test_the_gateway_knows_each",
        "litellm",
        edited("litellm", "applications.json", 's/"key": "sk-/"key": "sk-no-/', restart=True),
    ),
    (
        "test_applications.py::test_each_uses_its_own_keys",
        "redis-queue",
        edited("redis-queue", "users.acl", "s/^(user ledger .*)$/\\1 ~*/", restart=True),
    ),
    (
        "test_applications.py::test_each_enters_its_own_database",
        "postgres",
        sql("ALTER ROLE ledger NOLOGIN", "ALTER ROLE ledger LOGIN", database="postgres"),
    ),
    ("test_litellm.py::test_completes_through_the_chain", "litellm", providers_down),
    ("test_litellm.py::test_streams", "litellm", providers_down),
    (
        "test_prometheus.py::test_every_target_is_up",
        "prometheus",
        stopped("redis-queue-exporter", settle=6),
    ),
    (
        "test_prometheus.py::test_application_targets_are_scraped",
        "prometheus",
        edited(
            "prometheus", "prometheus.yml", 's/job_name: "shop"/job_name: "other"/', restart=True
        ),
    ),
    (
        "test_prometheus.py::test_runs_with_its_configuration",
        "prometheus",
        edited(
            "prometheus",
            "rules/thresholds.yml",
            "s/vector/vecto/",
            restart=False,
            then="kill -HUP 1",
            user="65534",
            settle=6,
        ),
    ),
    (
        "test_prometheus.py::test_answers_a_query",
        "prometheus",
        edited("prometheus", "admin-password", "s/./x/", restart=False, settle=6),
    ),
    (
        "test_prometheus.py::test_knows_the_memory_of_every_container",
        "prometheus",
        stopped("cadvisor", settle=10),
    ),
    (
        "test_socket_proxy.py::test_shows_what_is_read",
        "socket-proxy",
        edited("socket-proxy", "haproxy.cfg", "s#containers/json[|]##", restart=True),
    ),
    (
        "test_socket_proxy.py::test_refuses_everything_else",
        "socket-proxy",
        edited("socket-proxy", "haproxy.cfg", "s/^ +http-request deny.*//", restart=True),
    ),
    (
        "test_alertmanager.py::test_hears_from_prometheus",
        "alertmanager",
        edited("alertmanager", "web.yml", 's/"prometheus":/"other":/', restart=True),
    ),
    (
        "test_alertmanager.py::test_refuses_without_credentials",
        "alertmanager",
        edited("alertmanager", "web.yml", "s/.*//", restart=False),
    ),
    (
        "test_loki.py::test_returns_what_was_written",
        "loki",
        edited(
            "loki",
            "loki.yaml",
            "s/ingestion_burst_size_mb: .*/ingestion_burst_size_mb: 0.000001/",
            restart=True,
        ),
    ),
    (
        "test_loki.py::test_keeps_no_more_than_its_disk_holds",
        "loki",
        edited("loki", "retention/overrides.yaml", 's/[0-9]+s"/60s"/', restart=False, settle=6),
    ),
    ("test_loki.py::test_holds_what_services_write", "loki", stopped("alloy-logs")),
    (
        "test_tempo.py::test_keeps_no_more_than_its_disk_holds",
        "tempo",
        edited("tempo", "retention/overrides.yaml", 's/[0-9]+s"/60s"/', restart=False, settle=6),
    ),
    (
        "test_tempo.py::test_returns_what_was_written",
        "tempo",
        edited("tempo", "tempo.yaml", "s/0.0.0.0:4318/0.0.0.0:4319/", restart=True),
    ),
    ("test_alloy.py::test_hands_a_trace_to_tempo", "alloy", stopped("tempo")),
    (
        "test_alloy.py::test_hands_a_log_to_loki_redacted",
        "alloy",
        edited(
            "alloy", "config.alloy", 's/^ +replace +=.*/    replace = "{{ .Value }}"/', restart=True
        ),
    ),
    (
        "test_alloy.py::test_hands_a_metric_to_prometheus",
        "alloy",
        edited("alloy", "config.alloy", 's#"role"#"roll"#', restart=True),
    ),
    (
        "test_alloy.py::test_shows_its_metrics_to_nobody",
        "alloy",
        edited("alloy", "config.alloy", 's#"/-/ready"#"/"#', restart=True),
    ),
    (
        "test_alloy_logs.py::test_shows_its_metrics_to_nobody",
        "alloy-logs",
        edited("alloy-logs", "config.alloy", 's#"/-/ready"#"/"#', restart=True),
    ),
    (
        "test_alloy.py::test_refuses_without_credentials",
        "alloy",
        edited("alloy", "config.alloy", "s/^ +auth +=.*//", restart=True),
    ),
    (
        "test_backup.py::test_knows_every_store_of_the_stack",
        "backup",
        edited("backup", "backup.json", 's/"name": "minio"/"name": "other"/', restart=True),
    ),
    (
        "test_backup.py::test_the_last_backup_saved_every_store",
        "backup",
        backed_up('{"stores": {"minio": {"failed": true}}}'),
    ),
    (
        "test_backup.py::test_the_repositories_are_not_damaged",
        "backup",
        backed_up('{"checks": {"first": {"at": 1, "good": false}}}'),
    ),
    (
        "test_prometheus.py::test_refuses_without_credentials",
        "prometheus",
        edited("prometheus", "web.yml", "s/.*//", restart=False),
    ),
]


# The shared stack has no embedding model, whose length each test of another length would have to
# follow, no pooler, and no TLS.
BROKEN_ELSEWHERE = {
    "test_alloy.py::test_refuses_grpc_that_is_not_encrypted",
    "test_alloy.py::test_refuses_what_is_not_encrypted",
    "test_litellm.py::test_embeds",
    "test_pooler.py::test_hands_queries_on",
    "test_pooler.py::test_refuses_what_is_not_encrypted",
    "test_pooler.py::test_refuses_without_credentials",
    "test_postgres.py::test_refuses_what_is_not_encrypted",
    "test_redis.py::test_refuses_what_is_not_encrypted",
}


@pytest.mark.parametrize(
    ("check", "service", "broken"),
    BREAKS,
    ids=[f"{check.split('::')[1]}" for check, _, _ in BREAKS],
)
def test_check_notices(
    deployed: Clone, stubs: Stubs, check: str, service: str, broken: Break
) -> None:
    """The check fails, by its own assertion, while the service is broken."""
    outputs = deployed.outputs()
    with broken(deployed, stubs):
        done = deployed.health(
            outputs, f"tests/health/{check}", "-k", f"[{service}", patience=_PATIENCE
        )
    assert done.returncode == 1, done.stdout
    assert re.search(rf"^FAILED tests/health/{re.escape(check)}\[{service}", done.stdout, re.M), (
        done.stdout
    )


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("postgres", "postgres"),
        ("redis", "redis-cache"),
        ("minio", "minio"),
        ("litellm", "litellm"),
        ("prometheus", "prometheus"),
        ("alertmanager", "alertmanager"),
        ("loki", "loki"),
        ("tempo", "tempo"),
        ("alloy", "alloy"),
        ("alloy_logs", "alloy-logs"),
        ("backup", "backup"),
    ],
)
def test_no_check_passes_for_a_service_that_is_gone(
    deployed: Clone, stubs: Stubs, file: str, part: str
) -> None:
    """A dead service refuses everybody: that must not pass for "refused without credentials"."""
    outputs = deployed.outputs()
    with stopped(part)(deployed, stubs):
        done = deployed.health(
            outputs,
            f"tests/health/test_{file}.py",
            "-m",
            "not deep",
            "-k",
            f"[{part} and not test_embeds",
            patience=_PATIENCE,
        )
    assert done.returncode == 1, done.stdout
    summary = done.stdout.strip().splitlines()[-1]
    assert " passed" not in summary, done.stdout
    assert " skipped" not in summary, done.stdout


def test_every_check_of_a_deployed_service_is_broken_here() -> None:
    """A new check comes with a way to see it fail."""
    # Pods are broken in tests/kubernetes.
    elsewhere = {"test_qdrant.py", "test_clickhouse.py", "test_grafana.py", "test_pods.py"}
    checks = {
        f"{path.name}::{name}"
        for path in HEALTH.glob("test_*.py")
        if path.name not in elsewhere
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    assert checks == {check for check, _, _ in BREAKS} | BROKEN_ELSEWHERE
    here = Path(__file__).parent
    others = "".join((here / f"test_{name}.py").read_text() for name in ("applications", "tls"))
    assert [check for check in BROKEN_ELSEWHERE if check not in others] == []


def test_everything_is_mended(deployed: Clone) -> None:
    """After all that breaking the whole suite passes again."""
    outputs = deployed.outputs()
    # LiteLLM leaves a provider that failed alone for 30 s.
    wait_until(
        lambda: deployed.health(outputs, "tests/health/test_litellm.py"),
        until=lambda done: done.returncode == 0,
        timeout=90,
        interval=5,
        reason="LiteLLM passes its checks again",
    )
    done = deployed.health(outputs, "tests/health")
    assert done.returncode == 0, done.stdout
