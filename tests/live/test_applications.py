"""Several applications in one stack, and the models that they may ask: each holds its own logins,
and reaches nothing of another's.
"""

import io
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest
import redis
from minio import Minio
from minio.error import S3Error

from tests.live.clone import Clone, superuser_url
from tests.live.local_models import ANSWER, LENGTH
from tests.live.several import BILLING, SHOP, outputs_of
from tests.live.stubs import ANSWER as PAID_ANSWER
from tests.live.stubs import EXPENSIVE, Stubs
from tests.live.test_fault_injection import edited
from tests.support.waiting import wait_until


def environment(several: Clone, name: str) -> dict[str, str]:
    """An application's environment; the own one's is the stack's."""
    return dict(outputs_of(several, name)["environment"])


def ask(several: Clone, name: str, path: str, **body: Any) -> httpx.Response:
    told = environment(several, name)
    return httpx.post(
        f"{told['LLM_BASE_URL']}/{path}",
        headers={"Authorization": f"Bearer {told['LLM_API_KEY']}"},
        json={**body, "cache": {"no-cache": True}},
        timeout=60,
    )


def complete(
    several: Clone, name: str, model: str, question: str = "which colour?"
) -> httpx.Response:
    messages = [{"role": "user", "content": question}]
    return ask(several, name, "chat/completions", model=model, messages=messages)


def content(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def test_each_application_has_an_environment_file(several: Clone) -> None:
    several.ops("env")
    for name in ("shop", "billing"):
        path = several.root / f".env.several.{name}"
        assert path.stat().st_mode & 0o777 == 0o600
        lines = path.read_text().splitlines()
        pairs = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        own = environment(several, name)
        assert {key: pairs[key] for key in own} == own
        assert f"{name}_owner" not in path.read_text()
        admin = path.with_name(f"{path.name}.admin").read_text()
        assert f"postgresql://{name}_owner:" in admin
        assert "MASTER_KEY" not in admin


def test_a_table_of_the_owner_is_the_applications_to_use(several: Clone) -> None:
    owner = several.outputs()["applications"]["shop"]["administration"]["DATABASE_OWNER_URL"]
    with psycopg.connect(owner, autocommit=True) as db:
        db.execute("CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY, what text)")
    with psycopg.connect(environment(several, "shop")["DATABASE_URL"], autocommit=True) as db:
        db.execute("INSERT INTO orders (what) VALUES ('a book')")
        assert db.execute("SELECT what FROM orders").fetchall() == [("a book",)]
        assert db.execute("SELECT count(*) FROM document_vectors").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("CREATE TABLE mine (id int)")


@pytest.mark.parametrize("name", ["shop", "billing", "app"])
def test_no_application_enters_anothers_database(several: Clone, name: str) -> None:
    url = environment(several, name)["DATABASE_URL"]
    base, _, own = url.rpartition("/")
    assert own == name
    for other in {"shop", "billing", "app", "shop_shadow", "litellm"} - {own}:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(f"{base}/{other}")


def test_five_hundred_clients_share_ten_connections(several: Clone) -> None:
    """All are connected at once, each asks in transactions; none is refused, and none sees what
    another one has set.
    """
    url = environment(several, "shop")["DATABASE_POOL_URL"]
    owner = several.outputs()["applications"]["shop"]["administration"]["DATABASE_OWNER_URL"]
    with ExitStack() as opened:
        clients = [opened.enter_context(psycopg.connect(url)) for _ in range(500)]
        for number, client in enumerate(clients):
            with client.transaction():
                client.execute("SELECT set_config('app.number', %s, true)", [str(number)])
                shown = client.execute("SELECT current_setting('app.number')").fetchone()
                assert shown == (str(number),)
        with psycopg.connect(owner) as db:
            row = db.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop'"
            ).fetchone()
        assert row is not None
        assert 1 <= row[0] <= 10
        # What one sets for its session, another one of the same connections does not see.
        clients[1].execute("SELECT set_config('app.organisation_id', 'of the first', false)")
        clients[1].commit()
        for client in clients[2:40]:
            row = client.execute("SELECT current_setting('app.organisation_id', true)").fetchone()
            client.commit()
            assert row in ((None,), ("",))
        # Prepared once, asked often, by whichever connection serves the client.
        for _ in range(12):
            assert clients[0].execute("SELECT %s::int", [7], prepare=True).fetchone() == (7,)
            clients[0].commit()
    with pytest.raises(psycopg.OperationalError, match=r"SASL|password"):
        psycopg.connect(url, password="not-the-password")


