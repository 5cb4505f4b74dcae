"""Prometheus: every target is up, nothing is missing, and nobody reads without a password."""

import operator
from typing import Any

import pytest

from tests.health.conftest import Deployed
from tests.support import http
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.kind("prometheus")

_HOUSEKEEPING = 20  # seconds in which cAdvisor has looked at every container


def _scraped(service: Deployed) -> int:
    """Seconds in which a fresh target has been scraped, and one that failed once is
    scraped again.
    """
    return 3 * int(service.check("interval")) + 5


def _targets(service: Deployed) -> list[dict[str, Any]]:
    answer = http.get(
        f"{service.url('http')}/api/v1/targets",
        params={"state": "active"},
        auth=("admin", service.credentials["admin"]),
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["activeTargets"]
    return found


def _down(service: Deployed, pools: list[str]) -> dict[str, str]:
    """Targets of these jobs whose last scrape did not succeed."""
    return {
        target["scrapePool"]: target["lastError"] or "not scraped yet"
        for target in _targets(service)
        if target["scrapePool"] in pools and target["health"] != "up"
    }


def _query(service: Deployed, expression: str) -> list[dict[str, Any]]:
    """The samples of an expression now."""
    answer = http.get(
        f"{service.url('http')}/api/v1/query",
        params={"query": expression},
        auth=("admin", service.credentials["admin"]),
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


def test_every_target_is_up(service: Deployed) -> None:
    """Each service's job has a target, and each target's last scrape succeeded, after each had
    time for a first one.
    """
    jobs = service.check("jobs").split(",")
    wait_until(
        lambda: _down(service, jobs),
        until=operator.not_,
        timeout=patience(_scraped(service)),
        interval=1,
        reason="no target is down",
    )
    assert {target["scrapePool"] for target in _targets(service)} >= set(jobs)


def test_application_targets_are_scraped(service: Deployed) -> None:
    """The application's own targets are known to Prometheus; one that is down is named, since it
    may not run yet.
    """
    declared = [name for name in service.check("targets").split(",") if name]
    assert {target["scrapePool"] for target in _targets(service)} >= set(declared)
    down = {
        target["scrapePool"]: target["lastError"]
        for target in _targets(service)
        if target["scrapePool"] in declared and target["health"] == "down"
    }
    if down:
        pytest.skip(f"the application does not answer: {down}")


def test_runs_with_its_configuration(service: Deployed) -> None:
    """It took the files that it was given last, rules among them."""
    found = _query(service, 'prometheus_config_last_reload_successful{job="prometheus"}')
    taken = [result["value"][1] for result in found]
    assert taken == ["1"], "Prometheus rejected its files; its log names the line"


def test_answers_a_query(service: Deployed) -> None:
    """Scraped samples can be queried."""
    assert [result["value"][1] for result in _query(service, 'up{job="prometheus"}')] == ["1"]


def test_knows_the_memory_of_every_container(service: Deployed, outputs: dict[str, Any]) -> None:
    """Whatever measures containers here, cAdvisor or the kubelets, sees each service and its
    limit.
    """
    if service.check("containers") != "true":
        pytest.skip(
            "nothing measures containers here: groundwork:exporters.containers.enabled is false"
        )
    wait_until(
        lambda: set(outputs["services"]) - _measured(service),
        until=operator.not_,
        timeout=patience(_HOUSEKEEPING + _scraped(service)),
        interval=1,
        reason="no service is without a measured container",
    )


def _measured(service: Deployed) -> set[str]:
    query = (
        'container_memory_working_set_bytes{service!=""} and on (service)'
        " container_spec_memory_limit_bytes > 0"
    )
    return {result["metric"]["service"] for result in _query(service, query)}


@pytest.mark.parametrize("path", ["/api/v1/targets", "/metrics"])
def test_refuses_without_credentials(service: Deployed, path: str) -> None:
    """Without a password the answer is 401."""
    assert http.get(f"{service.url('http')}{path}", timeout=10).status_code == 401
