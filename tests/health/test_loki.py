"""Loki: it gives back what was written, and the collector brings it what services write."""

import time
import uuid

import pytest

from tests.health.conftest import Deployed
from tests.health.telemetry import limits_of, seconds
from tests.support import http
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.kind("loki")

_PORT = 3100
_SECONDS = 30


def _found(service: Deployed, query: str) -> list[str]:
    """The lines of the last ten minutes that a query finds."""
    start = str(time.time_ns() - 600 * 10**9)
    answer = http.get(
        f"{service.inside_url(_PORT)}/loki/api/v1/query_range",
        params={"query": query, "start": start, "limit": "100"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    return [line for stream in answer.json()["data"]["result"] for _, line in stream["values"]]


def wait_for_lines(service: Deployed, query: str) -> list[str]:
    """The lines that a query finds, within half a minute."""
    return wait_until(
        lambda: _found(service, query),
        timeout=patience(_SECONDS),
        reason=f"a line is found by {query}",
    )


def test_returns_what_was_written(service: Deployed) -> None:
    """A line that was pushed is found."""
    line = f"a health check was here: {uuid.uuid4()}"
    stream = {"stream": {"service": "health-check"}, "values": [[str(time.time_ns()), line]]}
    answer = http.post(
        f"{service.inside_url(_PORT)}/loki/api/v1/push", json={"streams": [stream]}, timeout=10
    )
    assert answer.status_code == 204, answer.text
    assert wait_for_lines(service, f'{{service="health-check"}} |= "{line}"') == [line]


def test_keeps_no_more_than_its_disk_holds(service: Deployed) -> None:
    """The retention that applies is the one that its sidecar has written: a day at least, and never
    more than the stack asks for.
    """
    limits = limits_of(
        f"{service.inside_url(_PORT)}/config/tenant/v1/limits", **{"X-Scope-OrgID": "fake"}
    )
    assert 86400 <= seconds(limits["retention_period"]) <= int(service.check("retention"))


def _ask_litellm(service: Deployed) -> str | None:
    """Makes LiteLLM write a line, if a collector would see it; returns the mark in that."""
    if not service.check("collector") or not service.has("litellm"):
        return None
    mark = uuid.uuid4().hex
    url = service.of("litellm").url("http")
    http.get(f"{url}/{mark}", timeout=10)
    http.post(f"{url}/v1/chat/completions?mark={mark}", json={}, timeout=10)
    return mark


@pytest.mark.sends(what=_ask_litellm)
def test_holds_what_services_write(service: Deployed, sent: str | None) -> None:
    """A request that LiteLLM refuses leaves a line in its log, and that line arrives."""
    if not service.check("collector"):
        pytest.skip("no collector of this stack brings logs to it")
    if sent is None:
        pytest.skip(
            "LiteLLM is not deployed, and no other service writes a line when it is asked to"
        )
    assert wait_for_lines(
        service, f'{{service="litellm", environment="{service.check("environment")}"}} |= "{sent}"'
    )
