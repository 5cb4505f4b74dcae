"""The metrics that an application exposes for Groundwork's dashboards and alerts: names, kinds,
labels.

`docs/metrics.md` is generated from it, the dashboards and rules are checked against it, and
`tests/example` is an application that exposes all of it.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "histogram", "gauge"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as Prometheus names it; a histogram's series end in `_bucket`, `_sum` and
    `_count`.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str

    @property
    def series(self) -> frozenset[str]:
        """The names under which it is stored."""
        return frozenset(
            {f"{self.name}_{part}" for part in ("bucket", "sum", "count")}
            if self.kind == "histogram"
            else {self.name}
        )


CONTRACT: dict[str, tuple[Metric, ...]] = {
    "AI models": (
        Metric(
            "ai_requests_total",
            "counter",
            ("provider", "model", "status"),
            "Requests to a model; `status` is `success` or `error`.",
        ),
        Metric(
            "ai_request_duration_seconds",
            "histogram",
            ("provider", "model"),
            "Time until a model's response was complete.",
        ),
        Metric(
            "ai_tokens_total",
            "counter",
            ("provider", "model", "type"),
            "Tokens; `type` is `prompt` or `completion`.",
        ),
        Metric(
            "ai_cost_usd_total",
            "counter",
            ("provider", "model"),
            "Cost of requests, in US dollars.",
        ),
        Metric(
            "ai_circuit_breaker_state", "gauge", ("provider",), "0 closed, 1 half open, 2 open."
        ),
    ),
    "Documents": (
        Metric(
            "documents_processed_total",
            "counter",
            ("type", "status"),
            "Documents processed; `status` is `success` or `error`.",
        ),
        Metric(
            "document_processing_duration_seconds",
            "histogram",
            ("type",),
            "Time to process one document, including its vectors.",
        ),
        Metric(
            "document_vectorization_duration_seconds",
            "histogram",
            ("model",),
            "Time to compute one document's vectors.",
        ),
    ),
    "Vector search": (
        Metric(
            "vector_searches_total",
            "counter",
            ("index", "status"),
            "Searches; `status` is `success` or `error`.",
        ),
        Metric(
            "vector_search_duration_seconds", "histogram", ("index",), ("Duration of one search.")
        ),
        Metric("vector_index_size", "gauge", ("index",), "Vectors in an index."),
    ),
    "Cache": (
        Metric(
            "cache_operations_total",
            "counter",
            ("cache", "operation", "result"),
            "Operations; `result` of a `get` is `hit` or `miss`, of others `success` or `error`."
            " The hit ratio is computed from it.",
        ),
        Metric(
            "cache_operation_duration_seconds",
            "histogram",
            ("cache", "operation"),
            "Duration of one operation.",
        ),
    ),
    "Jobs": (
        Metric(
            "jobs_total",
            "counter",
            ("queue", "status"),
            "Finished jobs; `status` is `success` or `error`.",
        ),
        Metric("job_duration_seconds", "histogram", ("queue",), "Duration of one job."),
        Metric("jobs_waiting", "gauge", ("queue",), "Jobs waiting to start."),
    ),
    "Events": (
        Metric(
            "events_total",
            "counter",
            ("name", "status"),
            "Events processed; `status` is `success` or `error`.",
        ),
        Metric(
            "event_duration_seconds",
            "histogram",
            ("name",),
            "Time from an event's arrival until it was processed.",
        ),
    ),
    "Agents": (
        Metric(
            "agent_runs_total",
            "counter",
            ("agent", "status"),
            "Runs of an agent; `status` is `success` or `error`.",
        ),
        Metric("agent_run_duration_seconds", "histogram", ("agent",), "Duration of one run."),
        Metric(
            "agent_steps_total", "counter", ("agent", "tool"), "Steps of runs, by the tool used."
        ),
        Metric(
            "evaluations_total",
            "counter",
            ("suite", "result"),
            "Evaluations; `result` is `passed` or `failed`.",
        ),
        Metric(
            "evaluation_score",
            "histogram",
            ("suite",),
            "Score of one evaluation, from 0 to 1.",
        ),
    ),
    "HTTP": (
        Metric(
            "http_requests_total",
            "counter",
            ("method", "route", "status"),
            "Requests served; `route` is the pattern, never the path.",
        ),
        Metric(
            "http_request_duration_seconds",
            "histogram",
            ("method", "route"),
            "Time until the response was sent.",
        ),
    ),
}
"""Metrics by subject."""

METRICS: tuple[Metric, ...] = tuple(metric for group in CONTRACT.values() for metric in group)
