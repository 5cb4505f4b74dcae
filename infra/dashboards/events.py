"""Events: how many, how fast, and whether they come in a spike."""

from infra.dashboards.model import Board, Query, Row, panel, quantile, rate

_EVENTS = rate("events_total", "name")
_FAILED = rate("events_total", "name", where='{status="error"}')

BOARD = Board(
    "events",
    "Events",
    "Volume, latency and failures of the events that an application processes.",
    (
        Row(
            "Events",
            (
                panel(
                    "Volume",
                    "Per second, by name.",
                    "ops",
                    Query(rate("events_total", "service", "name"), "{{service}} {{name}}"),
                    width=12,
                    stack=True,
                ),
                panel(
                    "Against the hour before",
                    "Beyond groundwork:alerts.thresholds.eventSpikeFactor an alert fires.",
                    "short",
                    Query(
                        "groundwork:events:rate5m / (groundwork:events:rate1h > 0)"
                        " or 0 * groundwork:events:rate5m",
                        "{{service}} {{name}}",
                    ),
                    width=12,
                    warn=2,
                    alarm=3,
                ),
                panel(
                    "Latency",
                    "Median, 95th and 99th percentile until an event was processed.",
                    "s",
                    Query(quantile(0.5, "event_duration_seconds", "name"), "{{name}} p50"),
                    Query(quantile(0.95, "event_duration_seconds", "name"), "{{name}} p95"),
                    Query(quantile(0.99, "event_duration_seconds", "name"), "{{name}} p99"),
                    width=12,
                    warn=0.5,
                ),
                panel(
                    "Failures",
                    "Part of the events, by name.",
                    "percentunit",
                    Query(
                        f"({_FAILED} or 0 * {_EVENTS}) / {_EVENTS}",
                        "{{name}}",
                    ),
                    width=12,
                    warn=0.001,
                    alarm=0.01,
                ),
            ),
            "application",
        ),
    ),
)
