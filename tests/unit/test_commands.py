"""What commands do before and after Pulumi: locks, failures in words, environment files,
passphrases, downloads.
"""

import hashlib
import http.server
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest

from infra import templating
from infra.description import describe
from infra.templating import Quoted
from ops import console
from ops.build import downloads
from ops.build.toolchain import Toolchain
from ops.commands import dotenv, interruptions
from ops.sites import recovery
from ops.stacks import failures, lock, passphrase, private, state
from ops.stacks.progress import Watch
from ops.stacks.stack import Stack


class TestLock:
    """One command at a time changes a stack."""

    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROUNDWORK_CACHE", str(tmp_path))
        monkeypatch.setattr(lock, "_WAIT_SECONDS", 1)

    def test_the_second_says_who_holds_it_and_for_how_long(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with (
            lock.held("dev", "abc123", "make up"),
            pytest.raises(console.Failed, match="waited for 1 s"),
            lock.held("dev", "abc123", "make down"),
        ):
            pass
        assert "waiting: `make up` (process " in capsys.readouterr().out

    def test_it_waits_until_the_first_has_ended(self) -> None:
        held = threading.Event()

        def first() -> None:
            with lock.held("dev", "abc123", "make up"):
                held.set()
                time.sleep(0.3)

        thread = threading.Thread(target=first)
        thread.start()
        held.wait()
        began = time.monotonic()
        with lock.held("dev", "abc123", "make down"):
            assert time.monotonic() - began > 0.1
        thread.join()

    def test_another_stack_is_not_kept_waiting(self) -> None:
        with lock.held("dev", "abc123", "make up"), lock.held("prod", "def456", "make up"):
            pass

    def test_a_holder_that_was_killed_holds_nothing(self) -> None:
        script = (
            "import time\nfrom ops.stacks import lock\nwith lock.held('dev', 'abc123', 'make"
            " up'):\n    print('held', flush=True)\n    time.sleep(60)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            holder.kill()
        with lock.held("dev", "abc123", "make up"):
            pass


@pytest.mark.parametrize(
    ("host", "age", "alive"),
    [("here", 0, False), ("elsewhere", 0, True), ("elsewhere", 10**9, False), ("former", 0, False)],
    ids=[
        "a dead process",
        "another machine",
        "from before this machine was started",
        "this machine under its former name",
    ],
)
def test_a_lock_of_pulumis_is_alive(
    host: str, age: int, alive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDWORK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(socket, "gethostname", lambda: "former")
    with lock.held("dev", None, "make up"):
        pass
    monkeypatch.setattr(socket, "gethostname", lambda: "here")
    file = tmp_path / "lock.json"
    file.write_text(json.dumps({"hostname": host, "pid": 1}))
    written = time.time() - age
    os.utime(file, (written, written))
    assert recovery._alive(file) is alive


URN = "urn:pulumi:dev::groundwork::docker:index/container:Container::gw-dev-abc123-{}"


def _log(tmp_path: Path, *errors: tuple[str, str]) -> Path:
    file = tmp_path / "events.jsonl"
    events = [
        {
            "diagnosticEvent": {
                "urn": URN.format(name) if name else "",
                "message": text,
                "severity": "error",
            }
        }
        for name, text in errors
    ]
    file.write_text("\n".join(json.dumps(event) for event in [{"preludeEvent": {}}, *events]))
    return file


@pytest.mark.parametrize(
    ("message", "meaning", "fix"),
    [
        (
            "<{%reset%}>error: no space left on device<{%reset%}>",
            "the disk is full",
            "docker system df",
        ),
        (
            "Bind for 127.0.0.1:5432 failed: port is already allocated",
            "its port is taken",
            "groundwork:portOffset",
        ),
        (
            'Conflict. The container name "/x" is already in use by container "y"',
            "its name is taken",
            "keeps the volumes",
        ),
        (
            "could not find an available, non-overlapping IPv4 address pool",
            "no address range left",
            "docker network prune",
        ),
        ("manifest unknown", "its image cannot be pulled", "groundwork:images"),
        ("container is unhealthy", "did not become ready", "make logs S=postgres"),
        ("No such container: 1a2b", "failed several times in a row", "mend what they name"),
        ("something nobody has seen", "something nobody has seen", "continues from here"),
    ],
)
def test_a_failure_is_told_with_its_resource_its_meaning_and_a_command(
    tmp_path: Path, message: str, meaning: str, fix: str
) -> None:
    found = failures.read(_log(tmp_path, ("postgres", message), ("", "update failed")))
    told = failures.explain(found, prefix="gw-dev-abc123-", again="make up")
    assert "postgres: " in told.what
    assert meaning in told.what
    assert fix in told.fix
    assert "make up" in told.fix
    assert "<{%" not in told.what


def test_a_refusal_is_no_failure_of_a_resource(tmp_path: Path) -> None:
    found = failures.read(
        _log(tmp_path, ("", "Refused before anything was changed:\n  - groundwork:x: y"))
    )
    assert (
        "before anything was changed" in failures.explain(found, prefix="gw-", again="make up").what
    )


def test_a_preview_tells_which_services_are_interrupted() -> None:
    steps = [
        {"op": "replace", "urn": URN.format("litellm")},
        {"op": "delete-replaced", "urn": URN.format("litellm")},
        {"op": "replace", "urn": URN.format("postgres-provision")},
        {"op": "replace", "urn": URN.format("loki-retention")},
        {"op": "update", "urn": URN.format("minio")},
        {"op": "same", "urn": URN.format("redis-cache")},
        {
            "op": "replace",
            "urn": "urn:pulumi:dev::groundwork::docker:index/network:Network::gw-dev-abc123-app",
        },
    ]
    assert set(interruptions.replaced({"steps": steps}, "gw-dev-abc123-")) == {"litellm"}


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({}, set()),
        ({"redis": {"queue": {"memory": "320MiB"}}}, {"redis-queue"}),
        ({"prometheus": {"scrapeInterval": "3s"}}, set()),
        ({"minio": {"enabled": False}}, {"backup", "prometheus"}),
    ],
    ids=["nothing", "a limit", "a file that is read again", "a service that is removed"],
)
def test_two_descriptions_tell_which_services_are_interrupted(
    keys: dict[str, Any], names: set[str]
) -> None:
    config = {
        "groundwork:images": "packages",
        "groundwork:instance": "abc123",
        "groundwork:masterSecret": {"secure": "v1:made-up"},
    }
    before = describe({"config": config}, "dev")
    changed = {f"groundwork:{key}": value for key, value in keys.items()}
    assert set(interruptions.described(before, describe({"config": config | changed}, "dev"))) == (
        names
    )


@pytest.mark.parametrize(
    ("images", "names"),
    [({"redis:8": "sha256:1"}, []), ({"redis:8": "sha256:2"}, ["redis-queue"]), ({}, [])],
    ids=["the same image", "another under the same tag", "an image that is gone"],
)
def test_an_image_that_was_built_again_interrupts(images: dict[str, str], names: list[str]) -> None:
    resources: list[dict[str, Any]] = [
        {
            "type": "pulumi:pulumi:Stack",
            "outputs": {"services": {"redis-queue": {"image": "redis:8", "container": "gw-q"}}},
        },
        {
            "type": "docker:index/container:Container",
            "inputs": {"name": "gw-q", "image": "sha256:1"},
        },
    ]
    assert list(interruptions.rebuilt(resources, {"images": images})) == names


class TestUnchanged:
    """Pulumi is not run where all that a deploy follows from is as the last one has left it."""

    @pytest.fixture
    def stack(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
        monkeypatch.setattr(interruptions, "STATE", tmp_path)
        monkeypatch.setattr(interruptions, "_PROGRAM", ())
        file = tmp_path / "Pulumi.dev.yaml"
        file.write_text("config: {}")
        monkeypatch.setattr(Stack, "file", file)
        tools = Toolchain((), {"pulumi": "found"}, "docker", None)
        made = Stack("dev", tools, state.Backend({}, local=True))
        interruptions.remember(made, Watch(), RESOURCES, FACTS)
        return made

    def test_the_same(self, stack: Stack) -> None:
        assert interruptions.unchanged(stack, RESOURCES, FACTS)

    def test_another_file(self, stack: Stack) -> None:
        stack.file.write_text("config: {groundwork:target: docker}")
        assert not interruptions.unchanged(stack, RESOURCES, FACTS)

    def test_another_state(self, stack: Stack) -> None:
        resources: list[dict[str, Any]] = [*RESOURCES, {"type": "x", "urn": "new"}]
        assert not interruptions.unchanged(stack, resources, FACTS)

    def test_another_image_or_engine(self, stack: Stack) -> None:
        assert not interruptions.unchanged(stack, RESOURCES, {**FACTS, "ID": "another"})

    def test_another_engines_address(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:1")
        assert not interruptions.unchanged(stack, RESOURCES, FACTS)

    def test_other_tools(self, stack: Stack) -> None:
        tools = Toolchain((), {"pulumi": "downloaded"}, "docker", None)
        other = Stack("dev", tools, stack.backend)
        assert not interruptions.unchanged(other, RESOURCES, FACTS)


class TestEnv:
    """`make env` writes where clients find the authority of servers that require TLS."""

    OUTPUTS: ClassVar[Mapping[str, Any]] = {
        "environment": {"DATABASE_URL": "postgresql://app@h:1/app?sslmode=verify-full"},
        "administration": {"DATABASE_OWNER_URL": "x"},
        "applications": {"shop": {"environment": {"A": "1"}, "administration": {"B": "2"}}},
        "networks": {},
        "files": [],
        "target": {"kind": "docker"},
    }

    @pytest.fixture
    def written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> Path:
        """The folder of the files, for a stack whose services named here require TLS."""
        monkeypatch.setattr(dotenv, "ROOT", tmp_path)
        told = {
            **self.OUTPUTS,
            "services": {name: {"checks": {"tls": "true"}} for name in request.param},
            "environment": {
                **self.OUTPUTS["environment"],
                **({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://h"} if "loki" in request.param else {}),
            },
            "authority": "the certificate" if request.param else None,
        }
        stack = mock.Mock(outputs=lambda: told)
        stack.name = "dev"
        dotenv.write(stack)
        return tmp_path

    def _lines(self, written: Path, name: str = ".env") -> set[str]:
        return set((written / name).read_text().splitlines())

    @pytest.mark.parametrize("written", [("postgres", "redis-queue")], indirect=True)
    @pytest.mark.parametrize("name", [".env", ".env.admin", ".env.dev.shop", ".env.dev.shop.admin"])
    def test_names_the_file(self, written: Path, name: str) -> None:
        authority = written / ".env.ca.pem"
        assert authority.read_text() == "the certificate"
        assert {
            f"TLS_CA_FILE={authority}",
            f"NODE_EXTRA_CA_CERTS={authority}",
            f"PGSSLROOTCERT={authority}",
            "PGSSLMODE=verify-full",
        } <= self._lines(written, name)

    @pytest.mark.parametrize("written", [("minio",)], indirect=True)
    def test_leaves_an_external_postgres_its_own_authority(self, written: Path) -> None:
        lines = self._lines(written)
        assert f"TLS_CA_FILE={written / '.env.ca.pem'}" in lines
        assert not {line for line in lines if line.startswith("PGSSL")}

    @pytest.mark.parametrize(
        ("written", "told"),
        [(("alloy", "loki"), True), (("alloy",), False), (("loki",), False)],
        indirect=["written"],
    )
    def test_tells_opentelemetry_of_it(self, written: Path, told: bool) -> None:
        """Where its endpoint is the stack's, and not the application's own."""
        line = f"OTEL_EXPORTER_OTLP_CERTIFICATE={written / '.env.ca.pem'}"
        assert (line in self._lines(written)) is told

    @pytest.mark.parametrize("written", [()], indirect=True)
    def test_names_none_without_tls(self, written: Path) -> None:
        assert not (written / ".env.ca.pem").exists()
        assert not {line for line in self._lines(written) if line.startswith(("TLS", "PGSSL"))}


RESOURCES: list[dict[str, Any]] = [
    {"type": "pulumi:pulumi:Stack", "urn": "s", "outputs": {"services": {}}}
]
FACTS = {"ID": "engine", "images": {"a": "sha256:1"}}
VALUES = [
    "plain",
    "postgresql://a:b@h:1/d",
    "two words",
    "a'b",
    'a"b',
    "$HOME",
    "`id`",
    "a\\b",
    "#x",
    "",
    "k=v",
    "a;b&c|d",
    "é",
]


@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_an_environment_file_is_read_back_by_a_shell(tmp_path: Path, value: str) -> None:
    file = tmp_path / "env"
    file.write_text(dotenv.render({"A": value, "B": "next"}))
    shown = subprocess.run(
        ["sh", "-c", f'. {file}; printf "%s|%s" "$A" "$B"'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == f"{value}|next"


def test_an_environment_file_takes_no_second_line() -> None:
    with pytest.raises(ValueError, match="several lines"):
        dotenv.render({"A": "b\nDATABASE_URL=evil"})


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ value }}", "text"),
        ("{{ value }}", True),
        ("{{ value }}", ["a"]),
        ("{{ value | upper }}", "a"),
        ("{{ 'a' ~ value }}", "b"),
    ],
)
def test_a_template_that_quotes_nothing_is_an_error(template: str, value: object) -> None:
    with pytest.raises(TypeError, match="no filter has quoted"):
        templating._environment.from_string(template).render(value=value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("yaml", 'a: "b"\n', '"a: \\"b\\"\\n"'),
        ("yaml", 1e22, "10000000000000000000000"),
        ("yaml", 1e-7, "0.0000001"),
        ("yaml", "😀", '"😀"'),
        ("sql", "a'b", "'a''b'"),
        ("identifier", 'a"b', '"a""b"'),
        ("backticks", "a`b\\", "`a``b\\\\`"),
        ("conf", "a'b\\", "'a''b\\\\'"),
        ("shell", "a b", "'a b'"),
        ("xml", "<a&b>", "&lt;a&amp;b&gt;"),
    ],
)
def test_each_language_has_its_own_quotes(name: str, value: object, text: str) -> None:
    made = templating._environment.from_string("{{ value | " + name + " }}").render(value=value)
    assert made == text
    assert isinstance(templating._environment.filters[name](value), Quoted)


class TestPassphrase:
    """What opens a stack's secrets is never empty, and never made anew for a stack that is
    encrypted already.
    """

    @pytest.mark.parametrize("name", ["PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"])
    def test_an_empty_one_is_refused(self, tmp_path: Path, name: str) -> None:
        file = tmp_path / "empty"
        file.write_text("\n")
        with pytest.raises(console.Failed, match="is empty"):
            passphrase.added(
                {name: "" if name == "PULUMI_CONFIG_PASSPHRASE" else str(file)},
                stack="dev",
                encrypted=False,
            )

    def test_a_weak_one_is_the_users_choice_and_is_said(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        passphrase.added({"PULUMI_CONFIG_PASSPHRASE": "hunter2"}, stack="dev", encrypted=False)
        assert "is weak" in capsys.readouterr().err

    @pytest.fixture
    def _own_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROUNDWORK_DATA", str(tmp_path / "data"))
        monkeypatch.setattr(passphrase, "_OLD", tmp_path / ".groundwork" / "passphrase")

    @pytest.mark.usefixtures("_own_folder")
    def test_none_is_made_for_a_stack_that_another_one_encrypted(self) -> None:
        with pytest.raises(console.Failed, match="missing here"):
            passphrase.added({}, stack="dev", encrypted=True)

    @pytest.mark.usefixtures("_own_folder")
    def test_it_is_kept_outside_the_tree_for_its_owner_only(self, tmp_path: Path) -> None:
        made = passphrase.added({}, stack="dev", encrypted=False)
        file = Path(made["PULUMI_CONFIG_PASSPHRASE_FILE"])
        assert file.is_relative_to(tmp_path / "data")
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert passphrase.added({}, stack="dev", encrypted=True) == made

    @pytest.mark.usefixtures("_own_folder")
    def test_one_beside_the_state_is_moved_out_of_the_tree(self, tmp_path: Path) -> None:
        old = tmp_path / ".groundwork" / "passphrase"
        old.parent.mkdir()
        old.write_text("the old one")
        made = passphrase.added({}, stack="dev", encrypted=True)
        assert passphrase.text_of(made) == "the old one"
        assert not old.exists()

    @pytest.mark.usefixtures("_own_folder")
    def test_a_recovered_stack_has_its_own(self) -> None:
        passphrase.added({}, stack="dev", encrypted=False)
        passphrase.keep("prod", "of the kit")
        made = passphrase.added({}, stack="prod", encrypted=True)
        assert passphrase.text_of(made) == "of the kit"


@pytest.mark.parametrize("path", ["new", "old"])
def test_a_private_file_is_whole_and_its_owners(tmp_path: Path, path: str) -> None:
    file = tmp_path / path
    if path == "old":
        file.write_text("before")
        file.chmod(0o644)
    private.write(file, "after")
    assert file.read_text() == "after"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == [path]


@pytest.fixture
def published() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A web server of this machine's, and what it serves."""
    served: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", served
        server.shutdown()


def _archive() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        entry = tarfile.TarInfo("tool")
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"ok"))
    return stream.getvalue()


class TestDownloads:
    """Nothing is unpacked, let alone executed, before its published sum was seen to be its own."""

    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROUNDWORK_CACHE", str(tmp_path))

    def _get(self, base: str, folder: Path) -> bool:
        return downloads.fetch(f"{base}/tool.tar.gz", f"{base}/sums.txt", folder, "the tool")

    def test_one_with_its_sum_is_unpacked(
        self, tmp_path: Path, published: tuple[str, dict[str, bytes]]
    ) -> None:
        base, served = published
        served["/tool.tar.gz"] = _archive()
        served["/sums.txt"] = (
            f"{'0' * 64}  other.tar.gz\n{hashlib.sha256(served['/tool.tar.gz']).hexdigest()} "
            " tool.tar.gz\n".encode()
        )
        assert self._get(base, tmp_path / "tool")
        assert (tmp_path / "tool" / "tool").read_text() == "ok"

    def test_one_with_another_sum_stops_everything(
        self, tmp_path: Path, published: tuple[str, dict[str, bytes]]
    ) -> None:
        base, served = published
        served["/tool.tar.gz"] = _archive()
        served["/sums.txt"] = f"{'0' * 64}  tool.tar.gz\n".encode()
        with pytest.raises(console.Failed, match="not what was published"):
            self._get(base, tmp_path / "tool")
        assert not (tmp_path / "tool").exists()

    @pytest.mark.parametrize(
        "sums",
        [None, b"", b"garbage", b"<html>moved</html>"],
        ids=["none", "empty", "garbage", "a page"],
    )
    def test_one_without_a_sum_is_not_used(
        self, tmp_path: Path, published: tuple[str, dict[str, bytes]], sums: bytes | None
    ) -> None:
        base, served = published
        served["/tool.tar.gz"] = _archive()
        if sums is not None:
            served["/sums.txt"] = sums
        assert not self._get(base, tmp_path / "tool")
        assert not (tmp_path / "tool").exists()
