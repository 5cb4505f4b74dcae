"""Stores that are saved over HTTP and that no package has: ClickHouse on its real engine, in this
process; Qdrant and Grafana by what their documentation says of their answers.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from chdb import session as chdb
from groundwork_backup.config import Source
from groundwork_backup.failure import Failed
from groundwork_backup.stores.clickhouse import Clickhouse
from groundwork_backup.stores.grafana import Grafana
from groundwork_backup.stores.interface import Opener, Store
from groundwork_backup.stores.qdrant import Qdrant

from infra.services import clickhouse
from tests.unit.conftest import make_context

Handler = Any


def source(kind: str) -> Source:
    return Source(name=kind, kind=kind, host="store", port=80, username="u", password="p")


def dumped(store: Store) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Every stream of a store, with the facts about it."""
    streams, facts = {}, {}
    for item in store.items():
        out = io.BytesIO()
        facts[item] = store.dump(item, out)
        streams[item] = out.getvalue()
    return streams, facts


def openers(streams: Mapping[str, bytes]) -> dict[str, Opener]:
    @contextmanager
    def opened(content: bytes) -> Iterator[IO[bytes]]:
        yield io.BytesIO(content)

    return {item: partial(opened, content) for item, content in streams.items()}


class TestClickhouse:
    """The analytics database."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Any]:
        session: Any = chdb.Session()  # type: ignore[no-untyped-call]
        self._scratch = tmp_path / "inserted"
        for statement in clickhouse.schema(make_context()).split(";\n"):
            if statement.strip():
                session.query(statement)
        yield session
        session.close()

    @pytest.fixture
    def store(self, engine: Any) -> Clickhouse:
        def answer(request: httpx.Request) -> httpx.Response:
            query = request.url.params.get("query") or request.read().decode()
            form = re.search(r"FORMAT (\w+)$", query)
            if query.startswith("INSERT"):
                self._scratch.write_bytes(request.read())
                into = query.removesuffix(" FORMAT Native")
                query = f"{into} SELECT * FROM file('{self._scratch}', Native)"
            try:
                found = engine.query(re.sub(r" FORMAT \w+$", "", query), form[1] if form else "TSV")
            except RuntimeError as error:
                return httpx.Response(400, text=str(error))
            return httpx.Response(200, content=found.bytes() or b"")

        return Clickhouse(source("clickhouse"), httpx.MockTransport(answer))

    def _fill(self, engine: Any, rows: int, month: int) -> None:
        engine.query(
            "INSERT INTO analytics.events (timestamp, organisation_id, user_id, name, duration_ms,"
            f" cost_usd) SELECT toDateTime64('2026-{month:02}-05 00:00:00', 3) + number,"
            f" generateUUIDv4(), toString(number), 'search', number, 0.01 FROM numbers({rows})"
        )

    def _look(self, engine: Any) -> list[str]:
        return [
            str(engine.query(query)).strip()
            for query in (
                "SELECT toYYYYMM(timestamp) m, count(), sum(cityHash64(*)) FROM analytics.events"
                " GROUP BY m ORDER BY m",
                "SELECT toYYYYMM(hour) m, sum(events), uniqMerge(users) FROM"
                " analytics.events_hourly GROUP BY m ORDER BY m",
            )
        ]

    def test_comes_back_with_every_partition_and_aggregate(
        self, engine: Any, store: Clickhouse
    ) -> None:
        self._fill(engine, 1000, 10)
        self._fill(engine, 500, 11)
        before = self._look(engine)
        streams, facts = dumped(store)
        self._fill(engine, 7, 9)
        engine.query("ALTER TABLE analytics.events DELETE WHERE toMonth(timestamp) = 10")
        assert self._look(engine) != before
        found = store.restore(openers(streams), facts)
        assert self._look(engine) == before
        assert found["analytics.events"] == 1500
        self._fill(engine, 1, 11)
        assert found["analytics.events_hourly"] < store.holds()["analytics.events_hourly"]

    def test_a_table_that_is_gone_is_made_again(self, engine: Any, store: Clickhouse) -> None:
        self._fill(engine, 100, 10)
        before = self._look(engine)
        streams, facts = dumped(store)
        engine.query("DROP DATABASE analytics SYNC")
        store.restore(openers(streams), facts)
        assert self._look(engine) == before

    def test_a_stream_that_is_cut_off_leaves_the_table_as_it_is(
        self, engine: Any, store: Clickhouse
    ) -> None:
        self._fill(engine, 1000, 10)
        streams, facts = dumped(store)
        before = self._look(engine)
        cut = {**streams, "analytics.events.native": streams["analytics.events.native"][:5000]}
        with pytest.raises(Failed, match="clickhouse"):
            store.restore(openers(cut), facts)
        assert self._look(engine) == before

    def test_a_fresh_one_holds_nothing(self, store: Clickhouse) -> None:
        assert store.holds() == {}


class _Vectors:
    """Qdrant's API, as far as a backup uses it (api.qdrant.tech)."""

    def __init__(self) -> None:
        self.collections: dict[str, list[int]] = {}
        self.snapshots: dict[str, bytes] = {}
        self.aliases: dict[str, str] = {}
        self.peers: dict[str, object] = {}

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["api-key"] == "p"
        method, path = request.method, request.url.path
        parts = path.strip("/").split("/")
        match method, parts:
            case "GET", [""]:
                return httpx.Response(200, json={"version": "1.19.1"})
            case "GET", ["cluster"]:
                return self._result({"status": "enabled", "peers": self.peers})
            case "GET", ["aliases"]:
                aliases = [
                    {"alias_name": alias, "collection_name": name}
                    for alias, name in self.aliases.items()
                ]
                return self._result({"aliases": aliases})
            case "GET", ["collections"]:
                names = [{"name": name} for name in self.collections]
                return self._result({"collections": names})
            case "POST", ["collections", "aliases"]:
                for action in json.loads(request.read())["actions"]:
                    made = action["create_alias"]
                    self.aliases[made["alias_name"]] = made["collection_name"]
                return self._result(True)
            case "POST", ["collections", name, "points", "count"]:
                return self._result({"count": len(self.collections[name])})
            case "POST", ["collections", name, "snapshots"]:
                self.snapshots[f"{name}-1"] = json.dumps(self.collections[name]).encode()
                return self._result({"name": f"{name}-1"})
            case "GET", ["collections", _, "snapshots", made]:
                return httpx.Response(200, content=self.snapshots[made])
            case "DELETE", ["collections", _, "snapshots", made]:
                del self.snapshots[made]
                return self._result(True)
            case "POST", ["collections", name, "snapshots", "upload"]:
                assert request.url.params["priority"] == "snapshot"
                body = request.read().split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
                self.collections[name] = json.loads(body)
                return self._result(True)
            case "DELETE", ["collections", name]:
                del self.collections[name]
                return self._result(True)
        return httpx.Response(404, text=f"{method} {path}")

    @staticmethod
    def _result(found: object) -> httpx.Response:
        return httpx.Response(200, json={"result": found, "status": "ok"})