def test_the_checks_notice_an_embedding_model_that_is_gone(several: Clone, stubs: Stubs) -> None:
    renamed = 's/model_name: "embed"/model_name: "other"/'
    with edited("litellm", "config.yaml", renamed, restart=True)(several, stubs):
        done = several.health(several.outputs(), "tests/health/test_litellm.py", "-k", "embeds")
    assert done.returncode == 1, done.stdout
    assert "FAILED tests/health/test_litellm.py::test_embeds" in done.stdout


def test_the_checks_notice_a_pooler_without_its_server(several: Clone) -> None:
    container = several.docker.containers.get(several.name("pooler"))
    container.stop(timeout=5)
    try:
        done = several.health(several.outputs(), "tests/health/test_pooler.py")
    finally:
        container.start()
    assert done.returncode == 1, done.stdout
    for check in (
        "test_pooler.py::test_hands_queries_on",
        "test_pooler.py::test_refuses_without_credentials",
    ):
        assert f"FAILED tests/health/{check}" in done.stdout


def test_dashboards_read_and_write_nothing(several: Clone) -> None:
    """Grafana's role sees tables of applications, and no row that row-level security hides."""
    owner = several.outputs()["applications"]["shop"]["administration"]["DATABASE_OWNER_URL"]
    password = several.outputs()["credentials"]["postgres"]["grafana"]
    with psycopg.connect(owner, user="grafana", password=password, autocommit=True) as db:
        assert db.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM document_vectors").fetchone() == (0,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            db.execute("INSERT INTO orders (what) VALUES ('x')")
        db.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("INSERT INTO orders (what) VALUES ('x')")


