"""The program in the backup's container, as far as it needs no repository and no store."""

import io
import json
import os
import socket
import ssl
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from groundwork_backup import config, manifests, restoring, runs, serve, status
from groundwork_backup.config import Config, Repository, Source
from groundwork_backup.failure import Failed, Full
from groundwork_backup.manifests import Entry, Manifest, Saved, Stream
from groundwork_backup.restic import Restic
from groundwork_backup.stores import postgres, redis
from groundwork_backup.stores.s3 import Request

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
STORES = ("postgres", "minio")


def entry(
    number: int,
    *,
    hours: int = 0,
    stores: Sequence[str] = STORES,
    failed: Sequence[str] = (),
    partial: bool = False,
) -> Entry:
    return Entry(
        run=f"run-{number}",
        sequence=number,
        started=NOON - timedelta(hours=hours),
        size=1,
        entries=1,
        stores=tuple(stores),
        failed=tuple(failed),
        partial=partial,
        snapshot=f"s{number}",
    )


@pytest.fixture
def made(tmp_path: Path) -> Config:
    return Config(
        stack="abc123",
        folder=tmp_path,
        sources=(
            Source(name="postgres", kind="postgres", host="postgres", port=5432),
            Source(name="minio", kind="minio", host="minio", port=9000),
        ),
        repositories=(Repository(name="first", url="/r", password="p"),),
        schedule="15 3 * * *",
        keep={"last": 2},
    )


class TestChoice:
    """Which run a restore takes."""

    ENTRIES = (entry(1, hours=48), entry(2, hours=24), entry(3, stores=["minio"], partial=True))

    @pytest.mark.parametrize(
        ("at", "only", "chosen"),
        [
            ("latest", [], 2),
            ("latest", ["minio"], 3),
            ("latest", ["postgres"], 2),
            ("1", [], 1),
            ("run-3", [], 3),
            ("2026-11-24T12:00:00", [], 2),
            ("2026-11-24T11:59:59+00:00", [], 1),
            ("2026-11-24T13:30:00+01:00", [], 2),
            ("2026-11-24", [], 1),
        ],
        ids=[
            "the last with all stores",
            "the last with the one that is asked for",
            "never one without it",
            "by its number",
            "by its id, whatever it has",
            "not after a time",
            "before a time",
            "in another zone",
            "at a date",
        ],
    )
    def test_is_the_run_asked_for(self, at: str, only: list[str], chosen: int) -> None:
        found = restoring.choose(self.ENTRIES, at, stack="s", only=only)
        assert found.sequence == chosen

    @pytest.mark.parametrize(
        ("at", "only", "why"),
        [
            ("yesterday", [], "not a point in time"),
            ("7", [], "there is no backup `7`"),
            ("2026-11-01T00:00:00", [], "no backup is as old as"),
            ("latest", ["qdrant"], "no backup of `s` has qdrant"),
        ],
    )
    def test_is_refused_with_what_to_do(self, at: str, only: list[str], why: str) -> None:
        with pytest.raises(Failed, match=why) as failed:
            restoring.choose(self.ENTRIES, at, stack="s", only=only)
        assert "make backups" in failed.value.fix

    def test_without_any_backup_says_how_to_make_one(self) -> None:
        with pytest.raises(Failed, match="there is no backup of `s`") as failed:
            restoring.choose([], "latest", stack="s")
        assert "make backup" in failed.value.fix

    def test_an_incomplete_run_is_not_passed_over_in_silence(self) -> None:
        """Otherwise a restore would be of the day before, and nobody would know."""
        entries = (entry(1), entry(2, stores=["minio"], failed=["postgres"]))
        assert restoring.choose(entries, "latest", stack="s").sequence == 2


class _Store:
    def __init__(self, version: str, holds: dict[str, int]) -> None:
        self._version, self._holds = version, holds

    def version(self) -> str:
        return self._version

    def holds(self) -> dict[str, int]:
        return self._holds


