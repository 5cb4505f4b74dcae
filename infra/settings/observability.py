"""Settings of what watches the others."""

from typing import Annotated, ClassVar

from pydantic import Field

from infra.settings.common import (
    Because,
    Cores,
    Disk,
    Flag,
    HostPort,
    Memory,
    Model,
    Rotatable,
    ServiceSettings,
    Sized,
)
from infra.settings.text import (
    Address,
    Channel,
    ForwardName,
    HeaderName,
    HeaderValue,
    JobName,
    Mailbox,
    SecretUrl,
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
    "the engines count in units that a longer time overflows; twenty years (7300d) is the most"
)


class ScrapeTarget(Model):
    """One endpoint of the application that Prometheus scrapes."""

    name: JobName = Field(description="Value of the `job` label.")
    address: Address = Field(
        description="`host:port`; `host.docker.internal:3000` for one on the host."
    )
    path: UrlPath = Field("/api/metrics", description="Path of the metrics.")
    tls: Flag = Field(False, description="Whether it is scraped over HTTPS.")


class Prometheus(ServiceSettings):
    """Metrics."""

    monitors: ClassVar[bool] = True

    memory: Memory = Field(
        384 * MIB,
        ge=128 * MIB,
        description="Memory limit; the runtime collects garbage as it comes near.",
    )
    disk: Disk = Field(
        3 * GIB, ge=GIB, description="Room its series may take; the oldest go at 80 % of it."
    )
    port: HostPort = Field(9090, description="Port on the host.")
    retention: Annotated[Duration, Field(ge=3600, le=_LONGEST), _KEPT] = Field(
        15 * _DAY, description="How long series are kept."
    )
    scrape_interval: Annotated[
        Duration,
        Field(ge=1, le=60),
        Because("rules look at five minutes, which need several samples"),
    ] = Field(
        15, description="Time between two scrapes; rules look at five minutes, which need several."
    )
    targets: tuple[ScrapeTarget, ...] = Field((), description="The application's own metrics.")


class Grafana(ServiceSettings):
    """Dashboards."""

    monitors: ClassVar[bool] = True

    memory: Memory = Field(256 * MIB, ge=128 * MIB, description="Memory limit.")
    disk: Disk = Field(GIB, description="Room its database may take.")
    port: HostPort = Field(3001, description="Port on the host.")


class Watcher(Sized):
    """Settings of a monitoring service, which has no replicas and no external replacement."""

    monitors: ClassVar[bool] = True

    enabled: Flag = Field(True, description="Whether it is deployed.")


class Slack(Model):
    """A Slack channel."""

    webhook_url: SecretUrl = Field(description="Incoming webhook; set it with `--secret`.")
    channel: Channel = Field("#alerts", description="Channel or person.")


class Email(Model):
    """A mailbox."""

    to: Mailbox = Field(description="Receiver's address.")
    sender: Mailbox = Field(description="Sender's address.")
    host: Address = Field(description="Mail server, `host:port`.")
    username: User | None = Field(
        None, description="User at the mail server; with a password, or neither."
    )
    password: SecretValue | None = Field(
        None, description="Password at the mail server; set it with `--secret`."
    )
    tls: Flag = Field(
        True, description="Whether the connection must be encrypted (STARTTLS, or TLS on port 465)."
    )


class Webhook(Model):
    """Any endpoint that takes Alertmanager's JSON."""

    url: SecretUrl = Field(
        description=(
            "Where alerts are posted; set it with `--secret`, since such addresses often hold a"
            " key."
        )
    )


class Alertmanager(Watcher, Rotatable):
    """Sends alerts to people."""

    memory: Memory = Field(48 * MIB, ge=32 * MIB, description="Memory limit.")
    cpus: Cores = Field(0.25, description="Cores it may use at most.")
    disk: Disk = Field(128 * MIB, description="Room for silences and what was sent.")
    port: HostPort = Field(9093, description="Port on the host.")
    slack: Slack | None = Field(None, description="A Slack channel that receives alerts.")
    email: Email | None = Field(None, description="A mailbox that receives alerts.")
    webhook: Webhook | None = Field(None, description="An endpoint that receives alerts.")
    dead_mans_switch: Webhook | None = Field(
        None,
        description=(
            "Called every minute or so while alerting works; it should warn when the calls stop."
        ),
    )

    @property
    def has_receiver(self) -> bool:
        """True if anybody hears of an alert."""
        return bool(self.slack or self.email or self.webhook)


