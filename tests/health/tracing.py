"""A span, as an application sends one, and the way to find it again."""

import json
import secrets
import time
from dataclasses import dataclass, field

import httpx

from tests.health.conftest import Deployed
from tests.support import http
from tests.support.waiting import patience, wait_until

_SECONDS = 30


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
        resource = {
            "attributes": [{"key": "service.name", "value": {"stringValue": "health-check"}}]
        }
        body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
        headers = {
            "Content-Type": "application/json",
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        return http.post(f"{url}/v1/traces", content=json.dumps(body), headers=headers, timeout=10)


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
