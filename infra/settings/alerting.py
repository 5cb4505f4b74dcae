"""Settings of alerts: whom they reach, at which thresholds, and rules of one's own."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from infra.settings.common import (
    Because,
    Cores,
    Disk,
    Flag,
    HostPort,
    LogLevel,
    Memory,
    Model,
    Rotatable,
    least_logged,
)
from infra.settings.contract import rules_path
from infra.settings.observability import Watcher
from infra.settings.text import (
    Address,
    Channel,
    Kind,
    Mailbox,
    SecretUrl,
    SecretValue,
    Url,
    User,
)
from infra.units import MIB

Severity = Literal["critical", "warning"]
RulesPath = Annotated[str, AfterValidator(rules_path), Kind("path")]
Ratio = Annotated[
    float,
    Field(strict=True, allow_inf_nan=False, gt=0, le=1),
    Because("it is a part of the whole: 0.01 is one per cent"),
]
Positive = Annotated[
    float,
    Field(strict=True, allow_inf_nan=False, gt=0, le=1_000_000),
    Because("an alert at zero would never be silent"),
]


class Receiver(Model):
    """Somebody who is told of alerts."""

    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = Field(
        ("critical", "warning"), description="The alerts it receives, by severity."
    )


class Slack(Receiver):
    """A Slack channel."""

    webhook_url: SecretUrl = Field(description="Incoming webhook; set it with `--secret`.")
    channel: Channel = Field("#alerts", description="Channel or person.")


class Email(Receiver):
    """A mailbox."""

    to: Mailbox = Field(description="Recipient's address.")
    sender: Mailbox = Field(description="Sender's address.")
    host: Address = Field(description="Mail server, `host:port`.")
    username: User | None = Field(
        None, description="User name for the mail server; set it together with the password."
    )
    password: SecretValue | None = Field(
        None, description="Password for the mail server; set it with `--secret`."
    )
    tls: Flag = Field(
        True, description="Whether the connection must be encrypted (STARTTLS, or TLS on port 465)."
    )


class Webhook(Receiver):
    """Any endpoint that accepts Alertmanager's JSON."""

    url: SecretUrl = Field(
        description=(
            "URL to which alerts are posted; set it with `--secret`, since such URLs often"
            " contain a key."
        )
    )


class Pagerduty(Receiver):
    """A PagerDuty service."""

    routing_key: SecretValue = Field(
        description="Integration key of its Events API v2; set it with `--secret`."
    )
    url: Url = Field(
        "https://events.pagerduty.com/v2/enqueue",
        description="Endpoint; `https://events.eu.pagerduty.com/v2/enqueue` in the EU.",
    )


class Opsgenie(Receiver):
    """An Opsgenie team."""

    api_key: SecretValue = Field(description="API key; set it with `--secret`.")
    url: Url = Field(
        "https://api.opsgenie.com/",
        description="Endpoint; `https://api.eu.opsgenie.com/` in the EU.",
    )


class DeadMansSwitch(Model):
    """An endpoint that raises an alarm when it is no longer called."""

    url: SecretUrl = Field(description="URL that is called; set it with `--secret`.")


class Alertmanager(Watcher, Rotatable):
    """Sends alerts to people."""

    memory: Memory = Field(48 * MIB, ge=32 * MIB, description="Memory limit.")
    cpus: Cores = Field(0.25, description="CPU limit, in cores.")
    disk: Disk = Field(
        128 * MIB, description="Disk space for silences and the record of sent notifications."
    )
    log_level: LogLevel = least_logged("info")
    port: HostPort = Field(9093, description="Port on the host.")
    external_url: Url | None = Field(
        None,
        description="URL at which people reach it, for links; its port on the host, if not set.",
    )
    slack: Slack | None = Field(None, description="A Slack channel that receives alerts.")
    email: Email | None = Field(None, description="A mailbox that receives alerts.")
    webhook: Webhook | None = Field(None, description="An endpoint that receives alerts.")
    pagerduty: Pagerduty | None = Field(None, description="A PagerDuty service that is called.")
    opsgenie: Opsgenie | None = Field(None, description="An Opsgenie team that is called.")
    dead_mans_switch: DeadMansSwitch | None = Field(
        None,
        description=(
            "Called about every minute while alerting works; it should raise an alarm when the"
            " calls stop."
        ),
    )
    receivers: ClassVar[tuple[str, ...]] = ("slack", "email", "webhook", "pagerduty", "opsgenie")

    @property
    def has_receiver(self) -> bool:
        """True if anyone is notified of alerts."""
        return any(getattr(self, name) for name in self.receivers)


class Thresholds(Model):
    """When alerts fire."""

    errors_per_minute: Positive = Field(
        10.0, description="HighErrorRate: failures of a service in a minute."
    )
    error_ratio: Ratio = Field(
        0.01, description="HighErrorRatio: part of the HTTP requests that fail."
    )
    response_seconds: Positive = Field(
        1.0,
        description="SlowResponses: time of the slowest twentieth of HTTP requests, in seconds.",
    )
    memory_ratio: Ratio = Field(
        0.9, description="MemoryNearLimit: part of a container's memory limit in use."
    )
    storage_available_ratio: Ratio = Field(
        0.1, description="StorageNearlyFull: part of a file system that is left."
    )
    volume_used_ratio: Positive = Field(
        0.9, description="VolumeBeyondItsSize: data of a store against its `disk`, on Docker."
    )
    connections_ratio: Ratio = Field(
        0.9, description="DatabaseConnectionsNearlyExhausted: part of the connections in use."
    )
    cache_hit_ratio: Ratio = Field(
        0.3, description="CacheHitRateLow: part of the lookups that hit."
    )
    event_spike_factor: Positive = Field(
        3.0, description="EventSpike: events of five minutes, against the hour before."
    )
    logged_errors_per_minute: Positive = Field(
        60.0, description="ManyErrorsLogged: entries of level error in a minute."
    )


class Alerts(Model):
    """Thresholds of the alerts, and rules of your own."""

    thresholds: Thresholds = Field(default_factory=Thresholds, description="When alerts fire.")
    rules: tuple[RulesPath, ...] = Field(
        (), description="Files of Prometheus rules of your own, below `templates/`."
    )
    runbook_url: Url | None = Field(
        None, description="URL of this tree as people browse it, for links to the runbook."
    )
