"""A stack with several applications and models."""

from typing import Any

from tests.live.clone import Clone
from tests.live.local_models import LENGTH
from tests.live.stubs import Stubs
from tests.support import lanes

SHOP = {
    "name": "shop",
    "buckets": [{"name": "shop-pictures"}],
    "models": ["default", "smart", "embed"],
    "dailyBudgetUsd": 1.0,
}
BILLING = {"name": "billing", "buckets": [{"name": "billing-invoices"}]}


def outputs_of(several: Clone, name: str) -> dict[str, Any]:
    """An application's part of the stack's outputs; the own one's are the stack's."""
    told = several.outputs()
    found: dict[str, Any] = told if name == "app" else told["applications"][name]
    return found


def _link(provider: str, model: str, **more: Any) -> dict[str, Any]:
    return {"provider": provider, "model": model, **more}


def configured(clone: Clone, stubs: Stubs) -> None:
    """Two applications beside the own one, and five models over five providers."""
    here = "http://host.docker.internal"
    clone.configure_stores(
        postgres={"vectors": {"dimensions": LENGTH}, "shadowDatabase": True},
        backup={"enabled": False},
        pooler={"enabled": True, "poolSize": 10},
        applications=[SHOP, BILLING],
        litellm={
            "enabled": True,
            # More than an application's: what is spent stops one, not the provider for all.
            "dailyBudgetUsd": 100,
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
