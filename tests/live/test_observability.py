"""The platform explains itself: every panel has data, alerts arrive, logs are redacted, traces are
found.
"""

import io
import json
import operator
import os
import re
import secrets
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from docker.types import LogConfig
from minio.deleteobjects import DeleteObject
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from infra.contract import METRICS
from infra.dashboards import BOARDS, analytics
from infra.dashboards.model import Query
from infra.images import BASE_TAG
from tests.health.telemetry import send_log
from tests.live.clone import LEFT_OUT, Clone
from tests.live.conftest import VENDOR_KEY
from tests.live.load import Load
from tests.live.stubs import Received, Receiver, Stubs
from tests.live.test_applications import buckets_of
from tests.live.test_frameworks import FRAMEWORKS, run_node
from tests.support import lanes
from tests.support.waiting import TimedOut, wait_until

# Those of Analytics are in ClickHouse's SQL; tests/unit/test_clickhouse_schema.py runs them on
# its engine.
ASKED = [board for board in BOARDS if board is not analytics.BOARD]
PANELS = [
    pytest.param(board.slug, row.needs, panel, id=f"{board.slug}/{row.title}/{panel.title}")
    for board in ASKED
    for row, panel in board.panels()
]
_PATIENCE = (
    180  # seconds until the slowest window (five minutes of rates need two samples) has data
)
_ALERT_PATIENCE = 300


class Answers:
    """Asks Prometheus and Loki as Grafana does."""

    def __init__(self, clone: Clone) -> None:
        environment = clone.outputs()["administration"]
        self._prometheus = httpx.Client(
            base_url=environment["PROMETHEUS_URL"],
            auth=(environment["PROMETHEUS_USER"], environment["PROMETHEUS_PASSWORD"]),
            timeout=20,
        )
        self._loki = httpx.Client(base_url=f"http://{address(clone, 'loki')}:3100", timeout=20)

    def close(self) -> None:
        self._prometheus.close()
        self._loki.close()

    def has_data(self, query: Query, source: str) -> bool:
        """True if a panel's query gives at least one number, or line, now."""
        return bool(
            self.lines(query.expression) if source == "loki" else self.numbers(query.expression)
        )

    def numbers(self, expression: str) -> list[dict[str, Any]]:
        """What an instant query gives, without what is no number."""
        answer = self._prometheus.get(
            "/api/v1/query", params={"query": expression.replace("$__rate_interval", "1m")}
        )
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        return [item for item in answer.json()["data"]["result"] if item["value"][1] != "NaN"]

    def exemplars(self, expression: str) -> set[str]:
        """The traces that samples of the last half hour name."""
        span = {"start": str(time.time() - 1800), "end": str(time.time())}
        answer = self._prometheus.get(
            "/api/v1/query_exemplars", params={"query": expression, **span}
        )
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        return {
            found["labels"]["trace_id"]
            for series in answer.json()["data"]
            for found in series["exemplars"]
        }

    def lines(self, expression: str) -> list[dict[str, Any]]:
        """The streams that a query finds in the last half hour."""
        start = str(time.time_ns() - 1800 * 10**9)
        answer = self._loki.get(
            "/loki/api/v1/query_range",
            params={"query": expression, "start": start, "limit": "1000", "step": "15s"},
        )
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found


def lines_of(streams: list[dict[str, Any]]) -> list[str]:
    return [line for stream in streams for _, line in stream["values"]]


def arrived(answers: Answers, query: str, *, count: int) -> list[str]:
    """The lines that a query finds, once there are as many."""
    return wait_until(
        lambda: lines_of(answers.lines(query)),
        until=lambda lines: len(lines) >= count,
        timeout=60,
        interval=1,
        reason=f"{count} lines have arrived",
    )


def address(clone: Clone, part: str) -> str:
    networks = clone.docker.containers.get(clone.name(part)).attrs["NetworkSettings"]["Networks"]
    return next(str(network["IPAddress"]) for network in networks.values() if network["IPAddress"])


@pytest.fixture(scope="module")
def answers(deployed: Clone) -> Iterator[Answers]:
    made = Answers(deployed)
    yield made
    made.close()


@pytest.fixture(scope="module")
def load(deployed: Clone, stubs: Stubs) -> Iterator[None]:
    """An application's work, as long as this module's tests run, after a first backup."""
    deployed.ops("backup")
    with Load(deployed.outputs()["environment"], stubs):
        yield


