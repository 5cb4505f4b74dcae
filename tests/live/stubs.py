"""Servers that stand on the host during the live tests: model providers, an application, and
receivers of alerts and traces.
"""

import gzip
import json
import socketserver
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.example import application
from tests.live.local_models import LocalModels
from tests.live.mail import MailServer

ANSWER = "Blue, says the second provider."
EXPENSIVE = "an expensive question"


class _Provider(BaseHTTPRequestHandler):
    """An OpenAI-compatible provider that counts its requests; it fails if its server says so."""

    server: "_Server"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        if self.path.endswith("/embeddings") and not self.server.failing:
            vector = [0.5] * request.get("dimensions", 64)
            data = [{"object": "embedding", "index": 0, "embedding": vector}]
            usage = {"prompt_tokens": 4, "total_tokens": 4}
            body = {"object": "list", "model": request["model"], "data": data, "usage": usage}
            self._send(200, "application/json", json.dumps(body))
        elif self.server.failing:
            self._send(
                500,
                "application/json",
                json.dumps(
                    {
                        "error": {
                            "message": "the first provider is out of order",
                            "type": "server_error",
                        }
                    }
                ),
            )
        elif request.get("stream"):
            pieces = [
                {"role": "assistant", "content": ""},
                *({"content": word + " "} for word in ANSWER.split()),
            ]
            events = [_chunk(piece, None) for piece in pieces] + [_chunk({}, "stop")]
            self._send(
                200,
                "text/event-stream",
                "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n",
            )
        else:
            message = {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWER},
                "finish_reason": "stop",
            }
            # A hundred million tokens cost more than a day's budget of 2 USD at any provider's
            # price.
            tokens = 100_000_000 if EXPENSIVE in json.dumps(request) else 9
            usage = {"prompt_tokens": tokens, "completion_tokens": 6, "total_tokens": tokens + 6}
            body = {
                "id": "c1",
                "object": "chat.completion",
                "created": 1,
                "model": "gpt-4o-mini",
                "choices": [message],
                "usage": usage,
            }
            self._send(200, "application/json", json.dumps(body))

    def _send(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are counted, not printed."""


def _chunk(delta: dict[str, str], finish: str | None) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, *, failing: bool) -> None:
        super().__init__((address, 0), _Provider)
        self.failing = failing
        self.requests: list[dict[str, Any]] = []


@dataclass(frozen=True, slots=True)
class Received:
    """One request that a receiver took."""

    path: str
    headers: dict[str, str]
    body: bytes


class _Receiver(BaseHTTPRequestHandler):
    """Takes whatever is posted."""

    server: "Receiver"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        self.server.received.append(
            Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        )
        # Slack says so, and Alertmanager takes anything else for a failure.
        answer = b"ok" if self.path == "/slack" else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept, not printed."""


class Receiver(ThreadingHTTPServer):
    """Stands for Slack, a webhook, or a vendor of tracing."""

    daemon_threads = True

    def __init__(self, address: str, *, keeps: int | None = None) -> None:
        super().__init__((address, 0), _Receiver)
        self.received: deque[Received] = deque(maxlen=keeps)

    @property
    def url(self) -> str:
        """As containers reach it."""
        return f"http://host.docker.internal:{self.server_address[1]}"


class Stubs:
    """Runs the servers on the address at which containers reach the host."""

    def __init__(self, address: str) -> None:
        self.failing = _Server(address, failing=True)
        self.working = _Server(address, failing=False)
        self.local = LocalModels(address)
        self.application = application.serve(address, 0)
        self.alerts = Receiver(address)
        self.traces = Receiver(address)
        # Every sample of a stack: the last requests are enough.
        self.metrics = Receiver(address, keeps=20)
        self.mail = MailServer(address)
        self._servers: tuple[socketserver.BaseServer, ...] = (
            self.failing,
            self.working,
            self.local,
            self.application,
            self.alerts,
            self.traces,
            self.metrics,
            self.mail,
        )

    @property
    def failing_port(self) -> int:
        return int(self.failing.server_address[1])

    @property
    def working_port(self) -> int:
        return int(self.working.server_address[1])

    @property
    def metrics_port(self) -> int:
        return int(self.application.server_address[1])

    def __enter__(self) -> "Stubs":
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
