"""Settings of the monitoring services."""

from typing import Annotated, ClassVar

from pydantic import Field

from infra.settings.common import (
    Because,
    Cores,
    Disk,
    Encryptable,
    Flag,
    HostPort,
    LogLevel,
    Memory,
    Model,
    Rotatable,
    ServiceSettings,
    Sized,
    least_logged,
)
from infra.settings.text import (
    Address,
    ForwardName,
    HeaderName,
    HeaderValue,
    JobName,
    Name,
    SecretValue,
    Url,
    UrlPath,
    User,
)
from infra.units import GIB, MIB, Days, Duration

_DAY = 86400
# Prometheus counts nanoseconds in 64 bits (292 years) and refuses its flag beyond; nobody asks for
# more than twenty years.
_LONGEST = 20 * 365 * _DAY
_KEPT = Because(
    "a longer time overflows the engines' counters; the maximum is twenty years (7300d)"
)


class ScrapeTarget(Model):
    """One endpoint of the application that Prometheus scrapes."""

    name: JobName = Field(description="Value of the `job` label.")
    address: Address = Field(
        description="`host:port`; `host.docker.internal:3000` for one on the host."
    )
    path: UrlPath = Field("/api/metrics", description="Path of the metrics.")
    tls: Flag = Field(False, description="Whether to scrape it over HTTPS.")


class RemoteWrite(Model):
    """A store that speaks Prometheus' remote write, such as Grafana Cloud or Mimir."""

    name: JobName = Field(description="Its name in Prometheus' own metrics.")
    url: Url = Field(description="URL of its remote-write endpoint.")
    username: User | None = Field(
        None, description="User name for it; set it together with the password."
    )
    password: SecretValue | None = Field(
        None, description="Password or API key; without a user name it is sent as a bearer token."
    )


class Prometheus(ServiceSettings):
    """Metrics."""

    monitors: ClassVar[bool] = True

    memory: Memory = Field(
        384 * MIB,
        ge=128 * MIB,
        description="Memory limit; garbage collection is more frequent close to it.",
    )
    disk: Disk = Field(
        3 * GIB,
        ge=GIB,
        description="Disk space for its series; at 80 % of it, the oldest are deleted.",
    )
    log_level: LogLevel = least_logged("info")
    port: HostPort = Field(9090, description="Port on the host.")
    external_url: Url | None = Field(
        None,
        description="URL at which people reach it, for links; its port on the host, if not set.",
    )
    retention: Annotated[Duration, Field(ge=3600, le=_LONGEST), _KEPT] = Field(
        15 * _DAY, description="How long series are kept."
    )
    scrape_interval: Annotated[
        Duration,
        Field(ge=1, le=60),
        Because("rules look back five minutes and need several samples"),
    ] = Field(
        15,
        description=(
            "Time between scrapes; rules look back five minutes and need several samples."
        ),
    )
    targets: tuple[ScrapeTarget, ...] = Field((), description="The application's own metrics.")
    remote_write: tuple[RemoteWrite, ...] = Field(
        (), description="Other stores of metrics that also receive every sample."
    )


class Grafana(ServiceSettings):
    """Dashboards."""

    monitors: ClassVar[bool] = True

    memory: Memory = Field(256 * MIB, ge=128 * MIB, description="Memory limit.")
    disk: Disk = Field(GIB, description="Disk space for its database.")
    port: HostPort = Field(3001, description="Port on the host.")
    log_level: LogLevel = least_logged("info")
    external_url: Url | None = Field(
        None,
        description="URL at which people reach it, for links; its port on the host, if not set.",
    )

    clickhouse: Flag = Field(
        False,
        description=(
            "Whether it asks ClickHouse, too: the dashboard Analytics. At its first start it then"
            " downloads the plugin from grafana.com, in a pinned version."
        ),
    )


class Watcher(Sized):
    """Settings of a monitoring service, which has no replicas and no external replacement."""

    monitors: ClassVar[bool] = True

    enabled: Flag = Field(True, description="Whether it is deployed.")


