"""Base models and types of settings."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from infra.settings.text import Certificates, ExternalName, HostName, SecretValue, User
from infra.units import MIB, TIB, Size


@dataclass(frozen=True, slots=True)
class Because:
    """The reason for a number's bounds, shown when a value violates them."""

    reason: str


Flag = Annotated[bool, Field(strict=True)]
"""`true` or `false`, and nothing that only looks like it."""

Cores = Annotated[
    float,
    Field(strict=True, allow_inf_nan=False, ge=0.01, le=256),
    Because("the kernel's quota is set in hundredths of a core, and no host has more than 256"),
]
HostPort = Annotated[
    int, Field(strict=True, ge=1, le=65535), Because("ports are numbered from 1 to 65535")
]
Replicas = Annotated[
    int,
    Field(strict=True, ge=1, le=100),
    Because("an enabled service has at least one, and none here benefits from more than 100"),
]
Generation = Annotated[
    int, Field(strict=True, ge=1, le=1_000_000), Because("it counts rotations, from 1")
]
Disk = Annotated[
    Size,
    Field(ge=16 * MIB, le=1024 * TIB),
    Because(
        "a file system smaller than 16 MiB holds nothing useful, and one larger than 1024 TiB is"
        " a typing error"
    ),
]
Memory = Annotated[
    Size,
    Field(le=64 * TIB),
    Because("the service does not start with less, and no host has more than 64 TiB"),
]


LogLevel = Literal["debug", "info", "warn", "error"]


class Model(BaseModel):
    """Keys are written in camelCase, unknown keys are refused, values are immutable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )


class External(Model):
    """A service that runs elsewhere and replaces one of ours."""

    host: HostName = Field(description="Host name or address, reachable from the containers.")
    port: HostPort = Field(description="Port.")
    tls: Flag = Field(
        True,
        description=(
            "Whether clients use TLS; with a password, `false` is allowed only for a private"
            " address or a local name, such as one without dots."
        ),
    )
    ca_certificate: Certificates | None = Field(
        None,
        description=(
            "Certificate authority (PEM) that signed its certificate; the system's authorities,"
            " if not set."
        ),
    )
    username: User | None = Field(
        None, description="User that dependents log in as, if it has users."
    )
    password: SecretValue | None = Field(
        None, description="Password or API key; set it with `--secret`."
    )
    database: ExternalName | None = Field(
        None, description="Database or bucket that dependents use, if it has any."
    )


class Sized(Model):
    """Settings of every container."""

    memory: Memory
    cpus: Cores = Field(1, description="CPU limit, in cores.")


class Rotatable(Model):
    """Settings of services with generated, rotatable passwords."""

    secret_generation: Generation = Field(
        1, description="Raise by one to rotate its generated passwords."
    )


def least_logged(default: LogLevel) -> Any:
    """The field of a service's log level."""
    return Field(
        default,
        description="The least that its log tells of. `debug` may tell what applications store.",
    )


class Encryptable(Model):
    """Settings of services that can require TLS."""

    tls: Flag = Field(
        False,
        description=(
            "Whether clients must use TLS; the certificate is signed by the stack's own authority"
            " (`groundwork:tls`)."
        ),
    )


class Switchable(Model):
    """Settings of services that can be disabled or replaced by an external one."""

    enabled: Flag = Field(True, description="Whether it is deployed.")
    external: External | None = Field(
        None, description="Use a service that runs elsewhere; Groundwork then deploys none."
    )

    @property
    def deployed(self) -> bool:
        """True if it runs here."""
        return self.enabled and self.external is None

    @property
    def usable(self) -> bool:
        """True if dependents find it, here or elsewhere."""
        return self.enabled


class ServiceSettings(Sized, Rotatable, Switchable):
    """Settings of every service."""

    replicas: Replicas = Field(
        1,
        description=(
            "Number of replicas; more than one only on Kubernetes, and not for every service."
        ),
    )
