"""Tempo: a trace that was written is found by its id."""

import pytest

from tests.health.conftest import Deployed
from tests.health.telemetry import Span, find_in_tempo

pytestmark = pytest.mark.kind("tempo")


def test_returns_what_was_written(service: Deployed) -> None:
    """A span that was handed to it comes back."""
    span = Span()
    assert span.send(service.inside_url(4318)).status_code == 200
    find_in_tempo(service, span)