class Loki(Watcher):
    """Keeps logs."""

    memory: Memory = Field(
        224 * MIB, ge=192 * MIB, description="Memory limit; caches and limits are computed from it."
    )
    cpus: Cores = Field(0.5, description="Cores it may use at most.")
    disk: Disk = Field(
        2 * GIB,
        ge=GIB,
        description=(
            "Room its chunks may take; how much is taken in per second follows from it and the"
            " retention."
        ),
    )
    retention: Annotated[Days, Field(ge=_DAY, le=_LONGEST), _KEPT] = Field(
        14 * _DAY, description="How long lines are kept (whole days)."
    )


class Tempo(Watcher):
    """Keeps traces."""

    memory: Memory = Field(
        256 * MIB,
        ge=192 * MIB,
        description="Memory limit; blocks and ingestion limits are computed from it.",
    )
    cpus: Cores = Field(0.5, description="Cores it may use at most.")
    disk: Disk = Field(
        GIB,
        ge=GIB,
        description=(
            "Room its blocks may take; how much is taken in per second follows from it and the"
            " retention."
        ),
    )
    retention: Annotated[Days, Field(ge=_DAY, le=_LONGEST), _KEPT] = Field(
        3 * _DAY, description="How long traces are kept (whole days)."
    )


class TraceForward(Model):
    """An OTLP endpoint elsewhere that receives every trace too."""

    name: ForwardName = Field(description="Its name, in the collector's own metrics.")
    endpoint: Url = Field(
        description="Base URL of OTLP over HTTP, such as `https://api.honeycomb.io`."
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        description="Headers it asks for, such as a key; set each with `--secret`.",
    )


class LogReader(Sized):
    """The log reader."""

    memory: Memory = Field(80 * MIB, ge=64 * MIB, description="Memory limit.")
    cpus: Cores = Field(0.5, description="Cores it may use at most.")
    disk: Disk = Field(128 * MIB, description="Volume for log read positions.")


class Alloy(Watcher, Rotatable):
    """Takes traces at one OTLP endpoint, and collects logs."""

    memory: Memory = Field(
        64 * MIB, ge=64 * MIB, description="Memory limit; queues are bounded by it."
    )
    cpus: Cores = Field(0.5, description="Cores it may use at most.")
    logs: LogReader = Field(
        default_factory=LogReader,
        description=(
            "What reads every container's log and hands it to Loki; it runs where Loki does."
        ),
    )
    port: HostPort = Field(4318, description="Port of OTLP over HTTP on the host.")
    grpc_port: HostPort = Field(4317, description="Port of OTLP over gRPC on the host.")
    forward_traces: tuple[TraceForward, ...] = Field(
        (), description="OTLP endpoints elsewhere that receive every trace too."
    )


class Exporter(Watcher):
    """One exporter."""

    memory: Memory = Field(32 * MIB, ge=16 * MIB, description="Memory limit.")
    cpus: Cores = Field(0.25, description="Cores it may use at most.")


class Containers(Exporter):
    """cAdvisor."""

    memory: Memory = Field(48 * MIB, ge=32 * MIB, description="Memory limit.")


class SocketProxy(Sized):
    """The proxy between cAdvisor and the engine's socket."""

    memory: Memory = Field(32 * MIB, ge=16 * MIB, description="Memory limit.")
    cpus: Cores = Field(0.25, description="Cores it may use at most.")


class Exporters(Model):
    """Exporters of services' and the host's metrics."""

    monitors: ClassVar[bool] = True

    containers: Containers = Field(
        default_factory=Containers,
        description="Each container's metrics; on Kubernetes the kubelets have them.",
    )
    socket_proxy: SocketProxy = Field(
        default_factory=SocketProxy,
        description=(
            "On Docker, lets cAdvisor read of the engine's API what it needs, and nobody anything"
            " else."
        ),
    )
    node: Exporter = Field(default_factory=Exporter, description="The host's metrics.")
    postgres: Exporter = Field(default_factory=Exporter, description="Postgres' metrics.")
    redis: Exporter = Field(default_factory=Exporter, description="Each Redis instance's metrics.")