class TestQdrant:
    """Collections and aliases."""

    def test_comes_back_and_leaves_no_snapshot_behind(self) -> None:
        server = _Vectors()
        store = Qdrant(source("qdrant"), httpx.MockTransport(server.answer))
        server.collections = {"a": [1, 2, 3], "b": []}
        server.aliases = {"current": "a"}
        streams, facts = dumped(store)
        assert server.snapshots == {}
        server.collections, server.aliases = {"a": [9], "late": [1]}, {}
        assert store.holds() == {"a": 1, "late": 1}
        assert store.restore(openers(streams), facts) == {"a": 3, "b": 0, "aliases": 1}
        assert server.collections == {"a": [1, 2, 3], "b": []}
        assert server.aliases == {"current": "a"}

    def test_fewer_points_than_were_saved_is_a_failure(self) -> None:
        server = _Vectors()
        store = Qdrant(source("qdrant"), httpx.MockTransport(server.answer))
        server.collections = {"a": [1, 2, 3]}
        streams, facts = dumped(store)
        with pytest.raises(Failed, match="restored 2 points, but 3 were saved"):
            store.restore(openers({**streams, "a.snapshot": b"[1, 2]"}), facts)

    def test_of_several_nodes_one_has_not_all(self) -> None:
        server = _Vectors()
        server.peers = {"1": {}, "2": {}}
        with pytest.raises(Failed, match="runs on 2 nodes"):
            Qdrant(source("qdrant"), httpx.MockTransport(server.answer)).items()

    def test_an_error_of_the_server_is_told(self) -> None:
        failing = httpx.MockTransport(lambda _: httpx.Response(507, text="no space left"))
        with pytest.raises(Failed, match="status 507: no space left"):
            Qdrant(source("qdrant"), failing).version()


