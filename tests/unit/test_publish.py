"""Comments and issues, against servers that answer as GitHub's and GitLab's APIs do."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops import console
from ops.review import publish
from ops.review.markdown import MARKER


class Forge(http.server.ThreadingHTTPServer):
    """Keeps comments and issues in memory; refuses to write if told so."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.items: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.refuses = False


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Forge

    def do_GET(self) -> None:
        self._note("GET")
        page = int(self.path.rpartition("&page=")[2]) if "&page=" in self.path else 1
        shown = [item for item in self.server.items if item.get("state") != "closed"]
        self._answer(200, shown[(page - 1) * 100 : page * 100])

    def do_POST(self) -> None:
        self._change(None)

    def do_PATCH(self) -> None:
        self._change(int(self.path.rpartition("/")[2]))

    def do_PUT(self) -> None:
        self.do_PATCH()

    def _change(self, number: int | None) -> None:
        self._note(self.command)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.refuses:
            self._answer(403, {"message": "Resource not accessible by integration"})
            return
        if body.pop("state_event", None) == "close":
            body["state"] = "closed"
        if number is None:
            number = len(self.server.items) + 1
            self.server.items.append({"id": number, "number": number, "iid": number})
        self.server.items[number - 1].update(body)
        self._answer(200, self.server.items[number - 1])

    def _note(self, method: str) -> None:
        self.server.calls.append((method, self.path.partition("?")[0]))
        self.server.tokens.add(
            self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN") or ""
        )

    def _answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Calls are kept, not printed."""


@pytest.fixture
def server() -> Iterator[Forge]:
    with Forge() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture(autouse=True)
def _outside_of_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["github", "gitlab"])
def forge(
    request: pytest.FixtureRequest,
    server: Forge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Forge:
    """Each forge's CI, as its variables tell of it."""
    url = f"http://127.0.0.1:{server.server_address[1]}"
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    variables = {
        "github": {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": url,
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_TOKEN": "the-token",
        },
        "gitlab": {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": url,
            "CI_PROJECT_ID": "5",
            "CI_MERGE_REQUEST_IID": "7",
            "GITLAB_TOKEN": "the-token",
        },
    }[request.param]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return server


def test_a_review_is_one_comment_that_is_updated_in_place(forge: Forge) -> None:
    forge.items.append({"id": 1, "number": 1, "iid": 1, "body": "somebody's own"})
    publish.comment(f"{MARKER}\nfirst")
    publish.comment(f"{MARKER}\nsecond")
    assert [item["body"] for item in forge.items] == ["somebody's own", f"{MARKER}\nsecond"]
    assert all("/7/" in path or path.endswith("/2") for _, path in forge.calls)
    assert all("the-token" in token for token in forge.tokens)


def test_drift_is_one_issue_that_opens_is_updated_and_closes(forge: Forge) -> None:
    site = publish.forge()
    assert site.issue("Drift: dev", None) == "none"
    assert site.issue("Drift: dev", "a") == "opened"
    assert site.issue("Drift: dev", "a") == "unchanged"
    assert site.issue("Drift: dev", "b") == "updated"
    assert site.issue("Drift: dev", None) == "closed"
    assert site.issue("Drift: dev", "c") == "opened"
    assert [item.get("state") for item in forge.items] == ["closed", None]


def test_a_token_that_may_not_write_leaves_the_review_in_the_summary(
    forge: Forge, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a pull request from a fork on GitHub; GitLab runs no pipeline of ours for those."""
    forge.refuses = True
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    if "github" in request.node.name:
        publish.comment(f"{MARKER}\ntext")
        assert "text" in summary.read_text()
    else:
        with pytest.raises(console.Failed, match="status 403"):
            publish.comment(f"{MARKER}\ntext")


def test_an_earlier_comment_is_found_on_a_later_page(server: Forge, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    server.items += [{"id": n, "number": n, "body": "other"} for n in range(1, 131)]
    server.items[129]["body"] = MARKER
    publish.GitHub(
        {
            "GITHUB_API_URL": f"http://127.0.0.1:{server.server_address[1]}",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_TOKEN": "the-token",
        }
    ).comment(f"{MARKER} again")
    assert server.items[129]["body"] == f"{MARKER} again"


def test_a_missing_token_is_named(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_TOKEN", "GITLAB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(console.Failed, match=r"GIT(HUB|LAB)_TOKEN is not set"):
        publish.forge().issue("Drift: dev", "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [("no review", "holds no review"), (MARKER, "neither in GitHub Actions nor in GitLab CI")],
)
def test_what_cannot_be_published_is_said_so(text: str, message: str) -> None:
    with pytest.raises(console.Failed, match=message):
        publish.comment(text)
