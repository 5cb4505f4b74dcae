"""Logs of all services, redacted."""

from infra.dashboards.model import Board, Query, Row, panel

_ALL = '{environment=~".+"}'

BOARD = Board(
    "logs",
    "Logs",
    "Log volume, errors, and the log lines themselves, redacted.",
    (
        Row(
            "Volume",
            (
                panel(
                    "Lines",
                    "Per second, by service.",
                    "short",
                    Query(f"sum by (service) (rate({_ALL}[1m]))"),
                    source="loki",
                    width=12,
                    stack=True,
                ),
                panel(
                    "Errors",
                    "Lines of level error or worse, per second.",
                    "short",
                    Query(
                        f'sum by (service) (rate({_ALL} | detected_level=~"error|critical|fatal"'
                        " [5m]))"
                    ),
                    source="loki",
                    width=12,
                    alarm=1,
                ),
            ),
            "alloy-logs",
        ),
        Row(
            "Errors",
            (
                panel(
                    "Errors",
                    "The lines themselves.",
                    "short",
                    Query(f'{_ALL} | detected_level=~"error|critical|fatal"', ""),
                    kind="logs",
                    source="loki",
                    width=24,
                    height=10,
                ),
            ),
            "alloy-logs",
        ),
        Row(
            "Everything",
            (
                panel(
                    "Lines",
                    "From all services; `trace_id` in a line's details links to its trace.",
                    "short",
                    Query(_ALL, ""),
                    kind="logs",
                    source="loki",
                    width=24,
                    height=14,
                ),
            ),
            "alloy-logs",
        ),
        Row(
            "Pipeline",
            (
                panel(
                    "Ingested",
                    "Lines received by Loki, per second.",
                    "short",
                    Query("sum(rate(loki_distributor_lines_received_total[5m]))", "lines"),
                ),
                panel(
                    "Lost",
                    "Lines that the collector could not deliver, per second.",
                    "short",
                    Query(
                        "sum by (reason) (rate(loki_write_dropped_entries_total[5m]))", "{{reason}}"
                    ),
                    alarm=1,
                ),
                panel(
                    "Streams",
                    "Active label sets.",
                    "short",
                    Query("sum(loki_ingester_memory_streams)", "streams"),
                ),
            ),
            "alloy-logs",
        ),
    ),
)
