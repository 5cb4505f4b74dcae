"""Alertmanager: what Prometheus finds wrong reaches it, and nobody reads or silences without a
password.
"""

import pytest

from tests.health.conftest import Deployed
from tests.support import http
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.kind("alertmanager")

# Three evaluations, 5 s each, and the time after which an alert is sent again to an Alertmanager
# that was not there the first time; with the time a start takes.
_SECONDS = 75


def _alerts(service: Deployed) -> list[str]:
    answer = http.get(
        f"{service.url('http')}/api/v2/alerts",
        auth=("admin", service.credentials["admin"]),
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    return [alert["labels"]["alertname"] for alert in answer.json()]


def test_hears_from_prometheus(service: Deployed) -> None:
    """The alert that fires as long as alerting works has arrived."""
    if service.check("prometheus") != "true":
        pytest.skip("no Prometheus of this stack sends alerts to it")
    wait_until(
        lambda: _alerts(service),
        until=lambda alerts: "DeadMansSwitch" in alerts,
        timeout=patience(_SECONDS),
        interval=1,
        reason="the alert that always fires has arrived from Prometheus",
    )


@pytest.mark.parametrize("path", ["/api/v2/alerts", "/api/v2/silences", "/metrics"])
def test_refuses_without_credentials(service: Deployed, path: str) -> None:
    """Without a password the answer is 401."""
    assert http.get(f"{service.url('http')}{path}", timeout=10).status_code == 401