class TestRefusal:
    """What is refused before anything is changed."""

    SAVED = Saved(store="postgres", kind="postgres", version="17.2")

    @pytest.mark.parametrize(
        ("saved", "store", "replaced", "why"),
        [
            (replace(SAVED, error="was down"), _Store("17.2", {}), (), "incomplete"),
            (SAVED, _Store("16.9", {}), (), "cannot read what 17.2 saved"),
            (
                replace(SAVED, kind="redis", version="8.10.2"),
                _Store("8.0.2", {}),
                (),
                "cannot read what 8.10.2 saved",
            ),
            (SAVED, _Store("17.2", {"app.t": 3}), (), r"postgres \(app.t: 3\)"),
            (SAVED, _Store("17.2", {"app.t": 3}), ("minio",), "not empty"),
        ],
        ids=["incomplete", "an older store", "an older minor", "not empty", "another one is named"],
    )
    def test_says_why(self, saved: Saved, store: _Store, replaced: tuple[str], why: str) -> None:
        with pytest.raises(Failed, match=why):
            restoring._refuse([saved], {"postgres": store}, replaced)  # type: ignore[dict-item]

    @pytest.mark.parametrize("replaced", [("postgres",), ("all",)])
    def test_a_store_that_is_named_is_replaced(self, replaced: tuple[str]) -> None:
        store = _Store("17.2", {"app.t": 3})
        restoring._refuse([self.SAVED], {"postgres": store}, replaced)  # type: ignore[dict-item]

    def test_an_older_minor_of_postgres_reads_a_dump(self) -> None:
        store = _Store("17.1", {})
        restoring._refuse([self.SAVED], {"postgres": store}, ())  # type: ignore[dict-item]

    def test_a_newer_store_reads_an_older_backup(self) -> None:
        store = _Store("18.1", {})
        restoring._refuse([self.SAVED], {"postgres": store}, ())  # type: ignore[dict-item]


class TestSchedule:
    """When a backup is due (cron, UTC)."""

    @pytest.mark.parametrize(
        ("last", "now", "due"),
        [
            (NOON, NOON + timedelta(hours=15), False),
            (NOON, NOON + timedelta(hours=15, minutes=15), True),
            (NOON, NOON + timedelta(days=9), True),
            (NOON + timedelta(days=400), NOON, False),
            (NOON + timedelta(days=400), NOON + timedelta(hours=15, minutes=15), True),
        ],
        ids=[
            "not yet",
            "at its minute",
            "missed while the host was off",
            "the clock was set back",
            "and comes to the minute again",
        ],
    )
    def test_is_due(self, last: datetime, now: datetime, due: bool) -> None:
        assert serve.due("15 3 * * *", last.timestamp(), now.timestamp()) == due

    def test_only_by_hand_it_never_is(self) -> None:
        assert not serve.due(None, 0, NOON.timestamp())

    @pytest.mark.parametrize(
        ("schedule", "hours"), [("15 3 * * *", 24), ("0 */6 * * *", 6), ("0 4 * * 1-5", 72)]
    )
    def test_its_longest_interval(self, schedule: str, hours: int) -> None:
        assert serve.interval(schedule) == hours * 3600


def test_metrics_name_every_store_before_its_first_backup(made: Config) -> None:
    """A store that is never saved must be seen to age."""
    status.begun(made)
    found = {family.name: family for family in serve._Status(made).collect()}
    ages = found["groundwork_backup_last_success_timestamp_seconds"].samples
    assert {sample.labels["store"] for sample in ages} == set(STORES)
    assert "groundwork_backup_repository_size_bytes" not in found


def test_metrics_follow_the_last_backup(made: Config) -> None:
    stream = Stream(item="a", size=10, added=4, seconds=2, facts={"counts": {"t": 7}})
    manifest = Manifest(
        run="r",
        sequence=1,
        stack="abc123",
        started="",
        finished="",
        stores=(
            Saved(store="postgres", kind="postgres", streams=(stream, stream)),
            Saved(store="minio", kind="minio", error="was down"),
        ),
    )
    status.saved(made, manifest)
    found = {
        (family.name.removeprefix("groundwork_backup_"), sample.labels.get("store")): sample.value
        for family in serve._Status(made).collect()
        for sample in family.samples
    }
    assert found["size_bytes", "postgres"] == 20
    assert found["added_bytes", "postgres"] == 8
    assert found["entries", "postgres"] == 14
    assert found["failed", "postgres"] == 0
    assert found["failed", "minio"] == 1


def test_a_damaged_status_is_that_of_a_stack_never_saved(made: Config) -> None:
    (made.folder / "state").mkdir()
    (made.folder / "state" / "status.json").write_text('{"stores": {"post')
    assert status.read(made)["stores"] == {}


