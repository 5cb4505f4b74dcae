"""Settings of LiteLLM and its chain of providers."""

from pydantic import Field

from infra.settings.common import HostPort, Model, SecretValue, ServiceSettings
from infra.units import GIB, MIB, Size


class Ollama(Model):
    """A local Ollama; it needs no key."""

    url: str | None = Field(None, pattern=r"^https?://", description="Base URL; `http://host.docker.internal:11434` for one on the host.")
    model: str = Field("llama3.2", description="Model it serves.")


class Provider(Model):
    """A provider behind an API key."""

    api_key: SecretValue | None = Field(None, description="Key; set it with `--secret`. Without one the provider is left out.")
    model: str = Field(description="Model asked for.")
    base_url: str | None = Field(None, pattern=r"^https?://", description="Another endpoint that speaks the same protocol.")


class OpenRouter(Provider):
    """OpenRouter, second in the chain."""

    model: str = Field("meta-llama/llama-3.3-70b-instruct", description="Model asked for.")


class OpenAI(Provider):
    """OpenAI, third in the chain."""

    model: str = Field("gpt-4o-mini", description="Model asked for.")


class Anthropic(Provider):
    """Anthropic, last in the chain."""

    model: str = Field("claude-3-5-haiku-latest", description="Model asked for.")


class Providers(Model):
    """In the order in which they are tried."""

    ollama: Ollama = Field(default_factory=Ollama, description="Local models, tried first.")
    openrouter: OpenRouter = Field(default_factory=OpenRouter, description="Tried second.")
    openai: OpenAI = Field(default_factory=OpenAI, description="Tried third.")
    anthropic: Anthropic = Field(default_factory=Anthropic, description="Tried last.")


class Litellm(ServiceSettings):
    """One endpoint over a chain of model providers."""

    memory: Size = Field(GIB, ge=512 * MIB, description="Memory limit.")
    cpus: float = Field(2, ge=0.01, le=256, description="Cores it may use at most.")
    port: HostPort = Field(4000, description="Port of the OpenAI-compatible endpoint on the host.")
    max_replicas: int = Field(1, ge=1, le=100, strict=True, description="On Kubernetes, up to this many while they are busy.")
    model_name: str = Field("default", min_length=1, description="Model name that applications ask for.")
    daily_budget_usd: float = Field(2.0, gt=0, description="Spend per day, in US dollars, after which requests are refused.")
    providers: Providers = Field(default_factory=Providers, description="The chain of providers.")
