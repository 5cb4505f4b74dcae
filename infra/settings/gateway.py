"""Settings of LiteLLM and its chain of providers."""

from typing import Annotated

from pydantic import Field

from infra.settings.common import Because, Cores, HostPort, Memory, Model, Replicas, ServiceSettings
from infra.settings.text import ApiKey, ModelName, Url
from infra.units import GIB, MIB


class Ollama(Model):
    """A local Ollama; it needs no key."""

    url: Url | None = Field(
        None, description="Base URL; `http://host.docker.internal:11434` for one on the host."
    )
    model: ModelName = Field("llama3.2", description="Model it serves.")


class Provider(Model):
    """A provider behind an API key."""

    api_key: ApiKey | None = Field(
        None, description="API key; set it with `--secret`. Without one, the provider is left out."
    )
    model: ModelName = Field(description="Model to request.")
    base_url: Url | None = Field(
        None, description="Base URL of another endpoint with the same protocol."
    )


class OpenRouter(Provider):
    """OpenRouter, second in the chain."""

    model: ModelName = Field("meta-llama/llama-3.3-70b-instruct", description="Model to request.")


class OpenAI(Provider):
    """OpenAI, third in the chain."""

    model: ModelName = Field("gpt-4o-mini", description="Model to request.")


class Anthropic(Provider):
    """Anthropic, last in the chain."""

    model: ModelName = Field("claude-3-5-haiku-latest", description="Model to request.")


class Providers(Model):
    """In the order in which they are tried."""

    ollama: Ollama = Field(default_factory=Ollama, description="Local models, tried first.")
    openrouter: OpenRouter = Field(default_factory=OpenRouter, description="Tried second.")
    openai: OpenAI = Field(default_factory=OpenAI, description="Tried third.")
    anthropic: Anthropic = Field(default_factory=Anthropic, description="Tried last.")


class Litellm(ServiceSettings):
    """One endpoint over a chain of model providers."""

    memory: Memory = Field(GIB, ge=512 * MIB, description="Memory limit.")
    cpus: Cores = Field(2, description="CPU limit, in cores.")
    port: HostPort = Field(4000, description="Port of the OpenAI-compatible endpoint on the host.")
    max_replicas: Replicas = Field(
        1, description="On Kubernetes, maximum number of replicas under load."
    )
    model_name: ModelName = Field("default", description="Model name that applications request.")
    daily_budget_usd: Annotated[
        float,
        Field(strict=True, allow_inf_nan=False, ge=0.01, le=1_000_000),
        Because("less than a cent allows no request, and more than a million is no limit"),
    ] = Field(
        2.0, description="Daily spending limit in US dollars; requests beyond it are refused."
    )
    providers: Providers = Field(default_factory=Providers, description="The chain of providers.")
