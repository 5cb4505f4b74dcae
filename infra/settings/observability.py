"""Settings of what watches the others."""

from typing import Annotated

from pydantic import Field

from infra.settings.common import HostPort, Model, ServiceSettings, Sized
from infra.units import GIB, MIB, Duration, Size


class ScrapeTarget(Model):
    """One endpoint of the application that Prometheus scrapes."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] = Field(description="Value of the `job` label.")
    address: str = Field(pattern=r"^[A-Za-z0-9._-]+:\d{1,5}$", description="`host:port`; `host.docker.internal:3000` for one on the host.")
    path: str = Field("/api/metrics", pattern=r"^/", description="Path of the metrics.")
    tls: bool = Field(False, description="Whether it is scraped over HTTPS.")


class Prometheus(ServiceSettings):
    """Metrics."""

    memory: Size = Field(512 * MIB, ge=128 * MIB, description="Memory limit.")
    disk: Size = Field(5 * GIB, ge=GIB, description="Room its series may take; the oldest go at 80 % of it.")
    port: HostPort = Field(9090, description="Port on the host.")
    retention: Duration = Field(15 * 86400, ge=3600, description="How long series are kept.")
    scrape_interval: Duration = Field(15, ge=1, description="Time between two scrapes.")
    targets: tuple[ScrapeTarget, ...] = Field((), description="The application's own metrics.")


class Grafana(ServiceSettings):
    """Dashboards."""

    memory: Size = Field(256 * MIB, ge=128 * MIB, description="Memory limit.")
    disk: Size = Field(GIB, description="Room its database may take.")
    port: HostPort = Field(3001, description="Port on the host.")


class Exporter(Sized):
    """One exporter."""

    enabled: bool = Field(True, description="Whether it is deployed.")
    memory: Size = Field(64 * MIB, ge=16 * MIB, description="Memory limit.")
    cpus: float = Field(0.25, ge=0.01, le=256, description="Cores it may use at most.")


class Exporters(Model):
    """What turns services' and the host's state into metrics."""

    node: Exporter = Field(default_factory=Exporter, description="The host's metrics.")
    postgres: Exporter = Field(default_factory=Exporter, description="Postgres' metrics.")
    redis: Exporter = Field(default_factory=Exporter, description="Each Redis instance's metrics.")
