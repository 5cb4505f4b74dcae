"""Analytics: what applications write into ClickHouse, asked in SQL."""

from infra.dashboards.model import Board, Query, Row, panel

NEEDS = "clickhouse source"
"""The requirement of these rows: ClickHouse as a data source of Grafana."""


def _over_time(table: str, columns: str, by: str = "") -> Query:
    """Columns in each of the panel's intervals, by another column or by none."""
    asked = ", ".join(filter(None, ("$__timeInterval(timestamp) AS time", by, columns)))
    name = by.rpartition(" AS ")[2]
    groups = ", ".join(filter(None, ("time", name)))
    return Query(f"{_from(asked, table)} GROUP BY {groups} ORDER BY time")


def _rows(table: str, by: str, columns: str, order: str) -> Query:
    """A row for each value of other columns."""
    groups = ", ".join(part.rpartition(" AS ")[2] for part in by.split(", "))
    return Query(f"{_from(f'{by}, {columns}', table)} GROUP BY {groups} ORDER BY {order}")


def _from(columns: str, table: str) -> str:
    return f"SELECT {columns} FROM {table} WHERE $__timeFilter(timestamp)"  # noqa: S608 - constants


BOARD = Board(
    "analytics",
    "Analytics",
    "Events, runs of agents and evaluations in ClickHouse, by organisation and user.",
    (
        Row(
            "Events",
            (
                panel(
                    "Events",
                    "In each interval, by name.",
                    "short",
                    _over_time("events", "count() AS events", "name"),
                    source="clickhouse",
                    stack=True,
                    width=12,
                ),
                panel(
                    "Latency",
                    "Median and 95th percentile in milliseconds.",
                    "short",
                    _over_time(
                        "events",
                        "quantile(0.5)(duration_ms) AS p50, quantile(0.95)(duration_ms) AS p95",
                    ),
                    source="clickhouse",
                    width=12,
                ),
                panel(
                    "Organisations",
                    "The ten with the most events, and their users.",
                    "short",
                    _rows(
                        "events",
                        "toString(organisation_id) AS organisation",
                        "count() AS events, uniq(user_id) AS users,"
                        " toFloat64(sum(cost_usd)) AS cost_usd",
                        "events DESC LIMIT 10",
                    ),
                    source="clickhouse",
                    kind="table",
                    width=24,
                ),
            ),
            NEEDS,
        ),
        Row(
            "Agents",
            (
                panel(
                    "Runs",
                    "In each interval, by agent and status.",
                    "short",
                    _over_time(
                        "agent_runs", "count() AS runs", "concat(agent, ' ', status) AS run"
                    ),
                    source="clickhouse",
                    stack=True,
                ),
                panel(
                    "Cost of a run",
                    "Average in US dollars, by agent.",
                    "currencyUSD",
                    _over_time("agent_runs", "toFloat64(avg(cost_usd)) AS cost", "agent"),
                    source="clickhouse",
                ),
                panel(
                    "Agents",
                    "Runs, part that failed, steps, tokens and 95th percentile of the duration.",
                    "short",
                    _rows(
                        "agent_runs",
                        "agent",
                        "count() AS runs, countIf(status = 'error') / count() AS failed,"
                        " avg(steps) AS steps, sum(tokens) AS tokens,"
                        " quantile(0.95)(duration_ms) AS p95_ms",
                        "runs DESC",
                    ),
                    source="clickhouse",
                    kind="table",
                ),
            ),
            NEEDS,
        ),
        Row(
            "Evaluations",
            (
                panel(
                    "Passed",
                    "Part of the evaluations in each interval, by suite.",
                    "percentunit",
                    _over_time("evaluations", "countIf(passed) / count() AS passed", "suite"),
                    source="clickhouse",
                    width=12,
                    maximum=1,
                ),
                panel(
                    "Models",
                    "Evaluations, score and part that passed, by suite and model.",
                    "short",
                    _rows(
                        "evaluations",
                        "suite, model",
                        "count() AS evaluations, avg(score) AS score,"
                        " countIf(passed) / count() AS passed",
                        "suite, score DESC",
                    ),
                    source="clickhouse",
                    kind="table",
                    width=12,
                ),
            ),
            NEEDS,
        ),
    ),
)
