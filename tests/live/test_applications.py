"""Several applications in one stack, and the models that they may ask: each holds its own logins,
and reaches nothing of another's.
"""

import io
from collections.abc import Callable, Iterator
from typing import Any

import docker
import httpx
import psycopg
import pytest
import redis
from minio import Minio
from minio.error import S3Error

from tests.live.clone import Clone, copy_tree
from tests.live.local_models import ANSWER, LENGTH
from tests.live.stubs import ANSWER as PAID_ANSWER
from tests.live.stubs import EXPENSIVE, Stubs
from tests.support import lanes
from tests.support.waiting import wait_until

SHOP = {
    "name": "shop",
    "buckets": [{"name": "shop-pictures"}],
    "models": ["default", "smart", "embed"],
    "dailyBudgetUsd": 1.0,
}
BILLING = {"name": "billing", "buckets": [{"name": "billing-invoices"}]}


def _link(provider: str, model: str, **more: Any) -> dict[str, Any]:
    return {"provider": provider, "model": model, **more}


@pytest.fixture(scope="module")
def stack(
    engine: docker.DockerClient, stubs: Stubs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clone]:
    """Two applications beside the own one, and four models over five providers."""
    clone = Clone(copy_tree(tmp_path_factory.mktemp("several") / "clone"), engine, stack="several")
    here = "http://host.docker.internal"
    clone.configure_stores(
        postgres={"vectors": {"dimensions": LENGTH}, "shadowDatabase": True},
        backup={"enabled": False},
        applications=[SHOP, BILLING],
        litellm={
            "enabled": True,
            "models": [
                {"name": "smart", "providers": [_link("openai", "gpt-4o-mini")]},
                {
                    "name": "embed",
                    "kind": "embedding",
                    "dimensions": LENGTH,
                    "providers": [
                        _link("openrouter", "openai/text-embedding-3-small"),
                        _link("ollama", "nomic-embed-text"),
                    ],
                },
                {
                    "name": "priced",
                    "kind": "embedding",
                    "dimensions": LENGTH,
                    "providers": [_link("openai", "text-embedding-3-small")],
                },
                {
                    "name": "sort",
                    "kind": "rerank",
                    "providers": [_link("cohere", "rerank-v3.5")],
                },
            ],
        },
    )
    clone.ops("init")
    lanes.register(clone.instance)
    clone.set_keys(
        secrets={
            "litellm.providers.openrouter.apiKey": "stub-key-of-openrouter",
            "litellm.providers.openai.apiKey": "stub-key-of-openai",
            "litellm.providers.cohere.apiKey": "stub-key-of-cohere",
        },
        plain={
            "litellm.providers.openrouter.baseUrl": f"{here}:{stubs.failing_port}/v1",
            "litellm.providers.openai.baseUrl": f"{here}:{stubs.working_port}/v1",
            "litellm.providers.cohere.baseUrl": stubs.local.url,
            "litellm.providers.ollama.url": stubs.local.url,
        },
    )
    try:
        clone.ops("up")
        yield clone
    finally:
        clone.remove_everything()


def environment(stack: Clone, name: str) -> dict[str, str]:
    """An application's environment; the own one's is the stack's."""
    told = stack.outputs()
    found = told["environment"] if name == "app" else told["applications"][name]["environment"]
    return dict(found)


def ask(stack: Clone, name: str, path: str, **body: Any) -> httpx.Response:
    told = environment(stack, name)
    return httpx.post(
        f"{told['LLM_BASE_URL']}/{path}",
        headers={"Authorization": f"Bearer {told['LLM_API_KEY']}"},
        json={**body, "cache": {"no-cache": True}},
        timeout=60,
    )


def complete(
    stack: Clone, name: str, model: str, question: str = "which colour?"
) -> httpx.Response:
    messages = [{"role": "user", "content": question}]
    return ask(stack, name, "chat/completions", model=model, messages=messages)


