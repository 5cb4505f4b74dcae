"""Alloy: one OTLP endpoint that takes traces with the token, hands them on, and refuses them
without.
"""

import pytest

from tests.health.conftest import Deployed
from tests.health.tracing import Span, find_in_tempo
from tests.support import http

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


@pytest.mark.parametrize("token", ["", "not-the-token"])
def test_refuses_without_credentials(service: Deployed, token: str) -> None:
    """Without the token the answer is 401."""
    assert Span().send(_with_traces(service).url("otlp-http"), token=token).status_code == 401


def test_shows_its_metrics_to_nobody(service: Deployed) -> None:
    """Applications are on its network; without the password the collector's own pages
    are closed.
    """
    assert http.get(f"{service.inside_url(12345)}/metrics", timeout=10).status_code == 401
