"""Grafana: data source and dashboards are there, and every panel's query is accepted."""

from typing import Any

import pytest

from tests.health.conftest import Deployed
from tests.support import http

pytestmark = pytest.mark.kind("grafana")


def _get(service: Deployed, path: str) -> Any:
    answer = http.get(
        f"{service.url('http')}{path}", auth=("admin", service.credentials["admin"]), timeout=10
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_reaches_its_data_source(service: Deployed) -> None:
    """Grafana itself gets an answer from Prometheus."""
    assert _get(service, "/api/datasources/uid/prometheus/health")["status"] == "OK"


def test_shows_the_dashboards(service: Deployed) -> None:
    """Every provisioned dashboard is found."""
    found = {item["uid"] for item in _get(service, "/api/search?type=dash-db")}
    assert {f"groundwork-{name}" for name in service.check("dashboards").split(",")} <= found


@pytest.mark.parametrize("path", ["/api/search", "/api/datasources", "/metrics"])
def test_refuses_without_credentials(service: Deployed, path: str) -> None:
    """Without a login the answer is 401."""
    assert http.get(f"{service.url('http')}{path}", timeout=10).status_code == 401