def content(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def test_each_application_has_an_environment_file(stack: Clone) -> None:
    stack.ops("env")
    for name in ("shop", "billing"):
        path = stack.root / f".env.several.{name}"
        assert path.stat().st_mode & 0o777 == 0o600
        lines = path.read_text().splitlines()
        pairs = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        own = environment(stack, name)
        assert {key: pairs[key] for key in own} == own
        assert f"{name}_owner" not in path.read_text()
        admin = path.with_name(f"{path.name}.admin").read_text()
        assert f"postgresql://{name}_owner:" in admin
        assert "MASTER_KEY" not in admin


def test_a_table_of_the_owner_is_the_applications_to_use(stack: Clone) -> None:
    owner = stack.outputs()["applications"]["shop"]["administration"]["DATABASE_OWNER_URL"]
    with psycopg.connect(owner, autocommit=True) as db:
        db.execute("CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY, what text)")
    with psycopg.connect(environment(stack, "shop")["DATABASE_URL"], autocommit=True) as db:
        db.execute("INSERT INTO orders (what) VALUES ('a book')")
        assert db.execute("SELECT what FROM orders").fetchall() == [("a book",)]
        assert db.execute("SELECT count(*) FROM document_vectors").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("CREATE TABLE mine (id int)")


@pytest.mark.parametrize("name", ["shop", "billing", "app"])
def test_no_application_enters_anothers_database(stack: Clone, name: str) -> None:
    url = environment(stack, name)["DATABASE_URL"]
    base, _, own = url.rpartition("/")
    assert own == name
    for other in {"shop", "billing", "app", "shop_shadow", "litellm"} - {own}:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(f"{base}/{other}")


def test_the_shadow_database_can_be_emptied_and_filled_by_its_owner(stack: Clone) -> None:
    """As Prisma Migrate does before it applies every migration to it."""
    url = stack.outputs()["applications"]["shop"]["administration"]["SHADOW_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as db:
        for _ in range(2):
            db.execute('DROP SCHEMA "public" CASCADE')
            db.execute('CREATE SCHEMA "public"')
            db.execute('CREATE EXTENSION IF NOT EXISTS "vector"')
            db.execute("CREATE TABLE t (embedding vector(3))")


@pytest.mark.parametrize("use", ["CACHE", "QUEUE"])
def test_redis_keys_and_channels_are_the_applications_own(stack: Clone, use: str) -> None:
    own = environment(stack, "shop")
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
def test_buckets_are_the_applications_own(stack: Clone, name: str) -> None:
    told = environment(stack, name)
    store, own = buckets_of(told), told["S3_BUCKET"]
    put(store, own)
    assert store.get_object(own, "k").read() == b"own"
    for other in {"shop-pictures", "billing-invoices", "documents"} - {own}:
        with pytest.raises(S3Error, match="AccessDenied"):
            store.get_object(other, "k")
        with pytest.raises(S3Error, match="AccessDenied"):
            put(store, other)


def test_the_local_model_is_asked_first_in_its_own_protocol(stack: Clone, stubs: Stubs) -> None:
    stubs.local.requests.clear()
    answer = complete(stack, "billing", "default")
    assert content(answer) == ANSWER
    path, request = stubs.local.requests[-1]
    assert (path, request["model"]) == ("/api/chat", "llama3.2")
    assert float(answer.headers.get("x-litellm-response-cost", "0")) == 0.0


def test_a_streamed_answer_of_the_local_model_is_whole(stack: Clone) -> None:
    messages = [{"role": "user", "content": "which colour?"}]
    answer = ask(
        stack, "billing", "chat/completions", model="default", messages=messages, stream=True
    )
    assert answer.status_code == 200, answer.text
    assert answer.text.rstrip().endswith("data: [DONE]")
    assert "Blue, " in answer.text


def test_an_embedding_falls_back_and_has_the_declared_length(stack: Clone, stubs: Stubs) -> None:
    stubs.failing.requests.clear()
    told = environment(stack, "shop")
    assert (told["LLM_EMBEDDING_MODEL"], told["LLM_EMBEDDING_DIMENSIONS"]) == ("embed", "64")

    def asks_the_first() -> bool:
        answer = ask(stack, "shop", "embeddings", model="embed", input=["a", "bb"])
        assert answer.status_code == 200, answer.text
        assert [len(item["embedding"]) for item in answer.json()["data"]] == [LENGTH, LENGTH]
        return bool(stubs.failing.requests)

    # A provider that has just failed several times is put aside for half a minute.
    wait_until(asks_the_first, timeout=90, reason="the first provider is asked")


def test_documents_are_reranked(stack: Clone) -> None:
    told = environment(stack, "billing")
    documents = ["short", "a much longer document", "medium one"]
    answer = ask(
        stack, "billing", "rerank", model=told["LLM_RERANK_MODEL"], query="q", documents=documents
    )
    assert answer.status_code == 200, answer.text
    assert [item["index"] for item in answer.json()["results"]] == [1, 2, 0]


def test_an_application_asks_its_own_models_only(stack: Clone) -> None:
    refused = ask(stack, "shop", "rerank", model="sort", query="q", documents=["a"])
    assert refused.status_code == 403, refused.text
    messages = [{"role": "user", "content": "x"}]
    beside = ask(
        stack, "shop", "chat/completions", model="smart", messages=messages, fallbacks=["sort"]
    )
    assert beside.status_code == 403, beside.text
    told = environment(stack, "shop")
    listed = httpx.get(
        f"{told['LLM_BASE_URL']}/models",
        headers={"Authorization": f"Bearer {told['LLM_API_KEY']}"},
        timeout=10,
    ).json()["data"]
    assert {item["id"] for item in listed} == {"default", "smart", "embed"}


@pytest.mark.parametrize("path", ["/key/generate", "/model/new", "/user/new", "/config/update"])
def test_an_applications_key_administers_nothing(stack: Clone, path: str) -> None:
    told = environment(stack, "shop")
    answer = httpx.post(
        told["LLM_BASE_URL"].removesuffix("/v1") + path,
        headers={"Authorization": f"Bearer {told['LLM_API_KEY']}"},
        json={},
        timeout=10,
    )
    assert answer.status_code == 403, answer.text


def test_a_spent_budget_stops_one_application(stack: Clone) -> None:
    """The others go on; a restart forgets nothing."""
    assert content(complete(stack, "shop", "smart")) == PAID_ANSWER
    # It costs fifteen dollars, more than the application's one, and than the stack's two; so the
    # paid provider stops for all, and the free one only for whoever has spent its own.
    assert content(complete(stack, "shop", "smart", EXPENSIVE)) == PAID_ANSWER
    refused = wait_until(
        lambda: complete(stack, "shop", "default"),
        until=lambda answer: answer.status_code == 429,
        timeout=30,
        reason="the application's budget is spent",
    )
    assert "shop has spent its daily budget of 1 USD" in refused.text
    assert content(complete(stack, "billing", "default")) == ANSWER
    stack.docker.containers.get(stack.name("litellm")).restart(timeout=30)
    wait_until(lambda: stack.ready("litellm"), timeout=90, reason="litellm is ready")
    assert complete(stack, "shop", "default").status_code == 429
    assert content(complete(stack, "billing", "default")) == ANSWER


def test_what_is_spent_and_saved_is_told(stack: Clone) -> None:
    """By day, by month and by application; an answer from the cache saves its price."""
    told = environment(stack, "billing")

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
                + stack.outputs()["credentials"]["litellm"]["metrics-key"]
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


def test_a_second_up_changes_nothing(stack: Clone) -> None:
    before = stack.containers()
    stack.ops("up")
    assert stack.containers() == before


def test_an_application_that_is_no_longer_declared_keeps_its_data(stack: Clone) -> None:
    """Its logins end everywhere, and are back with its data once it is declared again."""
    was = environment(stack, "shop")
    store = buckets_of(was)
    stack.configure(applications=[BILLING])
    stack.ops("up")
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

    stack.configure(applications=[SHOP, BILLING])
    stack.ops("up")
    assert environment(stack, "shop") == was
    with psycopg.connect(was["DATABASE_URL"]) as db:
        assert db.execute("SELECT what FROM orders").fetchall() == [("a book",)]
    assert store.get_object("shop-pictures", "k").read() == b"own"
