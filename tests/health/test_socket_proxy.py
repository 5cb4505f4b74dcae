"""The way to the engine's socket: what cAdvisor reads, and nothing by which anybody could change
or enter anything.
"""

import pytest

from tests.health.conftest import Deployed
from tests.support import http

pytestmark = pytest.mark.kind("socket-proxy")


def test_shows_what_is_read(service: Deployed) -> None:
    """The list of containers, as the engine has it."""
    answer = http.get(f"{service.inside_url(2375)}/containers/json", timeout=10)
    assert answer.status_code == 200, answer.text
    assert any(item["Names"] == [f"/{service.container}"] for item in answer.json())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/create"),
        ("POST", "/v1.40/containers/x/exec"),
        ("DELETE", "/containers/x"),
        ("GET", "/containers/x/archive"),
        ("GET", "/containers/x/export"),
        ("GET", "/containers/x/logs"),
        ("GET", "/volumes"),
        ("GET", "/secrets"),
        ("POST", "/images/load"),
        ("GET", "/containers/json/../x/export"),
        ("PUT", "/containers/x/archive"),
    ],
    ids=lambda value: value.strip("/").replace("/", "-"),
)
def test_refuses_everything_else(service: Deployed, method: str, path: str) -> None:
    """The proxy itself says no; the engine never hears of it."""
    answer = http.request(method, f"{service.inside_url(2375)}{path}", timeout=10)
    assert answer.status_code == 403, f"{answer.status_code}: {answer.text[:200]}"
