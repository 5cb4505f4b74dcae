"""A small application with metrics at /api/metrics.

Every request to / does what an application does: it looks into a cache, searches vectors, asks a
model, takes in a document and runs a job, each timed and counted. What it talks to is not the
point here, so the work itself is a number drawn from a generator with a fixed seed.

    python -m tests.example.application --port 3000
"""

import argparse
import random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

REGISTRY = CollectorRegistry()
# Among others when it was started, which says whether a counter is of today.
ProcessCollector(registry=REGISTRY)


def _counter(name: str, help: str, *labels: str) -> Counter:
    return Counter(name, help, labels, registry=REGISTRY)


def _histogram(name: str, help: str, *labels: str) -> Histogram:
    return Histogram(
        name,
        help,
        labels,
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        registry=REGISTRY,
    )


def _gauge(name: str, help: str, *labels: str) -> Gauge:
    return Gauge(name, help, labels, registry=REGISTRY)


AI_REQUESTS = _counter("ai_requests_total", "Requests to a model.", "provider", "model", "status")
AI_DURATION = _histogram(
    "ai_request_duration_seconds",
    "Time until a model's response was complete.",
    "provider",
    "model",
)
AI_TOKENS = _counter("ai_tokens_total", "Tokens.", "provider", "model", "type")
AI_COST = _counter("ai_cost_usd_total", "Cost of requests, in US dollars.", "provider", "model")
BREAKER = _gauge("ai_circuit_breaker_state", "0 closed, 1 half open, 2 open.", "provider")
DOCUMENTS = _counter("documents_processed_total", "Documents taken in.", "type", "status")
DOCUMENT_DURATION = _histogram(
    "document_processing_duration_seconds", "Time to process one document.", "type"
)
VECTORIZATION_DURATION = _histogram(
    "document_vectorization_duration_seconds", "Time to compute one document's vectors.", "model"
)
SEARCHES = _counter("vector_searches_total", "Searches.", "index", "status")
SEARCH_DURATION = _histogram("vector_search_duration_seconds", "Time of one search.", "index")
INDEX_SIZE = _gauge("vector_index_size", "Vectors in an index.", "index")
CACHE = _counter("cache_operations_total", "Operations on a cache.", "cache", "operation", "result")
CACHE_DURATION = _histogram(
    "cache_operation_duration_seconds", "Time of one operation.", "cache", "operation"
)
JOBS = _counter("jobs_total", "Jobs that ended.", "queue", "status")
JOB_DURATION = _histogram("job_duration_seconds", "Time of one job.", "queue")
JOBS_WAITING = _gauge("jobs_waiting", "Jobs waiting to start.", "queue")
EVENTS = _counter("events_total", "Events processed.", "name", "status")
EVENT_DURATION = _histogram("event_duration_seconds", "Time until an event was processed.", "name")
RUNS = _counter("agent_runs_total", "Runs of an agent.", "agent", "status")
RUN_DURATION = _histogram("agent_run_duration_seconds", "Duration of one run.", "agent")
STEPS = _counter("agent_steps_total", "Steps of runs.", "agent", "tool")
EVALUATIONS = _counter("evaluations_total", "Evaluations.", "suite", "result")
SCORE = Histogram(
    "evaluation_score",
    "Score of one evaluation, from 0 to 1.",
    ["suite"],
    buckets=[tenth / 10 for tenth in range(1, 11)],
    registry=REGISTRY,
)
HTTP_REQUESTS = _counter("http_requests_total", "Requests answered.", "method", "route", "status")
HTTP_DURATION = _histogram(
    "http_request_duration_seconds", "Time until the response was sent.", "method", "route"
)


