"""LiteLLM: a completion through the chain, streamed and whole, and nothing without the key."""

import json

import httpx
import pytest

from tests.health.conftest import Deployed
from tests.support import http

pytestmark = pytest.mark.kind("litellm")

_SECONDS = 60


def _models(service: Deployed) -> list[str]:
    return [name for name in service.check("models").split(",") if name]


def _ask(service: Deployed, *, stream: bool = False) -> httpx.Response:
    if service.check("model") not in _models(service):
        pytest.skip("no provider is configured, so there is nobody to complete anything")
    return http.post(
        f"{service.url('http')}/v1/chat/completions",
        headers={"Authorization": f"Bearer {service.credentials['app-key']}"},
        json={
            "model": service.check("model"),
            "stream": stream,
            "max_tokens": 16,
            "messages": [
                {"role": "user", "content": "Answer with one word: what colour is the sky?"}
            ],
            # A cached answer would prove the cache, not the chain.
            "cache": {"no-cache": True},
        },
        timeout=_SECONDS,
    )


def test_completes_through_the_chain(service: Deployed) -> None:
    """Some provider of the chain answers with text."""
    answer = _ask(service)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]


def test_streams(service: Deployed) -> None:
    """The answer comes in pieces that end with [DONE]."""
    answer = _ask(service, stream=True)
    assert answer.status_code == 200, answer.text
    events = [
        line.removeprefix("data: ")
        for line in answer.text.splitlines()
        if line.startswith("data: ")
    ]
    assert events[-1] == "[DONE]"
    pieces = [
        json.loads(event)["choices"][0]["delta"].get("content") or ""
        for event in events[:-1]
        if json.loads(event)["choices"]
    ]
    assert "".join(pieces)


def test_embeds(service: Deployed) -> None:
    """An embedding has the length that the tables of vectors were made for."""
    model = service.check("embedding")
    if not model:
        pytest.skip("no embedding model is configured")
    answer = http.post(
        f"{service.url('http')}/v1/embeddings",
        headers={"Authorization": f"Bearer {service.credentials['app-key']}"},
        json={"model": model, "input": "the colour of the sky", "cache": {"no-cache": True}},
        timeout=_SECONDS,
    )
    assert answer.status_code == 200, answer.text
    length = len(answer.json()["data"][0]["embedding"])
    assert str(length) == service.check("dimensions"), (
        f"{model} returned {length} numbers; correct groundwork:litellm.models.*.dimensions"
    )


def test_knows_its_models(service: Deployed) -> None:
    """Exactly the declared models are listed."""
    answer = http.get(
        f"{service.url('http')}/v1/models",
        headers={"Authorization": f"Bearer {service.credentials['app-key']}"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    listed = [item["id"] for item in answer.json()["data"]]
    assert sorted(listed) == sorted(_models(service))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/model/info"),
        ("POST", "/model/new"),
        ("POST", "/key/generate"),
        ("GET", "/key/list"),
        ("GET", "/user/list"),
        ("POST", "/config/update"),
        ("GET", "/get/config/callbacks"),
        ("GET", "/spend/logs"),
        ("GET", "/global/spend"),
        ("GET", "/metrics/"),
        ("POST", "/cache/flushall"),
        ("GET", "/health"),
        ("GET", "/debug/memory/summary"),
    ],
    ids=lambda value: value.strip("/").replace("/", "-"),
)
def test_application_key_administers_nothing(service: Deployed, method: str, path: str) -> None:
    """An application's key is refused on administrators' routes, by a gateway that
    knows the key.
    """
    key = {"Authorization": f"Bearer {service.credentials['app-key']}"}
    assert http.get(f"{service.url('http')}/v1/models", headers=key, timeout=10).status_code == 200
    answer = http.request(
        method,
        f"{service.url('http')}{path}",
        headers=key,
        json={} if method == "POST" else None,
        timeout=10,
    )
    assert answer.status_code in (401, 403), f"{answer.status_code}: {answer.text[:200]}"


@pytest.mark.parametrize("path", ["/v1/models", "/metrics/", "/spend/logs"])
def test_refuses_without_credentials(service: Deployed, path: str) -> None:
    """Without the key the gateway answers 401."""
    assert http.get(f"{service.url('http')}{path}", timeout=10).status_code == 401
