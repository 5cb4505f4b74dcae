"""Alloy: one OTLP endpoint that takes traces with the token, hands them on, and refuses them
without.
"""

from typing import Any

import httpx
import pytest

from tests.health.conftest import Deployed
from tests.health.tracing import Span, find_in_tempo

pytestmark = pytest.mark.kind("alloy")


def _with_traces(service: Deployed) -> Deployed:
    if service.check("traces") != "true":
        pytest.skip("no trace is taken: neither Tempo nor another endpoint would keep it")
    return service


def test_hands_a_trace_to_tempo(service: Deployed, outputs: dict[str, Any]) -> None:
    """A span sent by the rules of OpenTelemetry is found in Tempo."""
    span = Span()
    answer = span.send(_with_traces(service).url("otlp-http"), token=service.credentials["otlp"])
    assert answer.status_code == 200, answer.text
    if "tempo" not in outputs["services"]:
        pytest.skip(
            "Tempo is not deployed; the span went to the endpoints of"
            " groundwork:alloy.forwardTraces"
        )
    find_in_tempo(service.of("tempo"), span)


@pytest.mark.parametrize("token", ["", "not-the-token"])
def test_refuses_without_credentials(service: Deployed, token: str) -> None:
    """Without the token the answer is 401."""
    assert Span().send(_with_traces(service).url("otlp-http"), token=token).status_code == 401


def test_shows_its_metrics_to_nobody(service: Deployed) -> None:
    """Applications are on its network; without the password the collector's own pages
    are closed.
    """
    assert httpx.get(f"{service.inside_url(12345)}/metrics", timeout=10).status_code == 401
