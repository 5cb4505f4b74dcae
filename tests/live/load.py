"""Work for the platform to measure: what an application does to each service, in small."""

import contextlib
import threading
import time
import uuid
from types import TracebackType
from typing import Any

import httpx
import psycopg
import redis
import urllib3
from minio import Minio
from minio.error import MinioException

from tests.live.stubs import Stubs


class Load:
    """Runs until it is closed; each round takes about a second."""

    def __init__(self, environment: dict[str, str], stubs: Stubs) -> None:
        self._environment = environment
        self._application = f"http://{stubs.application.server_address[0]!s}:{stubs.metrics_port}/"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            for work in (self._application_works, self._ask_a_model, self._use_the_stores):
                # A service may be stopped by a test meanwhile; the load is no check.
                with contextlib.suppress(
                    httpx.HTTPError,
                    redis.RedisError,
                    psycopg.Error,
                    urllib3.exceptions.HTTPError,
                    MinioException,
                    OSError,
                ):
                    work()
            time.sleep(0.5)

    def _application_works(self) -> None:
        for _ in range(10):
            httpx.get(self._application, timeout=5)

    def _ask_a_model(self) -> None:
        self._ask(f"a new question {uuid.uuid4()}", stream=False)
        self._ask(f"a new question {uuid.uuid4()}", stream=True)
        for _ in range(2):
            self._ask("the same question", stream=False, no_cache=False)

    def _ask(self, question: str, *, stream: bool, no_cache: bool = True) -> None:
        body: dict[str, Any] = {
            "model": self._environment["LLM_MODEL"],
            "stream": stream,
            "messages": [{"role": "user", "content": question}],
        }
        if no_cache:
            body["cache"] = {"no-cache": True}
        key = self._environment["LLM_API_KEY"]
        httpx.post(
            f"{self._environment['LLM_BASE_URL']}/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            timeout=30,
        )

    def _use_the_stores(self) -> None:
        cache = redis.Redis.from_url(self._environment["REDIS_CACHE_URL"], socket_timeout=5)
        with contextlib.closing(cache):
            cache.set("load", "here", ex=1)
            for name in ("load", "load", "missing"):
                cache.get(name)
        with psycopg.connect(self._environment["DATABASE_URL"], connect_timeout=5) as connection:
            connection.execute("SELECT count(*) FROM document_vectors")
        store = Minio(
            endpoint=self._environment["S3_ENDPOINT"].removeprefix("http://"),
            secure=False,
            access_key=self._environment["S3_ACCESS_KEY_ID"],
            secret_key=self._environment["S3_SECRET_ACCESS_KEY"],
        )
        list(store.list_objects(self._environment["S3_BUCKET"], prefix="load"))
