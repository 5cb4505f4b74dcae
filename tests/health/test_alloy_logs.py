"""Alloy, the reader of logs: Loki's own check proves that it brings what services write; here,
that it shows nothing.
"""

import pytest

from tests.health.conftest import Deployed
from tests.support import http

pytestmark = pytest.mark.kind("alloy-logs")


def test_shows_its_metrics_to_nobody(service: Deployed) -> None:
    """Its metrics name every container; without the password its pages are closed."""
    assert http.get(f"{service.inside_url(12345)}/metrics", timeout=10).status_code == 401