@pytest.fixture(scope="module")
def empty(answers: Answers, load: None) -> set[tuple[str, str, str]]:
    """The queries that stay without data, each with its board and panel, once those that can have
    some do.
    """

    def without() -> set[tuple[str, str, str]]:
        return {
            (board.slug, panel.title, query.expression)
            for board in ASKED
            for row, panel in board.panels()
            for query in panel.queries
            if row.needs not in LEFT_OUT and not answers.has_data(query, panel.source)
        }

    try:
        return wait_until(
            without,
            until=operator.not_,
            timeout=_PATIENCE,
            interval=5,
            reason="no query is without data",
        )
    except TimedOut as error:
        left: set[tuple[str, str, str]] = error.last
        return left


@pytest.mark.parametrize(("slug", "needs", "panel"), PANELS)
def test_every_query_of_every_panel_returns_data(
    slug: str, needs: str | None, panel: Any, empty: set[tuple[str, str, str]], answers: Answers
) -> None:
    """Or it belongs to a service that cannot be had here, and then it returns none: else the list
    of those must shrink.
    """
    if needs in LEFT_OUT:
        assert not [query for query in panel.queries if answers.has_data(query, panel.source)]
    else:
        assert [
            query.expression
            for query in panel.queries
            if (slug, panel.title, query.expression) in empty
        ] == []


def test_the_example_exposes_the_contract_and_is_scraped(answers: Answers, load: None) -> None:
    """All of it, with the labels that the contract names, and nothing beside it but what tells of
    the process.
    """

    def exposed() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for series in answers.numbers(
            '{job="shop", __name__!~".*_created|up|scrape_.*|process_.*|groundwork:.*"}'
        ):
            others = {"__name__", "job", "instance", "service", "role", "le"}
            labels = set(series["metric"]) - others
            found.setdefault(series["metric"]["__name__"], set()).update(labels)
        return found

    contract = {name: set(metric.labels) for metric in METRICS for name in metric.series}
    wait_until(
        lambda: contract.keys() - exposed().keys(),
        until=operator.not_,
        timeout=30,
        interval=1,
        reason="no series of the contract is missing",
    )
    assert exposed() == contract


