"""A server that speaks Ollama's own protocol (github.com/ollama/ollama, docs/api.md), and Cohere's
for reranking (docs.cohere.com, v2/rerank).
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = "Blue, says the local model."
LENGTH = 64
"""Of an embedding."""


class _Handler(BaseHTTPRequestHandler):
    server: "LocalModels"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, request))
        match self.path:
            case "/api/chat":
                self._chat(request)
            case "/api/embed":
                inputs = request["input"]
                several = inputs if isinstance(inputs, list) else [inputs]
                vectors = [[float(len(text) + n) for n in range(LENGTH)] for text in several]
                self._send(
                    {"model": request["model"], "embeddings": vectors, "prompt_eval_count": 4}
                )
            case "/api/show":
                self._send({"template": "", "model_info": {}, "capabilities": ["completion"]})
            case "/v2/rerank":
                # The longest document is the most relevant one.
                order = sorted(
                    range(len(request["documents"])),
                    key=lambda index: -len(str(request["documents"][index])),
                )
                results = [
                    {"index": index, "relevance_score": 1 / (place + 1)}
                    for place, index in enumerate(order)
                ]
                self._send({"id": "r1", "results": results, "meta": {"api_version": {}}})
            case _:
                self.send_error(404)

    def _chat(self, request: dict[str, Any]) -> None:
        def message(content: str, *, done: bool) -> dict[str, Any]:
            told = {
                "model": request["model"],
                "created_at": "2026-01-01T00:00:00Z",
                "message": {"role": "assistant", "content": content},
                "done": done,
            }
            counts = {"prompt_eval_count": 9, "eval_count": 6, "done_reason": "stop"}
            return {**told, **counts} if done else told

        if request.get("stream"):
            pieces = [message(f"{word} ", done=False) for word in ANSWER.split()]
            lines = [json.dumps(piece) for piece in (*pieces, message("", done=True))]
            self._write("\n".join(lines) + "\n", "application/x-ndjson")
        else:
            self._send(message(ANSWER, done=True))

    def _send(self, body: dict[str, Any]) -> None:
        self._write(json.dumps(body), "application/json")

    def _write(self, body: str, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept, not printed."""


class LocalModels(ThreadingHTTPServer):
    """Keeps the path and body of each request."""

    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), _Handler)
        self.requests: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        """As containers reach it."""
        return f"http://host.docker.internal:{self.server_address[1]}"
