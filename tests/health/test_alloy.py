"""Alloy: one OTLP endpoint that takes traces, logs and metrics with the token, hands them on, and
refuses them without.
"""

import uuid

import httpx
import pytest

from tests.health import plain
from tests.health.conftest import Deployed
from tests.health.telemetry import SERVICE, Span, find_in_tempo, send_log, send_metric
from tests.health.test_loki import wait_for_lines
from tests.support import http
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.kind("alloy")


def _with_traces(service: Deployed) -> Deployed:
    if service.check("traces") != "true":
        pytest.skip("no trace is taken: neither Tempo nor another endpoint would keep it")
    return service


def _send_a_span(service: Deployed) -> Span | None:
    """Sends a span by the rules of OpenTelemetry, if traces are taken."""
    if service.check("traces") != "true":
        return None
    span = Span()
    answer = span.send(service.url("otlp-http"), token=service.credentials["otlp"])
    assert answer.status_code == 200, answer.text
    return span


@pytest.mark.sends(what=_send_a_span)
def test_hands_a_trace_to_tempo(service: Deployed, sent: Span) -> None:
    """It is found in Tempo."""
    _with_traces(service)
    if not service.has("tempo"):
        pytest.skip(
            "Tempo is not deployed; the span went to the endpoints of"
            " groundwork:alloy.forwardTraces"
        )
    find_in_tempo(service.of("tempo"), sent)


def _send_a_log(service: Deployed) -> str | None:
    """Sends a line with a password in it, if logs are kept; returns the mark in that."""
    if service.check("logs") != "true":
        return None
    mark = uuid.uuid4().hex
    text = f"{mark} login with password=correct-horse-battery"
    answer = send_log(service.url("otlp-http"), text, token=service.credentials["otlp"])
    assert answer.status_code == 200, answer.text
    return mark


@pytest.mark.sends(what=_send_a_log)
def test_hands_a_log_to_loki_redacted(service: Deployed, sent: str | None) -> None:
    """It is found by its service, with its level, and without the password."""
    if sent is None:
        pytest.skip("Loki is not deployed")
    query = f'{{service="{SERVICE}", stream="otlp"}} |= "{sent}" | level = "ERROR"'
    (line,) = wait_for_lines(service.of("loki"), query)
    assert "login with password" in line
    assert "correct-horse-battery" not in line


def _send_a_metric(service: Deployed) -> str | None:
    """Sends a gauge of a name of its own, if metrics are kept."""
    if service.check("metrics") != "true":
        return None
    name = f"health_check_{uuid.uuid4().hex[:8]}"
    answer = send_metric(service.url("otlp-http"), name, 7, token=service.credentials["otlp"])
    assert answer.status_code == 200, answer.text
    return name


@pytest.mark.sends(what=_send_a_metric)
def test_hands_a_metric_to_prometheus(service: Deployed, sent: str | None) -> None:
    """It has the labels that a scraped one has."""
    if sent is None:
        pytest.skip("Prometheus is not deployed here")
    prometheus = service.of("prometheus")
    found = wait_until(
        lambda: http.get(
            f"{prometheus.url('http')}/api/v1/query",
            params={"query": sent},
            auth=("admin", prometheus.credentials["admin"]),
            timeout=10,
        ).json()["data"]["result"],
        timeout=patience(30),
        reason=f"Prometheus has {sent}",
    )
    labels = {"service": SERVICE, "role": "application"}
    assert [(item["metric"] | labels == item["metric"], item["value"][1]) for item in found] == [
        (True, "7")
    ]


@pytest.mark.parametrize("token", ["", "not-the-token"])
def test_refuses_without_credentials(service: Deployed, token: str) -> None:
    """Without the token the answer is 401."""
    assert Span().send(_with_traces(service).url("otlp-http"), token=token).status_code == 401


@pytest.mark.encrypted
def test_refuses_what_is_not_encrypted(service: Deployed) -> None:
    """Not even with the token does it take a plain request."""
    url = service.url("otlp-http").replace("https://", "http://")
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        Span().send(url, token=service.credentials["otlp"]).raise_for_status()


@pytest.mark.encrypted
def test_refuses_grpc_that_is_not_encrypted(service: Deployed) -> None:
    assert not plain.answers(*service.endpoint("otlp-grpc"), plain.HTTP2)


def test_shows_its_metrics_to_nobody(service: Deployed) -> None:
    """Applications are on its network; without the password the collector's own pages
    are closed.
    """
    assert http.get(f"{service.inside_url(12345)}/metrics", timeout=10).status_code == 401
