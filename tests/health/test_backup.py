"""Backup: its repository opens, every store is in its metrics, and no backup has failed."""

import re

import pytest

from tests.health.conftest import Deployed
from tests.support import http

pytestmark = pytest.mark.kind("backup")

_METRICS_PORT = 9710


def _values(service: Deployed, metric: str) -> dict[str, float]:
    """The metric's values by their one label."""
    answer = http.get(f"{service.inside_url(_METRICS_PORT)}/metrics", timeout=10)
    assert answer.status_code == 200
    found = re.findall(rf'^{metric}{{\w+="([^"]+)"}} (\S+)$', answer.text, re.M)
    return {label: float(value) for label, value in found}


def test_knows_every_store_of_the_stack(service: Deployed) -> None:
    """The age of a backup is measured for each store that the stack deploys."""
    ages = _values(service, "groundwork_backup_last_success_timestamp_seconds")
    assert set(service.check("stores").split(",")) <= set(ages)


def test_the_last_backup_saved_every_store(service: Deployed) -> None:
    """No store failed in the last backup, if there was one."""
    failed = _values(service, "groundwork_backup_failed")
    assert [store for store, value in failed.items() if value] == []


def test_the_repositories_are_not_damaged(service: Deployed) -> None:
    """The last check of each repository found no damage, if there was one."""
    damaged = _values(service, "groundwork_backup_check_failed")
    assert [repository for repository, value in damaged.items() if value] == []
