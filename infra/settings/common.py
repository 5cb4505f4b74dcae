"""What all groups of settings share."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from infra.secret import Secret
from infra.units import Size


def _to_secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("a secret is a string that is not empty; set it with `pulumi config set --secret`")
    return Secret(value)


def _to_secret_url(value: object) -> Secret:
    secret = _to_secret(value)
    url = urlsplit(secret.reveal())
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("it is no URL that begins with https:// or http://")
    return secret


SecretValue = Annotated[Secret, BeforeValidator(_to_secret)]
SecretUrl = Annotated[Secret, BeforeValidator(_to_secret_url)]
HostPort = Annotated[int, Field(ge=1, le=65535, strict=True)]
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]


class Model(BaseModel):
    """Keys are written in camelCase, unknown ones are refused, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True,
        arbitrary_types_allowed=True, hide_input_in_errors=True,
    )  # fmt: skip


class External(Model):
    """A service that runs elsewhere and is used in place of one of ours."""

    host: str = Field(min_length=1, description="Host name or address, reachable from the containers.")
    port: HostPort = Field(description="Its port.")
    tls: bool = Field(False, description="Whether clients speak TLS to it.")
    username: str | None = Field(None, description="User that dependents log in as, where it has users.")
    password: SecretValue | None = Field(None, description="Password or key for it; set it with `--secret`.")
    database: str | None = Field(None, description="Database or bucket that dependents use, where it has any.")


class Sized(Model):
    """What every container has."""

    memory: Size
    cpus: float = Field(1, ge=0.01, le=256, description="Cores it may use at most.")


class Rotatable(Model):
    """What has generated passwords that can be changed."""

    secret_generation: int = Field(1, ge=1, strict=True, description="Raise by one to rotate its generated passwords.")


class Switchable(Model):
    """What can be turned off, or replaced by one that runs elsewhere."""

    enabled: bool = Field(True, description="Whether it is deployed.")
    external: External | None = Field(None, description="Use a service that runs elsewhere instead; nothing of ours is deployed.")

    @property
    def deployed(self) -> bool:
        """Whether it runs here."""
        return self.enabled and self.external is None

    @property
    def usable(self) -> bool:
        """Whether dependents find it, here or elsewhere."""
        return self.enabled


class ServiceSettings(Sized, Rotatable, Switchable):
    """What every service has."""

    replicas: int = Field(1, ge=1, le=100, strict=True, description="How many of it run; more than one on Kubernetes only, and not of every service.")
