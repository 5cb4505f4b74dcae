"""Where the disk holds less than the retention, Loki and Tempo delete their oldest data and keep
the rest: the real servers with their own files, and the sidecar's script.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.models.containers import Container

from infra import sizing
from infra.secret import revealed
from infra.spec import CONFIG_DIR, Service
from tests.health.telemetry import Span
from tests.live.clone import SOURCE, pull_missing
from tests.support.waiting import wait_until
from tests.unit.conftest import make_platform

_SECONDS = 60


@dataclass(frozen=True)
class Store:
    """A service on folders of a test's own, without the stack around it."""

    engine: docker.DockerClient
    service: Service
    data: Path
    files: Path

    @contextmanager
    def running(self, port: int, *arguments: str) -> Iterator[str]:
        """The base URL of the service while it runs."""
        container = self._container(
            self.service.image.reference,
            [*self.service.entrypoint, *self.service.command, *arguments],
            read_only_data=False,
        )
        try:
            container.reload()
            networks = container.attrs["NetworkSettings"]["Networks"]
            base = f"http://{networks['bridge']['IPAddress']}"
            wait_until(
                lambda: _is_ready(f"{base}:{port}/ready"),
                timeout=_SECONDS,
                reason=f"{self.service.name} is ready",
            )
            yield base
        except BaseException:
            print(container.logs(tail=30).decode())
            raise
        finally:
            container.stop(timeout=20)
            container.remove(force=True, v=True)

    def keep(self, room: int) -> str:
        """The sidecar's log, once it has looked what fits into so many bytes."""
        (sidecar,) = self.service.sidecars
        *command, script = sidecar.command
        (volume,) = self.service.volumes
        smaller = script.replace(str(sizing.kept(volume.size)), str(room))
        container = self._container(
            sidecar.image.reference, [*command, smaller], read_only_data=True, network_mode="none"
        )
        try:
            # Ready it is before.
            return wait_until(
                lambda: bytes(container.logs()).decode(),
                timeout=_SECONDS,
                reason="the sidecar says what it keeps",
            )
        finally:
            container.remove(force=True)

    def _container(
        self, image: str, command: list[str], *, read_only_data: bool, **options: Any
    ) -> Container:
        pull_missing(self.engine, image)
        user, _, group = self.service.user.partition(":")
        (volume,) = self.service.volumes
        binds = {
            str(self.data): {"bind": volume.path, "mode": "ro" if read_only_data else "rw"},
            str(self.files): {"bind": CONFIG_DIR, "mode": "rw" if read_only_data else "ro"},
        }
        started = self.engine.containers.run(
            image,
            command[1:],
            entrypoint=command[0],
            user=f"{user}:{user if read_only_data else group}",
            volumes=binds,
            detach=True,
            **options,
        )
        assert isinstance(started, Container)
        return started


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _store(engine: docker.DockerClient, place: Path, name: str, **replaced: str) -> Store:
    """The service `name` with text in its configuration replaced."""
    service = make_platform(images=SOURCE).by_name(name)
    data, files = place / "data", place / "files"
    data.mkdir()
    data.chmod(0o777)
    for item in service.files:
        path = files / item.path.removeprefix(f"{CONFIG_DIR}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = revealed(item.content)
        for old, new in replaced.items():
            text = text.replace(old, new)
        path.write_text(text)
        path.chmod(0o666 if item.shared else 0o644)
    return Store(engine, service, data, files)


def _push(base: str, text: str, hours: float) -> None:
    at = time.time_ns() - int(hours * 3600 * 10**9)
    stream = {"stream": {"service": text}, "values": [[str(at), text]]}
    httpx.post(f"{base}:3100/loki/api/v1/push", json={"streams": [stream]}).raise_for_status()
    httpx.post(f"{base}:3100/flush").raise_for_status()


def _lines(base: str, services: str = ".+") -> set[str]:
    answer = httpx.get(
        f"{base}:3100/loki/api/v1/query_range",
        params={"query": f'{{service=~"{services}"}}', "since": "72h", "limit": "100"},
        timeout=20,
    )
    answer.raise_for_status()
    return {line for item in answer.json()["data"]["result"] for _, line in item["values"]}


def test_lokis_oldest_lines_go(engine: docker.DockerClient, tmp_path: Path) -> None:
    """Of lines of 60 h, 30 h and now the oldest go, with their chunk, and the others stay."""
    store = _store(engine, tmp_path, "loki")
    chunks = store.data / "chunks" / "fake"

    def written() -> set[Path]:
        return {path for path in chunks.rglob("*") if path.is_file()}

    # It compacts every ten minutes, and deletes a quarter of an hour later.
    often = ("-compactor.compaction-interval=2s", "-compactor.retention-delete-delay=1s")
    ages = {"oldest": 60.5, "older": 30.5, "new": 0.0}
    found: dict[str, Path] = {}
    with store.running(3100, *often) as base:
        for text, hours in ages.items():
            _push(base, text, hours)
            (found[text],) = wait_until(
                lambda: written() - set(found.values()),
                timeout=_SECONDS,
                reason=f"the chunk of the {text} line is written",
            )
    # At its start it stores the index, for which it takes its time otherwise.
    with store.running(3100, *often) as base:
        assert _lines(base) == set(ages)
        log = store.keep(sum(path.stat().st_size for path in written()) - 1)
        assert "hours=60 of=336" in log
        # What is marked goes once a minute.
        wait_until(
            written,
            until=lambda now: now == {found["older"], found["new"]},
            timeout=3 * _SECONDS,
            interval=1,
            reason="the oldest chunk is deleted",
        )
        assert _lines(base, "older|new") == {"older", "new"}


def _flushed(base: str, blocks: Path, known: set[Path]) -> Path:
    """The description of the block that a flush has written."""
    httpx.post(f"{base}:3200/flush", timeout=20).raise_for_status()
    (found,) = wait_until(
        lambda: set(blocks.rglob("meta.json")) - known,
        timeout=_SECONDS,
        reason="the block is written",
    )
    return found


@pytest.mark.skipif(SOURCE != "packages", reason="Tempo 3 writes no block when it is told to")
def test_tempos_oldest_traces_go(engine: docker.DockerClient, tmp_path: Path) -> None:
    """Of blocks of 60 h and now the older one goes."""
    store = _store(
        engine,
        tmp_path,
        "tempo",
        **{
            "backend: local": "backend: local\n    blocklist_poll: 2s",
            "compacted_block_retention: 15m": "compacted_block_retention: 1s",
        },
    )
    blocks, old, new = store.data / "blocks", Span(), Span()
    with store.running(3200) as base:
        assert old.send(f"{base}:4318").status_code == 200
        first = _flushed(base, blocks, set())
    described = json.loads(first.read_text())
    ended = (datetime.now(UTC) - timedelta(hours=60.5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    first.write_text(json.dumps({**described, "endTime": ended}, separators=(",", ":")))
    with store.running(3200) as base:
        assert new.send(f"{base}:4318").status_code == 200
        second = _flushed(base, blocks, {first})
        log = store.keep(json.loads(second.read_text())["size"] + 1)
        assert "hours=60 of=72" in log
        wait_until(
            lambda: set(blocks.rglob("data.parquet")),
            until=lambda now: now == {second.parent / "data.parquet"},
            timeout=_SECONDS,
            interval=1,
            reason="the older block is deleted",
        )
        assert httpx.get(f"{base}:3200/api/traces/{new.trace}").status_code == 200