def test_two_backups_at_once_are_one(made: Config) -> None:
    """The second one says which is running."""

    def restore() -> None:
        with runs.alone(made, "restore"):
            pass

    with (
        runs.alone(made, "backup"),
        pytest.raises(Failed, match=r"a backup \(since .* UTC\) is running"),
    ):
        restore()
    restore()


def test_the_tags_of_a_snapshot_by_name() -> None:
    tags = {"tags": ["manifest", "run=r-1", "failed=a", "failed=b"]}
    assert manifests.tags_of(tags) == {"manifest": [""], "run": ["r-1"], "failed": ["a", "b"]}


def test_a_store_that_the_stack_does_not_have_is_named_with_those_it_has(made: Config) -> None:
    with pytest.raises(Failed, match="no store `mongo`") as failed:
        made.source("mongo")
    assert failed.value.fix == "name one of postgres, minio"


def test_the_configuration_is_read_with_its_secrets_hidden(tmp_path: Path) -> None:
    file = tmp_path / "backup.json"
    source = {"name": "a", "kind": "redis", "host": "h", "port": 1, "password": "hidden1"}
    repository = {"name": "first", "url": "/r", "password": "hidden2", "environment": {"K": "v3"}}
    raw = {
        "stack": "s",
        "folder": str(tmp_path),
        "sources": [source],
        "repositories": [repository],
    }
    file.write_text(json.dumps(raw))
    found = config.load(file)
    assert found.source("a").password == "hidden1"
    assert [word for word in ("hidden1", "hidden2", "v3") if word in repr(found)] == []


class TestPrimary:
    """What a Redis that is restored takes for its primary."""

    SNAPSHOT = b"REDIS0012" + bytes(3 << 20) + b"\xff"

    def _speak(self, port: int, *commands: Sequence[bytes]) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            for words in commands:
                parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
                connection.sendall(b"*%d\r\n" % len(words) + parts)
            found = b""
            connection.settimeout(0.5)
            with suppress(TimeoutError):
                while chunk := connection.recv(1 << 20):
                    found += chunk
        return found

    def _port(self) -> int:
        with socket.create_server(("", 0)) as free:
            port: int = free.getsockname()[1]
        return port

    def test_sends_the_snapshot_between_two_marks(self) -> None:
        port = self._port()
        with redis._Primary(port, "secret", io.BytesIO(self.SNAPSHOT)) as primary:
            told = self._speak(
                port,
                [b"PING"],
                [b"AUTH", b"secret"],
                [b"REPLCONF", b"capa", b"eof"],
                [b"PSYNC", b"?", b"-1"],
                [b"REPLCONF", b"ACK", b"0"],
            )
        assert primary.error is None
        head, _, rest = told.partition(b"$EOF:")
        assert head.startswith(b"-NOAUTH\r\n+OK\r\n+OK\r\n+FULLRESYNC ")
        mark, _, body = rest.partition(b"\r\n")
        assert len(mark) == 40
        assert body == self.SNAPSHOT + mark

    @pytest.mark.parametrize("words", [[b"AUTH", b"wrong"], [b"REPLCONF", b"capa", b"eof"]])
    def test_sends_nothing_without_the_password(self, words: Sequence[bytes]) -> None:
        port = self._port()
        with redis._Primary(port, "secret", io.BytesIO(self.SNAPSHOT)):
            told = self._speak(port, words, [b"PSYNC", b"?", b"-1"])
        assert b"REDIS" not in told

    def test_a_client_that_speaks_no_tls_where_it_is_spoken_ends_it(self) -> None:
        """What waits for the snapshot is told, instead of waiting on."""
        port = self._port()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with redis._Primary(port, "secret", io.BytesIO(self.SNAPSHOT), tls) as primary:
            with suppress(ConnectionError):
                told = self._speak(port, [b"AUTH", b"secret"], [b"PSYNC", b"?", b"-1"])
                assert b"REDIS" not in told
            primary._thread.join(timeout=5)
        assert isinstance(primary.error, ssl.SSLError)

    def test_ends_when_nobody_comes(self) -> None:
        with redis._Primary(self._port(), "secret", io.BytesIO(b"")) as primary:
            pass
        assert not primary._thread.is_alive()

    def test_a_connection_that_is_cut_off_ends_it(self) -> None:
        port = self._port()
        with redis._Primary(port, "secret", io.BytesIO(self.SNAPSHOT)) as primary:
            cut = socket.create_connection(("127.0.0.1", port))
            cut.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            cut.sendall(b"*1\r\n$4\r\nPING\r\n")
            cut.close()
            primary._thread.join(timeout=5)
            assert not primary._thread.is_alive()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("CREATE ROLE shop;", True),
        ("ALTER ROLE shop WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:x';", True),
        ("GRANT pg_monitor TO shop WITH INHERIT TRUE GRANTED BY postgres;", True),
        ("SET standard_conforming_strings = on;", False),
        ("\\connect postgres", False),
        ("-- CREATE ROLE shop;", False),
    ],
)
def test_roles_are_taken_from_a_dump_and_nothing_else(line: str, found: bool) -> None:
    assert list(postgres._statements(f"--\n{line}\n")) == ([line] if found else [])


