"""One stack's typed configuration: the general settings; each service adds its own group
(`infra/services/registry.py`).

Unknown keys are errors. `docs/configuration.md` is generated from these models.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from infra.settings.alerting import Alerts
from infra.settings.applications import Application
from infra.settings.cluster import Kubernetes
from infra.settings.common import Because, Flag, Model
from infra.settings.contract import Contract
from infra.settings.policies import Policies, Prices
from infra.settings.text import BindAddress, EnvironmentName, ImageSource, InstanceId, SecretValue
from infra.settings.tls import Tls

Group = TypeVar("Group", bound=Model)


class Observability(Model):
    """The monitoring services, as a group."""

    enabled: Flag = Field(
        True, description="`false` disables every part that does not set `enabled: true` itself."
    )


class Settings(Model):
    """The configuration of one stack."""

    target: Literal["docker", "kubernetes"] = Field("docker", description="Where the services run.")
    kubernetes: Kubernetes = Field(
        default_factory=Kubernetes, description="The cluster, if the target is Kubernetes."
    )
    images: ImageSource = Field(
        "registry",
        description=(
            "`registry` (official images by digest), `packages` (built here from distribution"
            " packages), or a mirror's prefix such as `mirror.example.org:5000/groundwork`."
        ),
    )
    master_secret: SecretValue = Field(
        description="All other secrets derive from it. `make up` generates it once."
    )
    instance: InstanceId = Field(
        description=(
            "Distinguishes this stack's resources from another clone's. `make up` generates it"
            " once."
        )
    )
    environment: EnvironmentName | None = Field(
        None,
        description=(
            "Value of the label `environment` on metrics, alerts and logs; the stack's name, if"
            " not set."
        ),
    )
    bind_address: BindAddress = Field(
        "127.0.0.1",
        description="Address on which ports are published. Published ports bypass host firewalls.",
    )
    port_offset: Annotated[
        int,
        Field(strict=True, ge=0, le=50000),
        Because("ports end at 65535, and those of the services begin above 3000"),
    ] = Field(0, description="Added to every port on the host, for a second stack on one machine.")
    protect: Flag = Field(
        False, description="Refuse to delete volumes even when the stack is destroyed."
    )
    observability: Observability = Field(
        default_factory=Observability, description="The monitoring services, as a group."
    )

    applications: tuple[Application, ...] = Field(
        (),
        description=(
            "Applications beside the stack's own (`app`), kept apart in every store; `make env`"
            " writes each an environment file."
        ),
    )

    contract: Contract = Field(
        default_factory=Contract, description="The environment of applications."
    )

    tls: Tls = Field(
        default_factory=Tls, description="The authority of certificates inside the stack."
    )

    alerts: Alerts = Field(
        default_factory=Alerts, description="Thresholds of alerts, and rules of your own."
    )

    policies: Policies = Field(
        default_factory=Policies, description="What every stack must hold to."
    )

    prices: Prices = Field(
        default_factory=Prices,
        description="What resources cost, for the estimate in reviews; none, if not set.",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_observability(cls, raw: Any) -> Any:
        """Turns off each part of a disabled group, unless the part itself says otherwise."""
        if (
            not isinstance(raw, dict)
            or not isinstance(group := raw.get("observability"), dict)
            or group.get("enabled", True) is not False
        ):
            return raw
        parts = [
            (field.alias or name, field.annotation) for name, field in cls.model_fields.items()
        ]
        off = {
            key: _off(model, _mapping(raw.get(key)))
            for key, model in parts
            if getattr(model, "monitors", False)
        }
        return {**raw, **off}

    def of(self, model: type[Group]) -> Group:
        """The group of settings of a model, such as `of(Postgres)`. Raises StopIteration if no
        service has it.
        """
        return next(value for value in self.__dict__.values() if type(value) is model)

    @property
    def clustered(self) -> bool:
        """True if the target may have many nodes, and a service many replicas."""
        return self.target == "kubernetes"

    @property
    def namespace(self) -> str:
        """The stack's namespace on Kubernetes. `load` sets the default, which contains the stack's
        name.
        """
        return self.kubernetes.namespace or ""

    @property
    def host_namespace(self) -> str:
        """The namespace of the services that watch the nodes themselves."""
        return f"{self.namespace}-host"

    @property
    def mirror(self) -> str | None:
        """The mirror's prefix, or None for the two named sources."""
        return None if self.images in ("registry", "packages") else self.images


def _off(model: Any, raw: dict[str, Any]) -> dict[str, Any]:
    """A group of settings, or each group in it, turned off unless it says otherwise."""
    if "enabled" in model.model_fields:
        return {"enabled": False, **raw}
    switches = [
        field.alias or name
        for name, field in model.model_fields.items()
        if "enabled" in getattr(field.annotation, "model_fields", {})
    ]
    return {
        **raw,
        **{
            key: _off(model.model_fields[key].annotation, _mapping(raw.get(key)))
            for key in switches
        },
    }


def _mapping(raw: Any) -> dict[str, Any]:
    """The value if it is a mapping; otherwise an empty one, and its own model rejects the value."""
    return raw if isinstance(raw, dict) else {}
