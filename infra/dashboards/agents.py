"""Agents and evaluations: how often, how long, how good."""

from infra.dashboards.model import Board, Query, Row, panel, quantile, rate

_RUNS = rate("agent_runs_total", "agent")
_FAILED = rate("agent_runs_total", "agent", where='{status="error"}')
_CALLS = "traces_spanmetrics_calls_total"
_WITH_ERROR = '{status_code="STATUS_CODE_ERROR"}'

BOARD = Board(
    "agents",
    "Agents and Evaluations",
    "Runs of agents, their duration and failures; results and scores of evaluations; spans.",
    (
        Row(
            "Agents",
            (
                panel(
                    "Runs",
                    "Per second, by agent.",
                    "ops",
                    Query(rate("agent_runs_total", "service", "agent"), "{{service}} {{agent}}"),
                ),
                panel(
                    "Runs that fail",
                    "Part of the runs, by agent.",
                    "percentunit",
                    Query(
                        f"({_FAILED} or 0 * {_RUNS}) / {_RUNS}",
                        "{{agent}}",
                    ),
                    warn=0.05,
                    alarm=0.2,
                ),
                panel(
                    "Duration",
                    "Median and 95th percentile of a run.",
                    "s",
                    Query(quantile(0.5, "agent_run_duration_seconds", "agent"), "{{agent}} p50"),
                    Query(quantile(0.95, "agent_run_duration_seconds", "agent"), "{{agent}} p95"),
                ),
                panel(
                    "Steps by tool",
                    "Per second.",
                    "ops",
                    Query(rate("agent_steps_total", "agent", "tool"), "{{agent}} {{tool}}"),
                    width=12,
                    stack=True,
                ),
                panel(
                    "Steps per run",
                    "A rise means that an agent goes round in circles.",
                    "short",
                    Query(
                        f"{rate('agent_steps_total', 'agent')} / {_RUNS}",
                        "{{agent}}",
                    ),
                    width=12,
                ),
            ),
            "application",
        ),
        Row(
            "Evaluations",
            (
                panel(
                    "Passed",
                    "Part of the evaluations in the last hour.",
                    "percentunit",
                    Query(
                        'sum by (suite) (increase(evaluations_total{result="passed"}[1h]))'
                        " / sum by (suite) (increase(evaluations_total[1h]))",
                        "{{suite}}",
                    ),
                    kind="gauge",
                    warn=0.8,
                    alarm=0.5,
                    maximum=1,
                ),
                panel(
                    "Results",
                    "Per second, by suite.",
                    "ops",
                    Query(rate("evaluations_total", "suite", "result"), "{{suite}} {{result}}"),
                    stack=True,
                ),
                panel(
                    "Score",
                    "Median and worst tenth, from 0 to 1.",
                    "short",
                    Query(quantile(0.5, "evaluation_score", "suite"), "{{suite}} p50"),
                    Query(quantile(0.1, "evaluation_score", "suite"), "{{suite}} p10"),
                    maximum=1,
                ),
            ),
            "application",
        ),
        Row(
            "Spans",
            (
                panel(
                    "Spans",
                    "Per second, by service and name; computed by Tempo from every trace.",
                    "ops",
                    Query(
                        f"topk(10, {rate(_CALLS, 'service', 'span_name')})",
                        "{{service}} {{span_name}}",
                    ),
                ),
                panel(
                    "Duration of spans",
                    "95th percentile, by service.",
                    "s",
                    Query(quantile(0.95, "traces_spanmetrics_latency", "service"), "{{service}}"),
                ),
                panel(
                    "Spans with an error",
                    "Per second, by service.",
                    "ops",
                    Query(
                        f"{rate(_CALLS, 'service', where=_WITH_ERROR)}"
                        f" or 0 * {rate(_CALLS, 'service')}"
                    ),
                ),
            ),
            "tempo",
        ),
    ),
)
