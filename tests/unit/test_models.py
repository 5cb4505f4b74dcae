"""The models that LiteLLM offers: chains, kinds, lengths, prices."""

from typing import Any

import pytest
import yaml

from infra import validation
from tests.unit.conftest import make_platform, make_settings, text

PROVIDERS = {
    "ollama": {"url": "http://models.example.org:11434"},
    "openai": {"apiKey": "key-oa", "baseUrl": "http://stub:1"},
    "anthropic": {"apiKey": "key-an"},
    "cohere": {"apiKey": "key-co"},
}


def embedding(dimensions: int | None = 1536, **more: Any) -> dict[str, Any]:
    link = {"provider": "openai", "model": "text-embedding-3-small"}
    length = {} if dimensions is None else {"dimensions": dimensions}
    return {"name": "embed", "kind": "embedding", "providers": [link], **length, **more}


def model(**more: Any) -> dict[str, Any]:
    return {"name": "fast", "providers": [{"provider": "anthropic", "model": "haiku"}], **more}


def deployments(**keys: Any) -> list[dict[str, Any]]:
    litellm = make_platform(litellm={"providers": PROVIDERS, **keys}).by_name("litellm")
    found: list[dict[str, Any]] = yaml.safe_load(text(litellm, "config.yaml"))["model_list"]
    return found


def asked(name: str, **keys: Any) -> list[tuple[str, int, int]]:
    """(model, order, weight) of the providers behind a name."""
    return [
        (
            item["litellm_params"]["model"],
            item["litellm_params"]["order"],
            item["litellm_params"]["weight"],
        )
        for item in deployments(**keys)
        if item["model_name"] == name
    ]


def test_each_model_has_its_own_chain() -> None:
    chain = [
        {"provider": "anthropic", "model": "sonnet"},
        {"provider": "openai", "model": "gpt"},
    ]
    found = asked("smart", models=[model(), model(name="smart", providers=chain)])
    assert found == [("anthropic/sonnet", 1, 1), ("openai/gpt", 2, 1)]


def test_providers_with_the_same_order_share_by_weight() -> None:
    chain = [
        {"provider": "anthropic", "model": "a", "order": 1, "weight": 3},
        {"provider": "openai", "model": "b", "order": 1},
        {"provider": "ollama", "model": "c", "order": 2},
    ]
    assert asked("fast", models=[model(providers=chain)]) == [
        ("anthropic/a", 1, 3),
        ("openai/b", 1, 1),
        ("ollama_chat/c", 2, 1),
    ]


def test_the_short_form_stays_beside_declared_models() -> None:
    assert [name for name, *_ in asked("default", models=[model()])] == [
        "ollama_chat/llama3.2",
        "openai/gpt-4o-mini",
        "anthropic/claude-3-5-haiku-latest",
    ]


def test_a_declared_model_replaces_the_short_form_of_its_name() -> None:
    assert asked("default", models=[model(name="default")]) == [("anthropic/haiku", 1, 1)]


@pytest.mark.parametrize(
    ("kind", "provider", "prefix"),
    [
        ("chat", "ollama", "ollama_chat"),
        ("embedding", "ollama", "ollama"),
        ("embedding", "openai", "openai"),
        ("rerank", "cohere", "cohere"),
    ],
)
def test_litellm_is_told_the_kind(kind: str, provider: str, prefix: str) -> None:
    length = {"dimensions": 1536} if kind == "embedding" else {}
    link = {"provider": provider, "model": "m"}
    declared = {"name": "x", "kind": kind, "providers": [link], **length}
    found = next(item for item in deployments(models=[declared]) if item["model_name"] == "x")
    assert found["litellm_params"]["model"] == f"{prefix}/m"
    assert found["model_info"]["mode"] == kind


def test_local_models_cost_nothing() -> None:
    free = [
        item["litellm_params"]["model"]
        for item in deployments(models=[])
        if item["model_info"].get("input_cost_per_token") == 0
        and item["model_info"].get("output_cost_per_token") == 0
    ]
    assert free == ["ollama_chat/llama3.2"]


@pytest.mark.parametrize(
    ("what", "keys", "key", "fix"),
    [
        (
            "the same name twice",
            {"models": [model(), model()]},
            "groundwork:litellm.models",
            "rename",
        ),
        (
            "an embedding of unknown length",
            {"models": [embedding(None)]},
            "groundwork:litellm.models.0.dimensions",
            "set it",
        ),
        (
            "a chat model with a length",
            {"models": [model(dimensions=3)]},
            "groundwork:litellm.models.0.dimensions",
            "remove it",
        ),
        (
            "an embedding longer than the table's",
            {"models": [embedding(3072)]},
            "groundwork:litellm.models.0.dimensions",
            "equal",
        ),
        (
            "a provider without such models",
            {"models": [model(kind="rerank")]},
            "groundwork:litellm.models.0.providers.0.provider",
            "cohere",
        ),
        (
            "a provider without a key",
            {"models": [model(providers=[{"provider": "openrouter", "model": "m"}])]},
            "groundwork:litellm.providers.openrouter.apiKey",
            "set it",
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) and " " in value else "",
)
def test_contradictions_are_refused(what: str, keys: dict[str, Any], key: str, fix: str) -> None:
    found = validation.check(make_settings(litellm={"providers": PROVIDERS, **keys}))
    assert [problem.key for problem in found] == [key], what
    assert fix in found[0].fix


def test_only_the_first_embedding_model_is_held_to_the_table() -> None:
    models = [embedding(), embedding(3072, name="large")]
    assert validation.check(make_settings(litellm={"providers": PROVIDERS, "models": models})) == []
