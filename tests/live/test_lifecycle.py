"""A stack's life, from the first `up` to `purge`, on a real engine. The order of the tests is the
order of that life.
"""

import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from tests.live.clone import LEFT_OUT, Clone
from tests.live.stubs import EXPENSIVE, Stubs
from tests.support.waiting import wait_until


def queue(clone: Clone) -> "redis.Redis":
    return redis.Redis.from_url(
        clone.outputs()["environment"]["REDIS_QUEUE_URL"], decode_responses=True, socket_timeout=5
    )


def test_first_up_ends_verified_healthy_with_a_table(deployed: Clone) -> None:
    """It says what runs, where, and what was left out and why."""
    text = deployed.first_up
    assert " passed" in text
    shown = (
        "postgres",
        "redis-cache",
        "redis-queue",
        "minio",
        "litellm",
        "prometheus",
        "node-exporter",
    )
    assert [name for name in shown if f" {name} " not in text] == []
    left_out = (
        *(f"{name}: {reason}" for name, reason in LEFT_OUT.items() if ":" not in name),
        "providers.anthropic.apiKey is not set",
    )
    assert [reason for reason in left_out if reason not in text] == []
    assert "added to Pulumi.live.yaml" not in text, "the keys were there before"


def test_only_generated_keys_were_added_to_the_stack_file(deployed: Clone) -> None:
    assert {"groundwork:masterSecret", "groundwork:instance"} <= set(deployed.settings()["config"])
    assert set(deployed.settings()) == {"config", "encryptionsalt"}
    (passphrase,) = deployed.private.glob("*/passphrase")
    assert passphrase.stat().st_mode & 0o777 == 0o600


def test_second_up_builds_and_changes_nothing(deployed: Clone) -> None:
    """Two of them at once neither: one waits for the other, and says for whom."""
    before = deployed.snapshot()
    with subprocess.Popen(
        deployed.command("up"),
        cwd=deployed.root,
        env=deployed.env(),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as first:
        time.sleep(0.5)
        text = deployed.ops("up").stdout
        beside, _ = first.communicate(timeout=300)
    assert first.returncode == 0, beside
    assert "waiting: `make up` (process" in text + beside
    assert "recovery:" not in text + beside
    assert deployed.snapshot() == before
    changes = ("building", "downloading", "installing", "created", "replaced")
    assert [word for word in changes if word in text] == []
    assert "`make up STACK=live` would change nothing" in deployed.ops("preview").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--yes", "--skip-preview", "--refresh"),
        ("preview",),
        ("refresh", "--yes", "--skip-preview"),
    ],
    ids=" ".join,
)
def test_plain_pulumi_expects_no_changes(deployed: Clone, arguments: tuple[str, ...]) -> None:
    done = deployed.pulumi(*arguments, "--expect-no-changes", "--stack", deployed.stack)
    assert done.returncode == 0, done.stdout


def test_no_derived_secret_stands_in_the_state(deployed: Clone) -> None:
    outputs = deployed.outputs()
    secrets = {
        value for credentials in outputs["credentials"].values() for value in credentials.values()
    }
    secrets |= {"stub-key-of-openrouter", "stub-key-of-openai"}
    files = [
        path for path in (deployed.root / ".groundwork" / "state").rglob("*") if path.is_file()
    ]
    assert files
    assert len(secrets) > 20
    texts = {path.name: path.read_text() for path in [*files, deployed.file]}
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []


def test_completion_falls_back_to_the_second_provider(deployed: Clone, stubs: Stubs) -> None:
    """The first provider of the chain was asked and failed; the second answered, whole and
    streamed.
    """
    stubs.failing.requests.clear()

    def asks_the_first() -> bool:
        stubs.working.requests.clear()
        # This stack has no embedding model.
        chosen = ("tests/health/test_litellm.py", "-k", "not test_embeds")
        done = deployed.health(deployed.outputs(), *chosen)
        assert done.returncode == 0, done.stdout
        assert "skipped" not in done.stdout.splitlines()[-1]
        asked = [request for request in stubs.working.requests if "messages" in request]
        assert [bool(request.get("stream")) for request in asked] == [False, True]
        return bool(stubs.failing.requests)

    # A provider that has just failed several times is put aside for half a minute.
    wait_until(asks_the_first, timeout=90, reason="the first provider of the chain is asked")