def test_a_sample_leads_to_its_trace(answers: Answers, stubs: Stubs, load: None) -> None:
    trace = secrets.token_hex(16)
    url = f"http://{stubs.application.server_address[0]!s}:{stubs.metrics_port}/"
    httpx.get(url, headers={"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}, timeout=5)
    wait_until(
        lambda: answers.exemplars('http_request_duration_seconds_bucket{job="shop"}'),
        until=lambda traces: trace in traces,
        timeout=45,
        interval=1,
        reason=f"a sample names the trace {trace}",
    )


def test_litellms_series_do_not_multiply_with_its_clients(answers: Answers, load: None) -> None:
    """Neither an address, nor a program's name, nor an e-mail of who asked is a label."""
    wait_until(
        lambda: answers.numbers('litellm_proxy_total_requests_metric_total{service="litellm"}'),
        timeout=30,
        interval=1,
        reason="LiteLLM has counted a request",
    )
    labels = {
        label
        for series in answers.numbers('{service="litellm", __name__=~"litellm_.*"}')
        for label in series["metric"]
    }
    assert "requested_model" in labels
    assert not labels & {"client_ip", "user_agent", "user_email"}


# This and the next come before alerts are made to fire, for which MinIO stops.
def test_the_use_of_volumes_is_known(answers: Answers) -> None:
    """Of all that keep data; Tempo's appears with its first block, Loki's with its first chunk, a
    repository's with the first backup.
    """
    wanted = {
        *("postgres-data", "redis-cache-data", "redis-queue-data", "minio-data"),
        *("prometheus-data", "alertmanager-data"),
    }
    wait_until(
        lambda: {
            item["metric"]["volume"] for item in answers.numbers("groundwork:volume_used:ratio")
        },
        until=lambda known: wanted <= known,
        timeout=150,
        interval=3,
        reason=f"all of {sorted(wanted)} are known",
    )


def test_each_request_for_an_object_is_in_the_log(deployed: Clone, answers: Answers) -> None:
    """With who asked for what and the outcome; nobody without MinIO's token adds a line."""
    name = f"audited-{uuid.uuid4().hex[:8]}"
    environment = deployed.outputs()["environment"]
    store = buckets_of(environment)
    store.put_object("documents", name, io.BytesIO(b"text"), 4)
    assert list(store.remove_objects("documents", [DeleteObject(name)])) == []
    lines = arrived(answers, f'{{service="minio", stream="audit"}} |= "{name}"', count=2)
    (written,) = [line for line in lines if line.startswith('action="PutObject" ')]
    assert f'user="app" bucket="documents" object="{name}" objects="" status=200 from=' in written
    assert any('action="DeleteMultipleObjects" user="app"' in line for line in lines), lines
    forged = httpx.post(
        f"http://{address(deployed, 'alloy')}:8088/services/collector/raw",
        content=b'{"accessKey": "app"}',
        headers={"Authorization": "Bearer not-the-token"},
        timeout=10,
    )
    assert forged.status_code == 401


def test_who_connects_and_what_changes_tables_is_in_the_log(
    deployed: Clone, answers: Answers
) -> None:
    """With the role and the database, and without the password of a role."""
    mark = f"audited_{uuid.uuid4().hex[:8]}"
    with deployed.owner() as db:
        db.execute(f"CREATE TABLE {mark} (value text)")
        db.execute("INSERT INTO " + mark + " VALUES ('a-row-of-the-application')")
        # As drivers send what they have prepared.
        db.execute(f"DROP TABLE {mark}", prepare=True)
    found = arrived(answers, f'{{service="postgres"}} |= "{mark}"', count=2)
    pattern = re.compile(r"app_owner@app LOG:  (statement|execute [^:]*): ")
    assert all(pattern.search(line) for line in found), found
    assert not any("a-row-of-the-application" in line for line in found), "it changes no table"
    connected = "connection authorized: user=app_owner database=app"
    assert answers.lines(f'{{service="postgres"}} |= "{connected}"')


@contextmanager
def small_volume() -> Iterator[Path]:
    """A file system of 16 MiB on the host, full."""
    place = Path("/mnt") / f"groundwork-test-{secrets.token_hex(4)}"
    place.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "groundwork-test", str(place)], check=True
    )
    try:
        (place / "data").write_bytes(os.urandom(15 * 1024**2 + 512 * 1024))
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def alerts_in(receiver: Receiver, status: str = "firing") -> list[dict[str, Any]]:
    return [
        {**alert["labels"], **alert["annotations"]}
        for item in list(receiver.received)
        if item.path == "/alerts"
        for alert in json.loads(item.body)["alerts"]
        if alert["status"] == status
    ]