@pytest.mark.parametrize(
    ("statement", "given"),
    [
        ("ALTER ROLE app SET statement_timeout TO '30s';", True),
        ("ALTER ROLE \"a b\" SET work_mem TO '8MB';", True),
        ("ALTER ROLE app SET default_transaction_read_only TO 'on';", False),
        ("ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$x';", False),
        ("CREATE ROLE app;", False),
    ],
    ids=[
        "a setting",
        "a quoted name",
        "what a move holds it back by",
        "a password",
        "its creation",
    ],
)
def test_a_role_that_the_deploy_made_is_given_its_settings(statement: str, given: bool) -> None:
    assert bool(postgres._OF_A_ROLE.match(statement)) is given


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (Request(method="GET", bucket="b"), "/b"),
        (Request(method="GET", bucket="b", key="a/ü ?.txt"), "/b/a/%C3%BC%20%3F.txt"),
        (Request(method="PUT", bucket="b", key="k", query={"versionId": "v"}), "/b/k?versionId=v"),
        (Request(method="GET", bucket="b", query={"policy": ""}), "/b?policy="),
    ],
)
def test_the_path_of_a_request_is_quoted(request_: Request, path: str) -> None:
    assert request_.path == path


class _Repository:
    """A repository whose policy keeps the last complete runs, as restic would."""

    def __init__(self, keep: int) -> None:
        self.keep, self.gone = keep, list[str]()
        self._snapshots: list[dict[str, object]] = []

    def add(self, run: int, *tags: str) -> None:
        """A run of one stream and, if it has ended, its manifest."""
        about = [f"run={run}", f"sequence={run}"]
        self._snapshots.append({"id": f"{run}-stream", "tags": about[:1]})
        if tags:
            self._snapshots.append({"id": f"{run}-manifest", "tags": [*about, *tags]})

    def snapshots(self) -> list[dict[str, object]]:
        return self._snapshots

    def surplus(self, tag: str, _: object) -> list[str]:
        with_tag = [str(item["id"]) for item in self._snapshots if tag in str(item["tags"])]
        return with_tag[: -self.keep]

    def forget(self, snapshots: Sequence[str]) -> None:
        self.gone += snapshots


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        (["complete", "complete", "complete"], {2, 3}),
        (["complete", "complete", "", "complete"], {2, 4}),
        (["complete", "complete", "failed=a", "failed=a", "failed=a"], {1, 2, 3, 4, 5}),
        (["failed=a", "complete", "failed=a", "complete", "complete"], {4, 5}),
        (["failed=a", "failed=a", "failed=a"], {1, 2, 3}),
        (["complete", "partial", "complete", "partial"], {1, 2, 3, 4}),
    ],
    ids=[
        "two are kept",
        "an interrupted one goes",
        "incomplete ones displace no complete one",
        "and go once they are older than those",
        "without a complete one nothing goes",
        "partial ones count as little",
    ],
)
def test_what_is_kept(made: Config, states: list[str], kept: set[int]) -> None:
    repository = _Repository(keep=2)
    for number, state in enumerate(states, 1):
        repository.add(number, *(["manifest", state] if state else []))
    runs._tidy(made, repository, lambda _: None)  # type: ignore[arg-type]
    gone = {int(item.partition("-")[0]) for item in repository.gone}
    assert set(range(1, len(states) + 1)) - gone == kept


