"""One stack's configuration, typed: every key under `groundwork:` with its default and meaning.

Unknown keys are errors. `docs/configuration.md` is generated from these models.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from infra.settings.cluster import Kubernetes
from infra.settings.common import Because, Flag, Model
from infra.settings.gateway import Litellm
from infra.settings.observability import Alertmanager, Alloy, Exporters, Grafana, Loki, Observability, Prometheus, Tempo
from infra.settings.stores import Clickhouse, Minio, Postgres, Qdrant, Redis
from infra.settings.text import BindAddress, EnvironmentName, ImageSource, InstanceId, SecretValue


class Settings(Model):
    """The configuration of one stack."""

    target: Literal["docker", "kubernetes"] = Field("docker", description="Where the services run.")
    kubernetes: Kubernetes = Field(default_factory=Kubernetes, description="The cluster, where the target is Kubernetes.")
    images: ImageSource = Field(
        "registry",
        description="`registry` (official images by digest), `packages` (built here from distribution packages), "
        "or a mirror's prefix such as `mirror.example.org:5000/groundwork`.",
    )
    master_secret: SecretValue = Field(description="All other secrets derive from it. `make up` generates it once.")
    instance: InstanceId = Field(description="Tells this stack's resources from another clone's. `make up` generates it once.")
    environment: EnvironmentName | None = Field(None, description="Value of the label `environment` on metrics, alerts and logs; the stack's name if unset.")
    bind_address: BindAddress = Field("127.0.0.1", description="Address that ports are published on. Published ports bypass host firewalls.")
    port_offset: Annotated[int, Field(strict=True, ge=0, le=50000), Because("ports end at 65535, and those of the services begin above 3000")] = Field(
        0, description="Added to every port on the host, for a second stack on one machine."
    )
    protect: Flag = Field(False, description="Refuse to delete volumes even when the stack is destroyed.")
    postgres: Postgres = Field(default_factory=Postgres, description="Postgres with pgvector.")
    redis: Redis = Field(default_factory=Redis, description="Redis for cache, queues and pub/sub.")
    minio: Minio = Field(default_factory=Minio, description="S3-compatible object storage.")
    qdrant: Qdrant = Field(default_factory=Qdrant, description="Vector database.")
    clickhouse: Clickhouse = Field(default_factory=Clickhouse, description="Analytics database.")
    litellm: Litellm = Field(default_factory=Litellm, description="One endpoint over a chain of model providers.")
    observability: Observability = Field(default_factory=Observability, description="All that watches, as a group.")
    prometheus: Prometheus = Field(default_factory=Prometheus, description="Metrics.")
    grafana: Grafana = Field(default_factory=Grafana, description="Dashboards.")
    alertmanager: Alertmanager = Field(default_factory=Alertmanager, description="Sends alerts to people.")
    loki: Loki = Field(default_factory=Loki, description="Keeps logs.")
    tempo: Tempo = Field(default_factory=Tempo, description="Keeps traces.")
    alloy: Alloy = Field(default_factory=Alloy, description="Takes traces at one OTLP endpoint, and collects logs.")
    exporters: Exporters = Field(default_factory=Exporters, description="What turns services' and the host's state into metrics.")

    @model_validator(mode="before")
    @classmethod
    def _without_observability(cls, raw: Any) -> Any:
        """With the group turned off, each part of it is, unless it says otherwise itself."""
        if not isinstance(raw, dict) or not isinstance(group := raw.get("observability"), dict) or group.get("enabled", True) is not False:
            return raw
        off = {name: {"enabled": False, **_mapping(raw.get(name))} for name in ("prometheus", "grafana", "alertmanager", "loki", "tempo", "alloy")}
        exporters = _mapping(raw.get("exporters"))
        kinds = ("node", "containers", "postgres", "redis")
        return {**raw, **off, "exporters": {**exporters, **{kind: {"enabled": False, **_mapping(exporters.get(kind))} for kind in kinds}}}

    @property
    def clustered(self) -> bool:
        """Whether the target may have many nodes, and a service many replicas."""
        return self.target == "kubernetes"

    @property
    def namespace(self) -> str:
        """The stack's namespace on Kubernetes. `load` has put the default there, which has the stack's name in it."""
        return self.kubernetes.namespace or ""

    @property
    def host_namespace(self) -> str:
        """The namespace of what watches the nodes themselves."""
        return f"{self.namespace}-host"

    @property
    def mirror(self) -> str | None:
        """The mirror's prefix, or None for the two named sources."""
        return None if self.images in ("registry", "packages") else self.images


def _mapping(raw: Any) -> dict[str, Any]:
    """What stands there, if it is a group; what is not is refused by its own model."""
    return raw if isinstance(raw, dict) else {}