def test_env_file_is_private_and_connects(deployed: Clone) -> None:
    deployed.ops("env")
    path = deployed.root / ".env.live"
    assert path.stat().st_mode & 0o777 == 0o600
    pairs = dict(
        line.split("=", 1)
        for line in path.read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    with psycopg.connect(pairs["DATABASE_URL"], connect_timeout=5) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
    assert pairs["GROUNDWORK_NETWORK_POSTGRES"] == deployed.name("postgres")
    administrators = path.with_name(".env.live.admin")
    assert administrators.stat().st_mode & 0o777 == 0o600
    assert "DATABASE_OWNER_URL=" in administrators.read_text()
    assert "app_owner" not in path.read_text()
    path.write_text("MINE=1\n")
    done = deployed.ops("env", check=False)
    assert done.returncode != 0
    assert "--force" in done.stdout
    assert path.read_text() == "MINE=1\n", "a file of the user's own is not replaced"
    path.unlink()


_CONNECT = (
    "import socket,sys; s=socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"
)


@pytest.mark.parametrize(
    ("target", "port", "reached"),
    [
        ("redis-cache", 6379, True),
        ("postgres", 5432, False),
        ("redis-queue", 6379, True),
        ("minio", 9000, False),
    ],
)
def test_networks_let_through_what_is_declared(
    deployed: Clone, target: str, port: int, reached: bool
) -> None:
    """With real traffic from LiteLLM: to its cache and its ledger, and to no other store, by name
    or by any of its addresses.
    """
    litellm = deployed.docker.containers.get(deployed.name("litellm"))
    networks = deployed.docker.containers.get(deployed.name(target)).attrs["NetworkSettings"][
        "Networks"
    ]
    addresses = [target, *(network["IPAddress"] for network in networks.values())]
    answers = [
        litellm.exec_run(["python3", "-c", _CONNECT, address, str(port)]).exit_code == 0
        for address in addresses
    ]
    assert any(answers) == reached, dict(zip(addresses, answers, strict=True))


def test_an_application_container_reaches_what_its_networks_give(deployed: Clone) -> None:
    """An application joins a store's network, by the name in its environment, and finds the store
    by its short name.
    """
    image = deployed.docker.containers.get(deployed.name("redis-queue")).attrs["Image"]
    script = [
        "bash",
        "-c",
        "exec 3<>/dev/tcp/postgres/5432 && ! (exec 3<>/dev/tcp/redis-queue/6379) 2>/dev/null",
    ]
    container = deployed.docker.containers.create(
        image, script, entrypoint="", network=deployed.name("postgres")
    )
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0, container.logs()
    finally:
        container.remove(force=True, v=True)


def test_a_crashed_process_comes_back_with_its_data(deployed: Clone) -> None:
    with queue(deployed) as client:
        client.set("survives:crash", "yes")
        client.execute_command("WAITAOF", 1, 0, 5000)
    container = deployed.docker.containers.get(deployed.name("redis-queue"))
    before = container.attrs["State"]["Pid"]
    os.kill(before, signal.SIGKILL)
    wait_until(
        lambda: deployed.docker.containers.get(deployed.name("redis-queue")).attrs["State"]["Pid"],
        until=lambda pid: pid not in (0, before),
        timeout=60,
        reason=f"another process than {before} runs",
    )
    wait_until(lambda: deployed.ready("redis-queue"), timeout=60, reason="redis-queue is ready")
    with queue(deployed) as client:
        assert client.get("survives:crash") == "yes"


def began(deployed: Clone, name: str) -> str:
    """When a container's process was started last."""
    shown = deployed.docker.containers.get(deployed.name(name)).attrs
    return str(shown["State"]["StartedAt"])


def running_configuration(deployed: Clone) -> str:
    """What Prometheus says that it does."""
    outputs = deployed.outputs()
    endpoint = outputs["services"]["prometheus"]["endpoints"]["http"]
    login = ("admin", outputs["credentials"]["prometheus"]["admin"])
    answer = httpx.get(
        f"http://{endpoint['host']}:{endpoint['port']}/api/v1/status/config", auth=login, timeout=10
    )
    return str(answer.json()["data"]["yaml"])


def test_a_changed_setting_replaces_one_service_and_keeps_its_data(deployed: Clone) -> None:
    """And an engine that can read its files again is told to do so, without a restart."""
    with queue(deployed) as client:
        client.set("survives:resize", "yes")
    before = deployed.containers()
    reloaded = ("prometheus", "alertmanager", "alloy", "alloy-logs", "redis-cache")
    started = [began(deployed, name) for name in reloaded]
    prometheus = deployed.settings()["config"]["groundwork:prometheus"]
    deployed.configure(
        redis={"queue": {"memory": "320MiB"}}, prometheus={**prometheus, "scrapeInterval": "3s"}
    )
    assert (
        "will be interrupted while being replaced: redis-queue (about " in deployed.ops("up").stdout
    )
    after = deployed.containers()
    assert {name for name in after if after[name] != before.get(name)} == {"redis-queue", "files"}
    assert "scrape_interval: 3s" in running_configuration(deployed)
    assert [began(deployed, name) for name in reloaded] == started, "read again, not restarted"
    with queue(deployed) as client:
        assert client.get("survives:resize") == "yes"
        assert int(client.config_get("maxmemory")["maxmemory"]) == 320 * 1024 * 1024 * 50 // 100


def test_a_failed_job_fails_the_up_and_says_why(deployed: Clone) -> None:
    """Another vector length over existing rows: the job refuses, `up` says its words, and the data
    is untouched.
    """
    organisation = "22222222-2222-2222-2222-222222222222"
    url = deployed.outputs()["environment"]["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('app.organisation_id', %s, false)", [organisation])
        connection.execute(
            "INSERT INTO document_vectors (organisation_id, document_id, content, embedding) VALUES"
            " (%s, 'kept', 'kept', %s)",
            [organisation, str([0.5] * 64)],
        )
    deployed.configure(postgres={"vectors": {"dimensions": 32}})
    done = deployed.ops("up", check=False)
    assert done.returncode != 0
    assert "document_vectors holds vectors of 64 dimensions" in done.stdout
    assert "Traceback" not in done.stdout
    deployed.configure(postgres={"vectors": {"dimensions": 64}})
    deployed.ops("up")
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('app.organisation_id', %s, false)", [organisation])
        assert connection.execute(
            "SELECT content FROM document_vectors WHERE document_id = 'kept'"
        ).fetchone() == ("kept",)


def test_a_lost_volume_is_provisioned_again(deployed: Clone) -> None:
    """The stack's settings are unchanged, the volume is gone: an empty one is refused until the
    loss is accepted by name; then buckets, key and policy are made anew.
    """
    deployed.docker.containers.get(deployed.name("minio")).remove(force=True)
    deployed.docker.volumes.get(deployed.name("minio-data")).remove()
    refused = deployed.ops("up", check=False)
    assert refused.returncode != 0
    assert "make up EMPTY=minio" in " ".join(refused.stdout.split())
    assert deployed.name("minio-data") not in deployed.volumes()
    deployed.ops("up", "--empty", "minio")
    done = deployed.health(deployed.outputs(), "tests/health/test_minio.py")
    assert done.returncode == 0, done.stdout


def test_down_keeps_data_and_up_finds_it(deployed: Clone) -> None:
    with queue(deployed) as client:
        client.set("survives:down", "yes")
    volumes = deployed.volumes()
    _lost_state_is_refused_with_the_way_out(deployed)
    text = deployed.ops("down").stdout
    assert "not in its state" in text
    assert "Data is kept" in text
    assert deployed.containers() == {}
    assert deployed.volumes() == volumes
    _killed_up_converges(deployed)
    with queue(deployed) as client:
        assert client.get("survives:down") == "yes"


def _lost_state_is_refused_with_the_way_out(clone: Clone) -> None:
    """With its state gone a stack that runs would meet its own names: plain Pulumi is refused, and
    told of the command.
    """
    shutil.rmtree(clone.root / ".groundwork" / "state")
    clone.ops("init")
    running = clone.containers()
    done = clone.pulumi("up", "--yes", "--skip-preview", "--stack", clone.stack)
    assert done.returncode != 0
    assert f"make up STACK={clone.stack}" in done.stdout
    assert clone.containers() == running


def _killed_up_converges(clone: Clone) -> None:
    """The `up` after `down` is killed half-way with SIGKILL; the next one cleans up after it and
    converges.
    """
    clone.start_and_kill(["up"], when=lambda: len(clone.containers()) >= 4)
    text = clone.ops("up").stdout
    assert "recovery:" in text
    assert " passed" in text


def test_a_spent_budget_refuses_the_next_request(deployed: Clone, stubs: Stubs) -> None:
    """One answer that costs more than the day's 2 USD; soon after it no provider is asked any
    more.
    """
    environment = deployed.outputs()["environment"]

    def ask(question: str) -> httpx.Response:
        return httpx.post(
            f"{environment['LLM_BASE_URL']}/chat/completions",
            headers={"Authorization": f"Bearer {environment['LLM_API_KEY']}"},
            json={
                "model": environment["LLM_MODEL"],
                "messages": [{"role": "user", "content": question}],
                "cache": {"no-cache": True},
            },
            timeout=60,
        )

    wait_until(
        lambda: ask("a cheap question").status_code,
        until=lambda status: status == 200,
        timeout=90,
        reason="a question is answered",
    )
    assert ask(EXPENSIVE).status_code == 200
    wait_until(
        lambda: ask("a cheap question").text,
        until=lambda text: "budget" in text.lower(),
        timeout=60,
        reason="the budget is spent",
    )
    asked = len(stubs.working.requests)
    assert ask("a cheap question").status_code == 429
    assert len(stubs.working.requests) == asked
    # LiteLLM writes its spend to Redis once a second; what a restart interrupts within that second
    # is not written.
    time.sleep(5)
    deployed.docker.containers.get(deployed.name("litellm")).restart(timeout=30)
    wait_until(lambda: deployed.ready("litellm"), timeout=90, reason="litellm is ready")
    # The first provider of the chain is asked again and fails; the second, which answered before,
    # is spent.
    answers = [ask("a cheap question").status_code for _ in range(3)]
    assert 200 not in answers
    assert len(stubs.working.requests) == asked, "the spend was forgotten at the restart"


@pytest.mark.parametrize(
    "confirmed", [(), ("--confirm", "other")], ids=["no name", "another stack's"]
)
def test_purge_needs_the_stacks_name(deployed: Clone, confirmed: tuple[str, ...]) -> None:
    before = deployed.snapshot()
    assert deployed.ops("purge", *confirmed, check=False).returncode != 0
    assert deployed.snapshot() == before


def test_lost_keys_are_put_back(deployed: Clone) -> None:
    """A `git checkout` of the stack's file takes the generated keys away; they come back, and
    nothing is generated anew.
    """
    before = deployed.settings()
    deployed.configure(masterSecret=None, instance=None)
    text = deployed.ops("init").stdout
    assert "restored this stack's own keys" in text
    assert deployed.settings() == before


def test_every_process_ends_when_it_is_asked_to(deployed: Clone) -> None:
    """Also while its neighbours end: none waits for another until it is killed."""
    found = [deployed.docker.containers.get(name) for name in deployed.containers().values()]
    running = [container for container in found if container.status == "running"]
    with ThreadPoolExecutor(len(running)) as pool:
        list(pool.map(lambda container: container.stop(), running))
    killed = []
    for container in running:
        container.reload()
        if container.attrs["State"]["ExitCode"] == 128 + signal.SIGKILL:
            killed.append(container.name)
        container.start()
    assert killed == []


@pytest.fixture(scope="module")
def purged(deployed: Clone) -> Clone:
    """The shared stack after its purge: what asks for it stands at the end of this module, which
    is the last.
    """
    deployed.ops("purge", "--confirm", deployed.stack)
    return deployed


def state_of(clone: Clone) -> list[Path]:
    return list((clone.root / ".groundwork" / "state").rglob(f"stacks/**/{clone.stack}.json"))


def test_purge_leaves_nothing_behind(purged: Clone) -> None:
    assert purged.containers() == {}
    assert purged.volumes() == set()
    assert purged.docker.networks.list(filters=purged.own()) == []
    assert state_of(purged) == []


def test_a_purged_stack_can_be_made_again(purged: Clone) -> None:
    """Its file still holds the encrypted master secret, and its stack does not exist: so it is in
    a new clone, too.
    """
    assert state_of(purged) == []
    before = purged.settings()
    purged.ops("init")
    assert purged.settings() == before
