"""The models that LiteLLM offers, each over its own chain of providers."""

from collections.abc import Collection, Iterator
from typing import Any

from infra.refusal import Violation, repeated
from infra.settings import Settings
from infra.settings.gateway import Account, LanguageModel, Litellm, Providers
from infra.settings.stores import Postgres

LOCAL = frozenset({"ollama", "ollama_chat"})
"""LiteLLM's prefixes of what costs nothing."""
_KINDS = {
    "ollama": ("chat", "embedding"),
    "openrouter": ("chat", "embedding"),
    "openai": ("chat", "embedding"),
    "anthropic": ("chat",),
    "cohere": ("embedding", "rerank"),
}
_SHORT = ("ollama", "openrouter", "openai", "anthropic")
"""The chain of the short form, in order."""


def offered(settings: Litellm) -> tuple[LanguageModel, ...]:
    """The declared models, and the short form's unless one of them has its name or no provider is
    configured.
    """
    declared = settings.models
    short = [name for name in _SHORT if _usable(settings.providers, name)]
    if not short or settings.model_name in {model.name for model in declared}:
        return declared
    chain = [{"provider": name, "model": getattr(settings.providers, name).model} for name in short]
    return (
        LanguageModel.model_validate({"name": settings.model_name, "providers": chain}),
        *declared,
    )


def first(settings: Litellm, kind: str, among: Collection[str] = ()) -> LanguageModel | None:
    """The model of a kind that an application is told of; `among` are those that it may request,
    all if empty.
    """
    return next(_allowed(settings, kind, among), None)


def chat(settings: Litellm, among: Collection[str] = ()) -> str | None:
    """The chat model that an application is told of: the stack's, if it may request that."""
    if not offered(settings):
        return settings.model_name
    allowed = [model.name for model in _allowed(settings, "chat", among)]
    return settings.model_name if settings.model_name in allowed else next(iter(allowed), None)


def _allowed(settings: Litellm, kind: str, among: Collection[str]) -> Iterator[LanguageModel]:
    for model in offered(settings):
        if model.kind == kind and (not among or model.name in among):
            yield model


def deployments(settings: Litellm) -> list[dict[str, Any]]:
    """LiteLLM's `model_list`: an entry for each provider of each model."""
    return [
        {
            "model_name": model.name,
            "litellm_params": _parameters(settings.providers, model, position),
            "model_info": _information(model, link.provider),
        }
        for model in offered(settings)
        for position, link in enumerate(model.providers)
    ]


def _parameters(providers: Providers, model: LanguageModel, position: int) -> dict[str, Any]:
    link = model.providers[position]
    found: dict[str, Any] = {"model": f"{_prefix(link.provider, model.kind)}/{link.model}"}
    account = getattr(providers, link.provider)
    if isinstance(account, Account):
        found["api_key"] = account.api_key
        if account.base_url:
            found["api_base"] = account.base_url
    else:
        found["api_base"] = account.url
    if model.dimensions:
        found["dimensions"] = model.dimensions
    return {**found, "order": link.order or position + 1, "weight": link.weight}


def _information(model: LanguageModel, provider: str) -> dict[str, Any]:
    found: dict[str, Any] = {"mode": model.kind}
    if provider in LOCAL:
        # Of a name that it does not know, LiteLLM would guess the price.
        found |= {"input_cost_per_token": 0, "output_cost_per_token": 0}
    return found


def _prefix(provider: str, kind: str) -> str:
    return "ollama_chat" if provider == "ollama" and kind == "chat" else provider


def paid(settings: Litellm) -> list[str]:
    """LiteLLM's names of the providers that charge."""
    found = {item["litellm_params"]["model"].partition("/")[0] for item in deployments(settings)}
    return sorted(found - LOCAL)


def missing(settings: Litellm) -> Iterator[tuple[str, str]]:
    """The providers of the short form that are not configured, each with its key."""
    for name in _SHORT:
        if not _usable(settings.providers, name):
            field = "url" if name == "ollama" else "apiKey"
            yield name, f"groundwork:litellm.providers.{name}.{field}"


def _usable(providers: Providers, name: str) -> bool:
    account = getattr(providers, name)
    return bool(account.api_key if isinstance(account, Account) else account.url)


def problems(stack: Settings) -> Iterator[Violation]:
    """Contradictions among the models, and between them and the stores of vectors."""
    settings = stack.of(Litellm)
    for name in repeated([model.name for model in settings.models]):
        yield Violation(
            key="groundwork:litellm.models",
            reason=f"model `{name}` is declared twice",
            fix="rename one of them, or join their providers",
        )
    for index, model in enumerate(settings.models):
        key = f"groundwork:litellm.models.{index}"
        yield from _links(settings.providers, model, key)
        if (model.kind == "embedding") is (model.dimensions is None):
            yield Violation(
                key=f"{key}.dimensions",
                reason=(
                    f"`{model.name}` makes embeddings, whose length must be known"
                    if model.dimensions is None
                    else f"`{model.name}` makes no embeddings, so it has no length"
                ),
                fix="set it" if model.dimensions is None else "remove it, or set kind to embedding",
            )
    embedding = first(settings, "embedding")
    wanted = stack.of(Postgres).vectors.dimensions
    if embedding and stack.of(Postgres).deployed and embedding.dimensions not in (None, wanted):
        index = settings.models.index(embedding)
        yield Violation(
            key=f"groundwork:litellm.models.{index}.dimensions",
            reason=(
                f"`{embedding.name}` makes vectors of {embedding.dimensions} dimensions, but"
                f" groundwork:postgres.vectors.dimensions is {wanted}"
            ),
            fix="make them equal, or put the embedding model for document_vectors first",
        )


def _links(providers: Providers, model: LanguageModel, key: str) -> Iterator[Violation]:
    for position, link in enumerate(model.providers):
        if model.kind not in _KINDS[link.provider]:
            able = sorted(name for name, kinds in _KINDS.items() if model.kind in kinds)
            yield Violation(
                key=f"{key}.providers.{position}.provider",
                reason=f"{link.provider} offers no {model.kind} models here",
                fix=f"use {' or '.join(able)}",
            )
        if not _usable(providers, link.provider):
            field = "url" if link.provider == "ollama" else "apiKey"
            yield Violation(
                key=f"groundwork:litellm.providers.{link.provider}.{field}",
                reason=f"`{model.name}` is to ask {link.provider}, but it is not set",
                fix=f"set it, or remove {link.provider} from the model's providers",
            )
