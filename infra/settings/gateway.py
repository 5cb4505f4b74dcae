"""Settings of LiteLLM and its chain of providers."""

from typing import Annotated, Literal

from pydantic import Field

from infra.settings.applications import Dollars
from infra.settings.common import (
    Because,
    Cores,
    Encryptable,
    HostPort,
    LogLevel,
    Memory,
    Model,
    Replicas,
    ServiceSettings,
    least_logged,
)
from infra.settings.text import ApiKey, ModelName, Url
from infra.units import GIB, MIB


class Ollama(Model):
    """A local Ollama; it needs no key."""

    url: Url | None = Field(
        None, description="Base URL; `http://host.docker.internal:11434` for one on the host."
    )
    model: ModelName = Field("llama3.2", description="Model that the short form requests.")


class Account(Model):
    """Access to a provider behind an API key."""

    api_key: ApiKey | None = Field(
        None, description="API key; set it with `--secret`. Without one, the provider is left out."
    )
    base_url: Url | None = Field(
        None, description="Base URL of another endpoint with the same protocol."
    )


class Provider(Account):
    """A provider of the short form's chain."""

    model: ModelName = Field(description="Model that the short form requests.")


class OpenRouter(Provider):
    """OpenRouter, second in the chain."""

    model: ModelName = Field(
        "meta-llama/llama-3.3-70b-instruct", description="Model that the short form requests."
    )


class OpenAI(Provider):
    """OpenAI, third in the chain."""

    model: ModelName = Field("gpt-4o-mini", description="Model that the short form requests.")


class Anthropic(Provider):
    """Anthropic, last in the chain."""

    model: ModelName = Field(
        "claude-3-5-haiku-latest", description="Model that the short form requests."
    )


class Cohere(Account):
    """Cohere, for embeddings and reranking."""


class Providers(Model):
    """Access to the providers; the short form tries the first four in this order."""

    ollama: Ollama = Field(default_factory=Ollama, description="Local models, tried first.")
    openrouter: OpenRouter = Field(default_factory=OpenRouter, description="Tried second.")
    openai: OpenAI = Field(default_factory=OpenAI, description="Tried third.")
    anthropic: Anthropic = Field(default_factory=Anthropic, description="Tried last.")
    cohere: Cohere = Field(
        default_factory=Cohere, description="For embeddings and reranking in `litellm.models`."
    )


class Link(Model):
    """A provider in a model's chain."""

    provider: Literal["ollama", "openrouter", "openai", "anthropic", "cohere"] = Field(
        description="One of `litellm.providers`, which holds its key."
    )
    model: ModelName = Field(description="The provider's own name of the model.")
    order: (
        Annotated[int, Field(strict=True, ge=1, le=100), Because("lower numbers are tried first")]
        | None
    ) = Field(
        None,
        description=(
            "Lower numbers are tried first; its place in the list, if not set. Providers with the"
            " same number share the requests by weight."
        ),
    )
    weight: Annotated[
        int, Field(strict=True, ge=1, le=1000), Because("it is a share of the requests")
    ] = Field(1, description="Share of the requests among providers with the same `order`.")


class LanguageModel(Model):
    """A model that applications request by name."""

    name: ModelName = Field(description="Name that applications request.")
    kind: Literal["chat", "embedding", "rerank"] = Field("chat", description="What it does.")
    dimensions: (
        Annotated[
            int, Field(strict=True, ge=1, le=65535), Because("Qdrant takes no longer vectors")
        ]
        | None
    ) = Field(
        None,
        description=(
            "Length of an embedding; that of the first embedding model must be"
            " `postgres.vectors.dimensions`."
        ),
    )
    providers: Annotated[tuple[Link, ...], Field(min_length=1)] = Field(
        description="Its chain of providers."
    )


class Litellm(ServiceSettings, Encryptable):
    """One endpoint over a chain of model providers."""

    memory: Memory = Field(GIB, ge=512 * MIB, description="Memory limit.")
    cpus: Cores = Field(2, description="CPU limit, in cores.")
    port: HostPort = Field(4000, description="Port of the OpenAI-compatible endpoint on the host.")
    log_level: LogLevel = least_logged("warn")
    max_replicas: Replicas = Field(
        1, description="On Kubernetes, maximum number of replicas under load."
    )
    model_name: ModelName = Field(
        "default",
        description=(
            "Chat model that applications are told of in `LLM_MODEL`; unless `models` declares it,"
            " a chain of every provider with a key (the short form)."
        ),
    )
    models: tuple[LanguageModel, ...] = Field((), description="Models, each with its own chain.")
    daily_budget_usd: Dollars = Field(
        2.0, description="Daily spending limit in US dollars; requests beyond it are refused."
    )
    monthly_budget_usd: Dollars | None = Field(
        None, description="Monthly budget in US dollars, at which an alert fires; none, if not set."
    )
    providers: Providers = Field(default_factory=Providers, description="Access to the providers.")