def test_the_shadow_database_can_be_emptied_and_filled_by_its_owner(several: Clone) -> None:
    """As Prisma Migrate does before it applies every migration to it."""
    url = several.outputs()["applications"]["shop"]["administration"]["SHADOW_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as db:
        for _ in range(2):
            db.execute('DROP SCHEMA "public" CASCADE')
            db.execute('CREATE SCHEMA "public"')
            db.execute('CREATE EXTENSION IF NOT EXISTS "vector"')
            db.execute("CREATE TABLE t (embedding vector(3))")


@pytest.mark.parametrize("use", ["CACHE", "QUEUE"])
def test_redis_keys_and_channels_are_the_applications_own(several: Clone, use: str) -> None:
    own = environment(several, "shop")
    with redis.Redis.from_url(own[f"REDIS_{use}_URL"], decode_responses=True) as client:
        assert client.set("shop:basket", "1", ex=60)
        assert client.get("shop:basket") == "1"
        assert client.eval("return redis.call('get', KEYS[1])", 1, "shop:basket") == "1"
        client.publish("shop:news", "x")
        script = "return redis.call('get', KEYS[1])"
        refused: dict[str, Callable[[], object]] = {
            "another's key": lambda: client.get("billing:secret"),
            "a key without a prefix": lambda: client.set("bare", "1"),
            "another's channel": lambda: client.publish("billing:news", "x"),
            "another's key in a script": lambda: client.eval(script, 1, "billing:secret"),
            "names of keys": lambda: client.scan(0),
            "all names of keys": lambda: client.keys("*"),
            "any name of a key": lambda: client.execute_command("RANDOMKEY"),
            "emptying": lambda: client.execute_command("FLUSHDB"),
            "a library for all": lambda: client.execute_command(
                "FUNCTION", "LOAD", "REPLACE", "#!lua name=own\nreturn 1"
            ),
            "names of keys as they change": lambda: client.execute_command(
                "CLIENT", "TRACKING", "ON", "BCAST"
            ),
        }
        allowed = [what for what, attempt in refused.items() if not _is_refused(attempt)]
        assert allowed == []


def _is_refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except redis.exceptions.ResponseError as error:
        return "permission" in str(error).lower()
    return False


def buckets_of(told: dict[str, str]) -> Minio:
    return Minio(
        told["S3_ENDPOINT"].removeprefix("http://"),
        access_key=told["S3_ACCESS_KEY_ID"],
        secret_key=told["S3_SECRET_ACCESS_KEY"],
        secure=False,
    )


def put(store: Minio, bucket: str) -> None:
    store.put_object(bucket, "k", io.BytesIO(b"own"), 3)


@pytest.mark.parametrize("name", ["shop", "billing", "app"])
def test_buckets_are_the_applications_own(several: Clone, name: str) -> None:
    told = environment(several, name)
    store, own = buckets_of(told), told["S3_BUCKET"]
    put(store, own)
    assert store.get_object(own, "k").read() == b"own"
    for other in {"shop-pictures", "billing-invoices", "documents"} - {own}:
        with pytest.raises(S3Error, match="AccessDenied"):
            store.get_object(other, "k")
        with pytest.raises(S3Error, match="AccessDenied"):
            put(store, other)


def test_the_local_model_is_asked_first_in_its_own_protocol(several: Clone, stubs: Stubs) -> None:
    stubs.local.requests.clear()
    answer = complete(several, "billing", "default")
    assert content(answer) == ANSWER
    path, request = stubs.local.requests[-1]
    assert (path, request["model"]) == ("/api/chat", "llama3.2")
    assert float(answer.headers.get("x-litellm-response-cost", "0")) == 0.0


def test_a_streamed_answer_of_the_local_model_is_whole(several: Clone) -> None:
    messages = [{"role": "user", "content": "which colour?"}]
    answer = ask(
        several, "billing", "chat/completions", model="default", messages=messages, stream=True
    )
    assert answer.status_code == 200, answer.text
    assert answer.text.rstrip().endswith("data: [DONE]")
    assert "Blue, " in answer.text


def test_an_embedding_falls_back_and_has_the_declared_length(several: Clone, stubs: Stubs) -> None:
    stubs.failing.requests.clear()
    told = environment(several, "shop")
    assert (told["LLM_EMBEDDING_MODEL"], told["LLM_EMBEDDING_DIMENSIONS"]) == ("embed", "64")

    def asks_the_first() -> bool:
        answer = ask(several, "shop", "embeddings", model="embed", input=["a", "bb"])
        assert answer.status_code == 200, answer.text
        assert [len(item["embedding"]) for item in answer.json()["data"]] == [LENGTH, LENGTH]
        return bool(stubs.failing.requests)

    # A provider that has just failed several times is put aside for half a minute.
    wait_until(asks_the_first, timeout=90, reason="the first provider is asked")


def test_documents_are_reranked(several: Clone) -> None:
    told = environment(several, "billing")
    documents = ["short", "a much longer document", "medium one"]
    answer = ask(
        several, "billing", "rerank", model=told["LLM_RERANK_MODEL"], query="q", documents=documents
    )
    assert answer.status_code == 200, answer.text
    assert [item["index"] for item in answer.json()["results"]] == [1, 2, 0]


def test_an_application_asks_its_own_models_only(several: Clone) -> None:
    refused = ask(several, "shop", "rerank", model="sort", query="q", documents=["a"])
    assert refused.status_code == 403, refused.text
    messages = [{"role": "user", "content": "x"}]
    beside = ask(
        several, "shop", "chat/completions", model="smart", messages=messages, fallbacks=["sort"]
    )
    assert beside.status_code == 403, beside.text
    told = environment(several, "shop")
    listed = httpx.get(
        f"{told['LLM_BASE_URL']}/models",
        headers={"Authorization": f"Bearer {told['LLM_API_KEY']}"},
        timeout=10,
    ).json()["data"]
    assert {item["id"] for item in listed} == {"default", "smart", "embed"}


@pytest.mark.parametrize("path", ["/key/generate", "/model/new", "/user/new", "/config/update"])
def test_an_applications_key_administers_nothing(several: Clone, path: str) -> None:
    told = environment(several, "shop")
    answer = httpx.post(
        told["LLM_BASE_URL"].removesuffix("/v1") + path,
        headers={"Authorization": f"Bearer {told['LLM_API_KEY']}"},
        json={},
        timeout=10,
    )
    assert answer.status_code == 403, answer.text


def test_a_spent_budget_stops_one_application(several: Clone) -> None:
    """The others go on; a restart forgets nothing."""
    assert content(complete(several, "shop", "smart")) == PAID_ANSWER
    # It costs fifteen dollars, more than the application's one. The free provider stops, too.
    assert content(complete(several, "shop", "smart", EXPENSIVE)) == PAID_ANSWER
    refused = wait_until(
        lambda: complete(several, "shop", "default"),
        until=lambda answer: answer.status_code == 429,
        timeout=30,
        reason="the application's budget is spent",
    )
    assert "shop has spent its daily budget of 1 USD" in refused.text
    assert content(complete(several, "billing", "default")) == ANSWER
    several.docker.containers.get(several.name("litellm")).restart(timeout=30)
    wait_until(lambda: several.ready("litellm"), timeout=90, reason="litellm is ready")
    assert complete(several, "shop", "default").status_code == 429
    assert content(complete(several, "billing", "default")) == ANSWER


def test_what_is_spent_and_saved_is_told(several: Clone) -> None:
    """By day, by month and by application; an answer from the cache saves its price."""
    told = environment(several, "billing")

    def ask_once() -> None:
        answer = httpx.post(
            f"{told['LLM_BASE_URL']}/embeddings",
            headers={"Authorization": f"Bearer {told['LLM_API_KEY']}"},
            json={"model": "priced", "input": "the same question"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text

    def metrics() -> dict[str, float]:
        answer = httpx.get(
            told["LLM_BASE_URL"].removesuffix("/v1") + "/metrics/",
            headers={
                "Authorization": "Bearer "
                + several.outputs()["credentials"]["litellm"]["metrics-key"]
            },
            timeout=20,
        )
        assert answer.status_code == 200, answer.text
        lines = [line.rsplit(" ", 1) for line in answer.text.splitlines() if line[:3] == "ai_"]
        return {name: float(value) for name, value in lines}

    ask_once()
    saved = 'ai_saved_this_month_usd{application="billing"}'

    def both_told() -> dict[str, float]:
        ask_once()
        return metrics()

    found = wait_until(
        both_told,
        until=lambda told: told.get(saved, 0) > 0,
        timeout=30,
        reason="the cache has saved something",
    )
    # What the budget's test has spent, before the restart in it.
    assert found['ai_spent_this_month_usd{application="shop"}'] > 1
    days = [value for name, value in found.items() if name.startswith("ai_spent_day_usd{day=")]
    months = [value for name, value in found.items() if name.startswith("ai_spent_month_usd{")]
    assert sum(days) == pytest.approx(sum(months))
    assert sum(months) > found['ai_spent_this_month_usd{application="shop"}']


def test_a_second_up_changes_nothing(several: Clone) -> None:
    before = several.containers()
    several.ops("up")
    assert several.containers() == before


def test_an_application_that_is_no_longer_declared_keeps_its_data(several: Clone) -> None:
    """Its logins end everywhere, and are back with its data once it is declared again."""
    was = environment(several, "shop")
    store = buckets_of(was)
    several.configure(applications=[BILLING])
    several.ops("up")
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(was["DATABASE_URL"])
    with (
        redis.Redis.from_url(was["REDIS_CACHE_URL"]) as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()
    with pytest.raises(S3Error, match=r"InvalidAccessKeyId|AccessDenied"):
        store.get_object("shop-pictures", "k")
    models = httpx.get(
        f"{was['LLM_BASE_URL']}/models",
        headers={"Authorization": f"Bearer {was['LLM_API_KEY']}"},
        timeout=10,
    )
    assert models.status_code == 401

    several.configure(applications=[SHOP, BILLING])
    several.ops("up")
    assert environment(several, "shop") == was
    with psycopg.connect(was["DATABASE_URL"]) as db:
        assert db.execute("SELECT what FROM orders").fetchall() == [("a book",)]
    assert store.get_object("shop-pictures", "k").read() == b"own"


def test_a_rotation_changes_every_password_of_postgres_and_replaces_nothing(
    several: Clone,
) -> None:
    """The superuser's too, and again after that."""
    running = several.containers()["postgres"]
    database = {**several.settings()["config"]["groundwork:postgres"]}
    for generation in (2, 3):
        was = several.outputs()
        several.configure(postgres={**database, "secretGeneration": generation})
        several.ops("up")
        assert several.containers()["postgres"] == running
        for url in (was["environment"]["DATABASE_URL"], superuser_url(was["administration"])):
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(url)
        psycopg.connect(superuser_url(several.outputs()["administration"])).close()
