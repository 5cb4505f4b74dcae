"""The dashboards, one module each."""

from collections.abc import Sequence

from infra.dashboards import (
    agents,
    ai_models,
    analytics,
    cache_jobs,
    cost,
    databases,
    events,
    logs,
    system_health,
    vector_search,
)
from infra.dashboards.model import Board
from infra.settings import Settings
from infra.settings.observability import Exporters, Grafana, Prometheus
from infra.settings.stores import Clickhouse
from infra.spec import Service

BOARDS: tuple[Board, ...] = tuple(
    module.BOARD
    for module in (
        system_health,
        ai_models,
        agents,
        events,
        analytics,
        databases,
        cost,
        cache_jobs,
        vector_search,
        logs,
    )
)

APPLICATION = "application"
"""The requirement of rows with the application's own metrics."""


def present(settings: Settings, services: Sequence[Service]) -> frozenset[str]:
    """Names of what can be shown: monitored services, and their kinds."""
    told = {metrics.of or service.name for service in services for metrics in service.metrics}
    # Of a service in several instances, such as redis-cache, the rows show all.
    found = {part for name in told for part in (name, name.partition("-")[0])}
    if settings.of(Exporters).containers.enabled:
        found.add("containers")
    if settings.of(Prometheus).usable:
        found.add("prometheus")
    if settings.of(Grafana).clickhouse and settings.of(Clickhouse).deployed:
        found.add(analytics.NEEDS)
    # Without a target the row says what an application has to do.
    return frozenset(found | {APPLICATION})
