"""Spans, log lines and metrics, as an application sends them; the way to find a span again, and
what limits apply to those who send.
"""

import json
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import yaml

from tests.health.conftest import Deployed
from tests.support import http
from tests.support.waiting import patience, wait_until

_SECONDS = 30
SERVICE = "health-check"
_RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": SERVICE}}]}


def _post(url: str, body: dict[str, Any], token: str) -> httpx.Response:
    headers = {
        "Content-Type": "application/json",
        **({"Authorization": f"Bearer {token}"} if token else {}),
    }
    return http.post(url, content=json.dumps(body), headers=headers, timeout=10)


def send_log(url: str, text: str, *, token: str = "") -> httpx.Response:
    """Posts a line with the severity ERROR to an OTLP endpoint's base URL."""
    record = {
        "timeUnixNano": str(time.time_ns()),
        "severityText": "ERROR",
        "severityNumber": 17,
        "body": {"stringValue": text},
    }
    scopes = [{"logRecords": [record]}]
    return _post(
        f"{url}/v1/logs",
        {"resourceLogs": [{"resource": _RESOURCE, "scopeLogs": scopes}]},
        token,
    )


def send_metric(url: str, name: str, value: float, *, token: str = "") -> httpx.Response:
    """Posts a gauge to an OTLP endpoint's base URL."""
    point = {"timeUnixNano": str(time.time_ns()), "asDouble": value}
    scopes = [{"metrics": [{"name": name, "gauge": {"dataPoints": [point]}}]}]
    return _post(
        f"{url}/v1/metrics",
        {"resourceMetrics": [{"resource": _RESOURCE, "scopeMetrics": scopes}]},
        token,
    )


@dataclass(frozen=True, slots=True)
class Span:
    """One span with a trace of its own, in OTLP's JSON form."""

    trace: str = field(default_factory=lambda: secrets.token_hex(16))
    name: str = "health-check"

    def send(self, url: str, *, token: str = "") -> httpx.Response:
        """Posts it to an OTLP endpoint's base URL."""
        now = time.time_ns()
        span = {
            "traceId": self.trace,
            "spanId": secrets.token_hex(8),
            "name": self.name,
            "kind": 1,
            "startTimeUnixNano": str(now - 5_000_000),
            "endTimeUnixNano": str(now),
        }
        scopes = [{"spans": [span]}]
        body = {"resourceSpans": [{"resource": _RESOURCE, "scopeSpans": scopes}]}
        return _post(f"{url}/v1/traces", body, token)


def find_in_tempo(tempo: Deployed, span: Span) -> None:
    """Returns when Tempo has the span's trace, within half a minute."""
    wait_until(
        lambda: http.get(
            f"{tempo.inside_url(3200)}/api/traces/{span.trace}",
            headers={"Accept": "application/json"},
            timeout=10,
        ),
        until=lambda answer: answer.status_code == 200 and span.name in answer.text,
        timeout=patience(_SECONDS),
        reason=f"Tempo has the trace {span.trace}",
    )


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


def limits_of(url: str, **headers: str) -> Any:
    """What Loki or Tempo says about its tenant's limits."""
    answer = http.get(url, headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    return yaml.safe_load(answer.text.rpartition("---\n")[2])


def seconds(duration: str) -> int:
    """A duration as Prometheus writes it (`1w2d`)."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([a-z])", duration))