class _Boards:
    """Grafana's API, as far as a backup uses it (grafana.com/docs, HTTP API)."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, str]] = {}
        self.boards: dict[str, dict[str, Any]] = {
            "ours": {"meta": {"provisioned": True}, "dashboard": {"uid": "ours"}}
        }

    def answer(self, request: httpx.Request) -> httpx.Response:
        method, path = request.method, request.url.path.removeprefix("/api")
        parts = path.strip("/").split("/")
        match method, parts:
            case "GET", ["health"]:
                return httpx.Response(200, json={"version": "13.2.3"})
            case "GET", ["search"]:
                return httpx.Response(200, json=[{"uid": uid} for uid in self.boards])
            case "GET", ["folders"]:
                parent = request.url.params["parentUid"]
                below = [f for f in self.folders.values() if f["parentUid"] == parent]
                return httpx.Response(200, json=below)
            case "POST", ["folders"]:
                folder = json.loads(request.read())
                assert folder["parentUid"] in ("", *self.folders)
                for other in self.folders.values():
                    if all(folder[key] == other[key] for key in ("title", "parentUid")):
                        return httpx.Response(412, text="a folder with the same name exists")
                self.folders[folder["uid"]] = folder
                return httpx.Response(200, json=folder)
            case "GET", ["dashboards", "uid", uid]:
                return httpx.Response(200, json=self.boards[uid])
            case "POST", ["dashboards", "db"]:
                given = json.loads(request.read())
                assert given["dashboard"]["id"] is None
                assert given["folderUid"] in ("", *self.folders)
                self.boards[given["dashboard"]["uid"]] = {
                    "meta": {"folderUid": given["folderUid"]},
                    "dashboard": given["dashboard"],
                }
                return httpx.Response(200, json={})
            case "DELETE", ["dashboards", "uid", uid]:
                del self.boards[uid]
                return httpx.Response(200, json={})
        return httpx.Response(404, text=f"{method} {path}")


def test_grafanas_dashboards_come_back_in_their_folders() -> None:
    server = _Boards()
    store = Grafana(source("grafana"), httpx.MockTransport(server.answer))
    server.folders = {
        "f": {"uid": "f", "title": "Team", "parentUid": ""},
        "g": {"uid": "g", "title": "Ours", "parentUid": "f"},
    }
    mine = {"meta": {"folderUid": "g"}, "dashboard": {"uid": "mine", "id": 7, "title": "Mine"}}
    server.boards["mine"] = mine
    streams, facts = dumped(store)
    fresh = _Boards()
    fresh.boards["late"] = {"meta": {}, "dashboard": {"uid": "late"}}
    other = Grafana(source("grafana"), httpx.MockTransport(fresh.answer))
    assert other.holds() == {"dashboards": 1}
    assert other.restore(openers(streams), facts) == {"dashboards": 1, "folders": 2}
    assert set(fresh.boards) == {"ours", "mine"}
    assert fresh.boards["mine"]["dashboard"]["title"] == "Mine"
    assert fresh.boards["mine"]["meta"]["folderUid"] == "g"


def test_what_lies_in_a_provisioned_folder_comes_back_into_the_other_stacks() -> None:
    """Grafana gives such a folder another uid in each stack."""
    servers = {}
    for uid in ("here", "there"):
        servers[uid] = _Boards()
        servers[uid].folders[uid] = {"uid": uid, "title": "Groundwork", "parentUid": ""}
    servers["here"].folders["g"] = {"uid": "g", "title": "Ours", "parentUid": "here"}
    for name, folder in (("mine", "here"), ("below", "g")):
        servers["here"].boards[name] = {
            "meta": {"folderUid": folder},
            "dashboard": {"uid": name, "id": 7},
        }
    streams, facts = dumped(Grafana(source("grafana"), httpx.MockTransport(servers["here"].answer)))
    fresh = servers["there"]
    other = Grafana(source("grafana"), httpx.MockTransport(fresh.answer))
    assert other.restore(openers(streams), facts) == {"dashboards": 2, "folders": 2}
    assert fresh.boards["mine"]["meta"]["folderUid"] == "there"
    assert fresh.boards["below"]["meta"]["folderUid"] == "g"
    assert fresh.folders["g"]["parentUid"] == "there"


def test_of_two_folders_with_one_title_each_keeps_its_dashboards() -> None:
    """Newer Grafanas allow it."""
    server = _Boards()
    for uid in ("f", "g"):
        server.folders[uid] = {"uid": uid, "title": "Team", "parentUid": ""}
        server.boards[uid] = {"meta": {"folderUid": uid}, "dashboard": {"uid": uid, "id": 7}}
    store = Grafana(source("grafana"), httpx.MockTransport(server.answer))
    streams, facts = dumped(store)
    assert store.restore(openers(streams), facts) == {"dashboards": 2, "folders": 2}
    assert [server.boards[uid]["meta"]["folderUid"] for uid in ("f", "g")] == ["f", "g"]