def drilled(deployed: Clone, name: str, severity: str, *, seconds: float) -> None:
    """An alert of no rule, as Prometheus hands one over, that is over after some seconds."""
    told = deployed.outputs()["administration"]
    ends = datetime.now(UTC) + timedelta(seconds=seconds)
    alert = {
        "labels": {"alertname": name, "severity": severity, "environment": "live"},
        "annotations": {"summary": "a drill", "action": "none", "runbook": "docs/runbook.md"},
        "endsAt": ends.isoformat(),
    }
    answer = httpx.post(
        f"{told['ALERTMANAGER_URL']}/api/v2/alerts",
        json=[alert],
        auth=(told["ALERTMANAGER_USER"], told["ALERTMANAGER_PASSWORD"]),
        timeout=10,
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def alerting(deployed: Clone, stubs: Stubs, load: None) -> Iterator[Path]:
    """A container is stopped, a volume filled and a budget overrun, all at once, until this module
    ends: alerts wait for minutes, in which others are tested. It gives the volume.
    """
    minio = deployed.docker.containers.get(deployed.name("minio"))
    minio.stop(timeout=20)
    try:
        with small_volume() as volume:
            url = f"http://{stubs.application.server_address[0]!s}:{stubs.metrics_port}/overrun"
            httpx.get(url, timeout=5)
            drilled(deployed, "DrillWarning", "warning", seconds=600)
            drilled(deployed, "DrillCritical", "critical", seconds=15)
            yield volume
    finally:
        minio.start()


def test_the_dead_mans_switch_is_called(deployed: Clone, stubs: Stubs) -> None:
    wait_until(
        lambda: {item.path for item in list(stubs.alerts.received)},
        until=lambda paths: "/still-alive" in paths,
        timeout=90,
        interval=1,
        reason="it is called",
    )


LEAKS = {
    "postgres": (
        (
            "2026-11-21 07:00:00.000 UTC [1] app@app LOG:  connecting to"
            " postgresql://app:{secret}@postgres:5432/app"
        ),
        "connecting to postgresql://app:",
    ),
    "python": (
        '{{"level": "error", "message": "401 for Authorization: Bearer {secret}"}}',
        "401 for Authorization: Bearer",
    ),
    "environment": ("WARNING OPENAI_API_KEY={secret} was not accepted", "was not accepted"),
}
TRACE = """\
ERROR:    something failed while a page was made
Traceback (most recent call last):
  File "/srv/shop.py", line 12, in page
    raise ValueError("{mark}")
ValueError: {mark}
"""


@pytest.fixture(scope="module")
def written(deployed: Clone, answers: Answers, alerting: Path) -> dict[str, list[dict[str, Any]]]:
    """What an application's container wrote, as Loki has it: it asks for collection by
    its labels.
    """
    secret, mark, trace = secrets.token_urlsafe(24), uuid.uuid4().hex, secrets.token_hex(16)
    lines = [text.format(secret=secret) + f" {mark}-{name}" for name, (text, _) in LEAKS.items()]
    text = "\n".join(
        [*lines, TRACE.format(mark=mark), f"INFO: done trace_id={trace} {mark}-traced"]
    )
    container = deployed.docker.containers.run(
        BASE_TAG,
        ["sh", "-c", 'printf "%s\\n" "$TEXT"; sleep 20'],
        environment={"TEXT": text},
        detach=True,
        name=deployed.name("shop"),
        labels={"groundwork.logs": "live", "groundwork.service": "shop"},
        log_config=LogConfig(
            type="json-file", config={"labels": "groundwork.logs,groundwork.service"}
        ),
    )
    try:
        query = f'{{service="shop", environment="live"}} |= "{mark}"'
        arrived(answers, query, count=len(LEAKS) + 2)
        return {
            "streams": answers.lines(query),
            "secret": [{"value": secret}],
            "mark": [{"value": mark}],
            "trace": [{"value": trace}],
        }
    finally:
        with suppress(Exception):
            container.remove(force=True, v=True)


@pytest.mark.parametrize("kind", LEAKS)
def test_a_secret_is_taken_out_before_a_line_is_stored(
    kind: str, written: dict[str, list[dict[str, Any]]]
) -> None:
    """The line is there, readable, and what was secret in it is not."""
    line = next(item for item in lines_of(written["streams"]) if f"-{kind}" in item)
    assert LEAKS[kind][1] in line
    assert "<redacted>" in line
    assert written["secret"][0]["value"] not in line


def test_a_traceback_is_one_entry(written: dict[str, list[dict[str, Any]]]) -> None:
    mark = written["mark"][0]["value"]
    entry = next(item for item in lines_of(written["streams"]) if "Traceback" in item)
    assert entry.startswith("ERROR:")
    assert entry.rstrip().endswith(f"ValueError: {mark}")


def test_an_entry_is_found_by_its_trace(
    written: dict[str, list[dict[str, Any]]], answers: Answers
) -> None:
    trace = written["trace"][0]["value"]
    assert answers.lines(f'{{service="shop"}} | trace_id="{trace}"')


def test_another_stacks_container_is_not_read(deployed: Clone, answers: Answers) -> None:
    """Nor one that asks for nothing."""
    mark = uuid.uuid4().hex
    lanes.register("another")
    strangers: tuple[dict[str, str], ...] = (
        {"groundwork.instance": "another", "groundwork.service": "shop"},
        {},
    )
    for labels in strangers:
        deployed.docker.containers.run(
            BASE_TAG,
            ["echo", mark],
            remove=True,
            labels=labels,
            log_config=LogConfig(
                type="json-file", config={"labels": "groundwork.instance,groundwork.service"}
            ),
        )
    time.sleep(12)
    assert answers.lines(f'{{environment=~".+"}} |= "{mark}"') == []


def test_litellms_own_traces_reach_tempo_and_the_vendor(
    deployed: Clone, stubs: Stubs, load: None
) -> None:
    """One endpoint, two receivers; the vendor's key goes along, and what was asked does not."""
    environment = deployed.outputs()["environment"]
    question = f"a question that nobody else should read {uuid.uuid4()}"
    httpx.post(
        f"{environment['LLM_BASE_URL']}/chat/completions",
        headers={"Authorization": f"Bearer {environment['LLM_API_KEY']}"},
        json={
            "model": environment["LLM_MODEL"],
            "messages": [{"role": "user", "content": question}],
        },
        timeout=60,
    )

    def spans() -> list[Span]:
        requests = [
            ExportTraceServiceRequest.FromString(item.body)
            for item in list(stubs.traces.received)
            if item.path == "/v1/traces"
        ]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def orphans(trace: bytes) -> set[str]:
        own = [span for span in spans() if span.trace_id == trace]
        return {
            span.name
            for span in own
            if span.parent_span_id and span.parent_span_id not in {other.span_id for other in own}
        }

    found = wait_until(
        lambda: [span for span in spans() if span.name == "litellm_request"],
        timeout=60,
        interval=1,
        reason="a span of a request arrives",
    )[0]
    wait_until(
        lambda: orphans(found.trace_id),
        until=operator.not_,
        timeout=30,
        interval=1,
        reason="no span lacks its parent",
    )
    assert {item.headers.get("x-vendor-key") for item in stubs.traces.received} == {VENDOR_KEY}
    assert not [item for item in stubs.traces.received if question.encode() in item.body]
    url = f"http://{address(deployed, 'tempo')}:3200/api/traces/{found.trace_id.hex()}"
    wait_until(
        lambda: httpx.get(url, timeout=10).status_code,
        until=lambda status: status == 200,
        timeout=60,
        interval=1,
        reason="Tempo knows the trace",
    )
    # Its readiness has been asked for, and its metrics read, many times by now.
    assert not {span.name for span in spans() if "/health" in span.name or "/metrics" in span.name}
    steps = [span for span in spans() if span.name.startswith("fastapi.")]
    assert not [span.name for span in steps if "_health_endpoints" in str(span.attributes)]
    searched = httpx.get(
        f"http://{address(deployed, 'tempo')}:3200/api/search", params={"limit": "200"}, timeout=20
    ).json()["traces"]
    assert not [
        item
        for item in searched
        if "/health" in item.get("rootTraceName", "") or "/metrics" in item.get("rootTraceName", "")
    ]


def test_the_vendor_gets_every_log_line_redacted(deployed: Clone, stubs: Stubs) -> None:
    """What an application sends, and what containers write; with the key that the vendor asks."""
    told = deployed.outputs()
    mark = uuid.uuid4().hex
    token = told["credentials"]["alloy"]["otlp"]
    text = f"{mark} login with password=correct-horse-battery"
    assert send_log(
        told["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"], text, token=token
    ).is_success
    gateway = told["environment"]["LLM_BASE_URL"].removesuffix("/v1")
    httpx.get(f"{gateway}/{mark}-of-a-container", timeout=10)

    def arrived() -> list[Received]:
        return [
            item
            for item in list(stubs.traces.received)
            if item.path == "/v1/logs" and mark.encode() in item.body
        ]

    found = wait_until(
        arrived,
        until=lambda items: f"{mark}-of-a-container".encode() in b"".join(i.body for i in items),
        timeout=60,
        reason="the vendor has both lines",
    )
    assert b"correct-horse-battery" not in b"".join(item.body for item in found)
    assert {item.headers["x-vendor-key"] for item in found} == {VENDOR_KEY}


def test_the_vendor_gets_every_sample(deployed: Clone, stubs: Stubs) -> None:
    """Prometheus' remote write, with a bearer token."""
    (item, *_) = wait_until(
        lambda: list(stubs.metrics.received), timeout=60, reason="Prometheus writes"
    )
    assert item.path == "/write"
    assert item.headers["content-encoding"] == "snappy"
    assert item.headers["authorization"] == f"Bearer {VENDOR_KEY}"


def test_many_errors_in_logs_alert(deployed: Clone, stubs: Stubs) -> None:
    """By Loki's own ruler, to the same receivers."""
    told = deployed.outputs()
    token = told["credentials"]["alloy"]["otlp"]
    for number in range(150):
        sent = send_log(
            told["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"], f"failure {number}", token=token
        )
        assert sent.is_success
    wait_until(
        lambda: {
            item["service"]
            for item in alerts_in(stubs.alerts)
            if item["alertname"] == "ManyErrorsLogged"
        },
        until=lambda services: "health-check" in services,
        timeout=_ALERT_PATIENCE,
        interval=1,
        reason="the alert arrives",
    )


def test_what_is_kept_for_shorter_alerts(deployed: Clone, stubs: Stubs) -> None:
    """A sidecar's line becomes an alert."""
    line = 'level=warn msg="the disk holds less than the retention" hours=40 of=72'
    said = deployed.docker.containers.get(deployed.name("tempo-retention")).exec_run(
        ["sh", "-c", f"echo '{line}' > /proc/1/fd/1"]
    )
    assert said.exit_code == 0, said.output
    wait_until(
        lambda: {
            item["service"]
            for item in alerts_in(stubs.alerts)
            if item["alertname"] == "KeptForShorter"
        },
        until=lambda services: services == {"tempo-retention"},
        timeout=_ALERT_PATIENCE,
        interval=1,
        reason="the alert arrives",
    )


def assert_heard_redacted(answers: Answers, service: str, mark: str) -> None:
    """One line with the mark arrives over OTLP, without the secret that it was sent with."""
    (stream,) = wait_until(
        lambda: answers.lines(f'{{service="{service}", stream="otlp"}} |= "{mark}"'),
        timeout=60,
        reason="the line is found",
    )
    ((_, line),) = stream["values"]
    assert "login failed" in line
    assert "correct-horse-battery" not in line


def test_a_process_on_the_host_is_heard(
    deployed: Clone, framework_python: Path, answers: Answers
) -> None:
    """OpenTelemetry's own SDK, configured by the environment that `make env` writes: its log is
    found and redacted, its counter has the labels of scraped ones, and both lead to its trace.
    """
    mark = uuid.uuid4().hex
    done = subprocess.run(
        [framework_python, "-P", FRAMEWORKS / "telemetry.py", mark],
        env={**deployed.outputs()["environment"], "OTEL_SERVICE_NAME": "worker"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trace = done.stdout.strip()
    assert_heard_redacted(answers, "worker", mark)
    assert answers.lines(f'{{service="worker"}} | trace_id="{trace}" |= "{mark}"')
    query = f'events_total{{service="worker", role="application", name="{mark}", status="error"}}'
    numbers = wait_until(lambda: answers.numbers(query), timeout=60, reason="the counter is found")
    assert [item["value"][1] for item in numbers] == ["3"]
    wait_until(
        lambda: (
            httpx.get(
                f"http://{address(deployed, 'tempo')}:3200/api/traces/{trace}", timeout=10
            ).status_code
        ),
        until=lambda status: status == 200,
        timeout=60,
        reason="Tempo knows the trace",
    )


def test_a_process_in_node_is_heard(
    deployed: Clone, framework_node: Path, answers: Answers
) -> None:
    """winston with OpenTelemetry's transport, as a process under PM2 runs it."""
    mark = uuid.uuid4().hex
    environment = {**deployed.outputs()["environment"], "OTEL_SERVICE_NAME": "pm2"}
    done = run_node(framework_node, "winston.mjs", environment, mark)
    assert done.returncode == 0, done.stderr
    assert_heard_redacted(answers, "pm2", mark)


def test_the_watchers_stay_within_their_memory(deployed: Clone) -> None:
    """All of observability, as `dev` deploys it: the limits that were set, all together."""
    names = [
        name
        for name, service in deployed.outputs()["services"].items()
        if service["kind"] in WATCHING
    ]
    limits = sum(
        deployed.docker.containers.get(deployed.name(name)).attrs["HostConfig"]["Memory"]
        for name in names
    )
    assert len(names) >= 9
    assert limits <= 1536 * 1024**2


WATCHING = (
    "prometheus",
    "alertmanager",
    "loki",
    "tempo",
    "alloy",
    "alloy-logs",
    "exporter",
    "containers",
    "grafana",
)


@pytest.fixture(scope="module")
def alerted(alerting: Path, stubs: Stubs) -> list[dict[str, Any]]:
    """What the receiver got of it."""
    expected = {"ServiceDown", "StorageNearlyFull", "AIBudgetExceeded"}

    def arrived() -> set[str]:
        return {
            item["alertname"]
            for item in alerts_in(stubs.alerts)
            if item.get("volume", str(alerting)) == str(alerting)
        }

    wait_until(
        arrived,
        until=expected.issubset,
        timeout=_ALERT_PATIENCE,
        interval=1,
        reason=lambda: f"{expected} are among the alerts {alerts_in(stubs.alerts)}",
    )
    return alerts_in(stubs.alerts)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("ServiceDown", {"service": "minio", "severity": "critical", "environment": "live"}),
        ("StorageNearlyFull", {"severity": "critical", "host": "docker", "environment": "live"}),
        ("AIBudgetExceeded", {"service": "shop", "severity": "critical", "environment": "live"}),
    ],
)
def test_an_alert_arrives_with_what_to_do(
    name: str, labels: dict[str, str], alerted: list[dict[str, Any]]
) -> None:
    """A receiver that a stack names is told: what, where, and what to do."""
    found = [
        item for item in alerted if item["alertname"] == name and labels.items() <= item.items()
    ]
    assert found, alerted
    assert [
        item
        for item in found
        if not (
            item["summary"] and item["action"] and item["runbook"].startswith("docs/runbook.md#")
        )
    ] == []


def test_slack_is_told_with_links_that_open(
    alerted: list[dict[str, Any]], deployed: Clone, stubs: Stubs
) -> None:
    """Slack's own payload: a channel, and a title that leads to where people reach Alertmanager."""
    found = [json.loads(item.body) for item in list(stubs.alerts.received) if item.path == "/slack"]
    told = [part for body in found for part in body["attachments"]]
    down = next(part for part in told if "ServiceDown" in part["title"])
    assert down["title"].startswith("[FIRING:")
    assert "minio has not answered" in down["text"]
    assert "What to do:" in down["text"]
    address = deployed.outputs()["administration"]["ALERTMANAGER_URL"]
    assert down["title_link"].startswith(f"{address}/#/alerts")
    assert {body["channel"] for body in found} == {"#alerts"}


def test_what_is_over_is_told_too(alerted: list[dict[str, Any]], stubs: Stubs) -> None:
    """To Slack and by mail, in words that begin with it."""

    def told() -> set[str]:
        slack = [json.loads(item.body) for item in stubs.alerts.received if item.path == "/slack"]
        titles = [part["title"] for body in slack for part in body["attachments"]]
        mails = [item["Subject"] for item in list(stubs.mail.messages)]
        return {
            where
            for where, words in (("slack", titles), ("mail", mails))
            if any(text.startswith("[RESOLVED]") and "DrillCritical" in text for text in words)
        }

    wait_until(
        told,
        until=lambda where: where == {"slack", "mail"},
        timeout=_ALERT_PATIENCE,
        reason="the end of the drill is told",
    )


def test_a_mailbox_is_told(alerted: list[dict[str, Any]], stubs: Stubs) -> None:
    message = wait_until(
        lambda: [item for item in list(stubs.mail.messages) if "ServiceDown" in item["Subject"]],
        timeout=60,
        reason="a mail arrives",
    )[0]
    assert (message["To"], message["From"]) == ("ops@example.org", "alerts@example.org")
    body = message.get_body(("html",))
    assert body is not None
    assert "minio has not answered" in body.get_content()


@pytest.mark.parametrize(
    ("path", "critical"), [("/pagerduty", True), ("/opsgenie/v2/alerts", False)]
)
def test_who_is_on_call_is_told_of_its_severity(
    alerted: list[dict[str, Any]], stubs: Stubs, path: str, critical: bool
) -> None:
    """PagerDuty of what is critical, Opsgenie of warnings, each in its own words."""
    bodies = wait_until(
        lambda: [
            json.loads(item.body) for item in list(stubs.alerts.received) if item.path == path
        ],
        timeout=_ALERT_PATIENCE,
        reason=f"{path} is called",
    )
    if critical:
        assert {body["payload"]["severity"] for body in bodies} == {"critical"}
        assert any("ServiceDown" in body["payload"]["summary"] for body in bodies)
        assert {body["routing_key"] for body in bodies} == {"stub-key-of-pagerduty-0123456789"}
        assert {body["event_action"] for body in bodies} == {"trigger", "resolve"}
    else:
        assert {body["priority"] for body in bodies} == {"P3"}
        assert not any("ServiceDown" in body["message"] for body in bodies)


def test_a_service_that_is_down_silences_what_follows_from_it(
    alerted: list[dict[str, Any]], deployed: Clone
) -> None:
    """Of a stopped service one alert is told."""
    assert {item["alertname"] for item in alerted if item.get("service") == "minio"} == {
        "ServiceDown"
    }