_FOLDER, _BUCKET = "/backup/repository", "s3:https://s3.example.org/b"


class TestOpening:
    """What restic answers decides; a bucket is made before anything is looked for in it."""

    @pytest.mark.parametrize(
        ("url", "answers", "steps"),
        [
            (_FOLDER, {"unlock": (10, "")}, ["unlock", "init"]),
            (_FOLDER, {}, ["unlock"]),
            (_BUCKET, {}, ["init"]),
            (_BUCKET, {"init": (1, "config already initialized")}, ["init", "unlock"]),
        ],
        ids=["a new folder", "a folder", "a new bucket", "a bucket"],
    )
    def test_makes_what_is_not_there(
        self,
        url: str,
        answers: dict[str, tuple[int, str]],
        steps: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        asked = _answering(monkeypatch, answers)
        Restic(Repository(name="first", url=url, password="x"), Path("/none"), "abc123").open()
        assert asked == steps

    def test_says_why_a_bucket_cannot_be_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _answering(monkeypatch, {"init": (1, "Access Denied")})
        restic = Restic(Repository(name="first", url=_BUCKET, password="x"), Path("/none"), "a")
        with pytest.raises(Failed, match="Access Denied"):
            restic.open()


def test_nothing_is_surplus_where_there_is_nothing_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    _answering(monkeypatch, {})
    restic = Restic(Repository(name="first", url=_FOLDER, password="x"), Path("/none"), "a")
    assert restic.surplus("complete", {"last": 3}) == []


def test_a_full_repository_ends_a_save_that_restic_would_not_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Restic waits for the command that it reads, which waits for restic to read on."""
    program = tmp_path / "restic"
    program.write_text(
        "#!/bin/sh\necho 'Save(<data/1>) failed: write: no space left on device' >&2\n"
        'while :; do echo \'{"message_type": "status", "bytes_done": 1}\'; sleep 0.1; done\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    restic = Restic(Repository(name="first", url=_FOLDER, password="x"), tmp_path, "a")
    with pytest.raises(Full, match="is full; existing backups are not harmed"):
        restic.save("objects.tar", ["true"], tags=(), environment={})


def _answering(monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[int, str]]) -> list[str]:
    """Restic answers with a status and an error, 0 if not named; the commands that it is asked."""
    asked: list[str] = []

    def run(
        _: Restic, *arguments: str, allowed: Sequence[int] = (), **__: object
    ) -> subprocess.CompletedProcess[str]:
        asked.append(arguments[0])
        status, said = answers.get(arguments[0], (0, ""))
        assert status in (0, *allowed)
        return subprocess.CompletedProcess(arguments, status, "", said)

    monkeypatch.setattr(Restic, "_run", run)
    return asked


class Flaky:
    """A run in which some stores cannot be saved the first time, and one never after a part."""

    def __init__(self) -> None:
        self.begun: set[str] = set()
        self.full: list[str] = []
        self.asked: list[str] = []

    def say(self, _: str) -> None:
        return

    def save(self, source: Source) -> Saved:
        self.asked.append(source.name)
        again = self.asked.count(source.name) > 1
        if source.name == "half":
            self.begun.add("half")
        failed = source.name in ("down", "half") or (source.name == "replaced" and not again)
        return Saved(store=source.name, kind="redis", error="refused" if failed else "")


def test_a_store_that_is_being_replaced_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, after the others; not one of which a part is saved."""
    monkeypatch.setattr(runs, "_AGAIN_SECONDS", 0)
    run = Flaky()
    sources = [
        Source(name=name, kind="redis", host="h", port=1)
        for name in ("replaced", "half", "down", "fine")
    ]
    saved = runs._save_all(run, sources)  # type: ignore[arg-type]
    assert run.asked == ["replaced", "half", "down", "fine", "replaced", "down"]
    assert [item.store for item in saved if item.error] == ["half", "down"]
    assert [item.store for item in saved] == ["replaced", "half", "down", "fine"]


def test_nothing_is_tried_again_in_a_full_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_AGAIN_SECONDS", 0)
    run = Flaky()
    run.full.append("replaced")
    runs._save_all(run, [Source(name="replaced", kind="redis", host="h", port=1)])  # type: ignore[arg-type]
    assert run.asked == ["replaced"]