class Work:
    """What one request causes. Times are seconds, drawn and not slept."""

    def __init__(self, seed: int = 7) -> None:
        self._draw = random.Random(seed)  # noqa: S311 - numbers to look at, not secrets
        self._vectors = 0
        for provider in ("openai", "anthropic"):
            BREAKER.labels(provider).set(0)

    def once(self, trace: str | None = None) -> int:
        """Does it, and returns the HTTP status. `trace` is the id of the trace that the request
        belongs to.
        """
        draw = self._draw
        hit = draw.random() < 0.6
        CACHE.labels("answers", "get", "hit" if hit else "miss").inc()
        CACHE_DURATION.labels("answers", "get").observe(draw.uniform(0.0005, 0.004))
        if not hit:
            self._search()
            self._ask()
            CACHE.labels("answers", "set", "success").inc()
            CACHE_DURATION.labels("answers", "set").observe(draw.uniform(0.0005, 0.004))
        self._take_in()
        self._run_an_agent()
        status = 500 if draw.random() < 0.02 else 200
        HTTP_REQUESTS.labels("GET", "/", str(status)).inc()
        # An exemplar: from this sample the dashboards lead to the trace.
        HTTP_DURATION.labels("GET", "/").observe(
            draw.uniform(0.02, 0.4), {"trace_id": trace} if trace else None
        )
        return status

    def overrun(self) -> None:
        """Spends more on a model than a day's budget allows."""
        AI_COST.labels("openai", "gpt-4o-mini").inc(25)

    def _search(self) -> None:
        SEARCHES.labels("documents", "success").inc()
        SEARCH_DURATION.labels("documents").observe(self._draw.uniform(0.003, 0.03))

    def _ask(self) -> None:
        provider, model, price = self._draw.choice(
            (("openai", "gpt-4o-mini", 6e-7), ("anthropic", "claude-3-5-haiku-latest", 4e-6))
        )
        failed = self._draw.random() < 0.03
        prompt, completion = self._draw.randrange(200, 2000), self._draw.randrange(20, 400)
        AI_REQUESTS.labels(provider, model, "error" if failed else "success").inc()
        AI_DURATION.labels(provider, model).observe(self._draw.uniform(0.3, 4))
        AI_TOKENS.labels(provider, model, "prompt").inc(prompt)
        AI_TOKENS.labels(provider, model, "completion").inc(completion)
        # A thousandth of the price, so that no example spends a budget.
        AI_COST.labels(provider, model).inc((prompt + completion) * price / 1000)

    def _run_an_agent(self) -> None:
        draw, agent = self._draw, self._draw.choice(("planner", "writer"))
        failed = draw.random() < 0.05
        RUNS.labels(agent, "error" if failed else "success").inc()
        RUN_DURATION.labels(agent).observe(draw.uniform(0.5, 20))
        for tool in ("search", "model"):
            STEPS.labels(agent, tool).inc(draw.randrange(1, 5))
        score = draw.betavariate(8, 2)
        EVALUATIONS.labels("answers", "passed" if score > 0.7 else "failed").inc()
        SCORE.labels("answers").observe(score)
        EVENTS.labels("question", "error" if failed else "success").inc()
        EVENT_DURATION.labels("question").observe(draw.uniform(0.01, 0.6))

    def _take_in(self) -> None:
        failed = self._draw.random() < 0.01
        DOCUMENTS.labels("pdf", "error" if failed else "success").inc()
        DOCUMENT_DURATION.labels("pdf").observe(self._draw.uniform(0.2, 3))
        VECTORIZATION_DURATION.labels("text-embedding-3-small").observe(
            self._draw.uniform(0.05, 0.6)
        )
        self._vectors += self._draw.randrange(5, 40)
        INDEX_SIZE.labels("documents").set(self._vectors)
        JOBS.labels("default", "error" if failed else "success").inc()
        JOB_DURATION.labels("default").observe(self._draw.uniform(0.2, 5))
        JOBS_WAITING.labels("default").set(self._draw.randrange(0, 12))


class _Handler(BaseHTTPRequestHandler):
    work = Work()

    def do_GET(self) -> None:
        """/api/metrics for Prometheus, /overrun to see what alerts; anything else is work."""
        if urlsplit(self.path).path == "/api/metrics":
            # Prometheus asks for OpenMetrics, the format that has exemplars.
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            self._send(200, kind, encode(REGISTRY))
        elif urlsplit(self.path).path == "/overrun":
            self.work.overrun()
            self._send(200, "text/plain", b"spent\n")
        else:
            # https://www.w3.org/TR/trace-context/: version, trace, span and flags.
            parts = self.headers.get("traceparent", "").split("-")
            self._send(
                self.work.once(parts[1] if len(parts) == 4 else None), "text/plain", b"done\n"
            )

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are counted, not printed."""


def serve(host: str, port: int) -> ThreadingHTTPServer:
    """The application, listening but not yet serving."""
    return ThreadingHTTPServer((host, port), _Handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    chosen = parser.parse_args()
    serve(chosen.host, chosen.port).serve_forever()