class Loki(Watcher):
    """Keeps logs."""

    memory: Memory = Field(
        224 * MIB, ge=192 * MIB, description="Memory limit; caches and limits are computed from it."
    )
    cpus: Cores = Field(0.5, description="CPU limit, in cores.")
    disk: Disk = Field(
        2 * GIB,
        ge=GIB,
        description=(
            "Disk space for its chunks: a day must fit, from which the ingestion limit follows."
        ),
    )
    retention: Annotated[Days, Field(ge=_DAY, le=_LONGEST), _KEPT] = Field(
        14 * _DAY,
        description="How long log lines are kept (whole days), if the disk holds that much.",
    )
    log_level: LogLevel = least_logged("warn")


class Tempo(Watcher):
    """Keeps traces."""

    memory: Memory = Field(
        256 * MIB,
        ge=192 * MIB,
        description="Memory limit; blocks and ingestion limits are computed from it.",
    )
    cpus: Cores = Field(0.5, description="CPU limit, in cores.")
    disk: Disk = Field(
        GIB,
        ge=GIB,
        description=(
            "Disk space for its blocks: a day must fit, from which the ingestion limit follows."
        ),
    )
    retention: Annotated[Days, Field(ge=_DAY, le=_LONGEST), _KEPT] = Field(
        3 * _DAY,
        description="How long traces are kept (whole days), if the disk holds that much.",
    )
    log_level: LogLevel = least_logged("warn")


class Forward(Model):
    """An external OTLP endpoint."""

    name: ForwardName = Field(description="Its name in the collector's own metrics.")
    endpoint: Url = Field(
        description="Base URL for OTLP over HTTP, such as `https://api.honeycomb.io`."
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        description="Headers it requires, such as an API key; set each with `--secret`.",
    )


class LogReader(Sized):
    """The log reader."""

    memory: Memory = Field(80 * MIB, ge=64 * MIB, description="Memory limit.")
    cpus: Cores = Field(0.5, description="CPU limit, in cores.")
    disk: Disk = Field(128 * MIB, description="Disk space for log read positions.")
    namespaces: tuple[Name, ...] = Field(
        (),
        description="On Kubernetes, namespaces of applications whose pods' logs are read as well.",
    )


class Alloy(Watcher, Rotatable, Encryptable):
    """Receives traces at one OTLP endpoint and collects logs."""

    memory: Memory = Field(
        64 * MIB, ge=64 * MIB, description="Memory limit; queues are bounded by it."
    )
    cpus: Cores = Field(0.5, description="CPU limit, in cores.")
    logs: LogReader = Field(
        default_factory=LogReader,
        description=(
            "The log collector, which sends every container's log to Loki; deployed only together"
            " with Loki."
        ),
    )
    port: HostPort = Field(4318, description="Port for OTLP over HTTP on the host.")
    grpc_port: HostPort = Field(4317, description="Port for OTLP over gRPC on the host.")
    log_level: LogLevel = least_logged("warn")
    forward_traces: tuple[Forward, ...] = Field(
        (), description="External OTLP endpoints that also receive every trace."
    )
    forward_logs: tuple[Forward, ...] = Field(
        (), description="External OTLP endpoints that also receive every log line, redacted."
    )


class Exporter(Watcher):
    """One exporter."""

    memory: Memory = Field(32 * MIB, ge=16 * MIB, description="Memory limit.")
    cpus: Cores = Field(0.25, description="CPU limit, in cores.")


class Containers(Exporter):
    """cAdvisor."""

    memory: Memory = Field(48 * MIB, ge=32 * MIB, description="Memory limit.")


class SocketProxy(Sized):
    """The proxy between cAdvisor and the engine's socket."""

    memory: Memory = Field(32 * MIB, ge=16 * MIB, description="Memory limit.")
    cpus: Cores = Field(0.25, description="CPU limit, in cores.")


class Exporters(Model):
    """Exporters of services' and the host's metrics."""

    monitors: ClassVar[bool] = True

    containers: Containers = Field(
        default_factory=Containers,
        description="Container metrics; on Kubernetes the kubelets provide them.",
    )
    socket_proxy: SocketProxy = Field(
        default_factory=SocketProxy,
        description=(
            "On Docker, the proxy that limits access to the engine's API to what cAdvisor needs."
        ),
    )
    node: Exporter = Field(default_factory=Exporter, description="The host's metrics.")
    postgres: Exporter = Field(default_factory=Exporter, description="Postgres' metrics.")
    redis: Exporter = Field(default_factory=Exporter, description="Metrics of each Redis instance.")
