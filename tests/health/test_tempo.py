"""Tempo: a trace that was written is found by its id."""

import pytest

from tests.health.conftest import Deployed
from tests.health.telemetry import Span, find_in_tempo, limits_of, seconds

pytestmark = pytest.mark.kind("tempo")


def test_returns_what_was_written(service: Deployed) -> None:
    """A span that was handed to it comes back."""
    span = Span()
    assert span.send(service.inside_url(4318)).status_code == 200
    find_in_tempo(service, span)


def test_keeps_no_more_than_its_disk_holds(service: Deployed) -> None:
    """The retention that applies is the one that its sidecar has written: a day at least, and never
    more than the stack asks for.
    """
    tenants = limits_of(f"{service.inside_url(3200)}/status/runtime_config")["overrides"]
    applied = seconds(tenants["single-tenant"]["compaction"]["block_retention"])
    assert 86400 <= applied <= int(service.check("retention"))
