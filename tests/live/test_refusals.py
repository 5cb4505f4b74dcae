"""What is refused before anything changes: the real commands, over a deployed stack, with the
whole host compared.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.live.clone import SOURCE, Clone
from tests.support import lanes
from tests.unit.conftest import make_platform

Setup = Callable[[Clone], AbstractContextManager[None]]


def nothing(_: Clone) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def held_port(clone: Clone) -> Iterator[None]:
    """Another process holds the port that Prometheus is given."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        offset = int(clone.settings()["config"]["groundwork:portOffset"])
        clone.configure(prometheus={"port": listener.getsockname()[1] - offset})
        yield


@contextmanager
def foreign_volume(clone: Clone) -> Iterator[None]:
    """A volume that nobody labelled has the name of ours."""
    clone.configure(instance="stranger")
    lanes.register("stranger")
    volume = clone.docker.volumes.create(clone.name("postgres-data"))
    try:
        yield
    finally:
        volume.remove()


def opened_by(**versions: str) -> Setup:
    """A ledger says that newer versions have opened this stack's volumes."""

    @contextmanager
    def made(clone: Clone) -> Iterator[None]:
        labels = {
            "groundwork.project": "groundwork",
            "groundwork.stack": clone.stack,
            "groundwork.instance": str(clone.instance),
            "groundwork.role": "ledger",
        }
        volume = clone.docker.volumes.create(
            labels={
                **labels,
                **{f"groundwork.version.{name}": version for name, version in versions.items()},
            }
        )
        try:
            yield
        finally:
            volume.remove()

    return made


@contextmanager
def other_master(clone: Clone) -> Iterator[None]:
    """The stack file holds another master secret than the volumes were made with."""
    assert (
        clone.pulumi(
            "config",
            "set",
            "--secret",
            "groundwork:masterSecret",
            "Qw3rTyU8pAsD4fGhJ6kLzXcV9bNmE2r5",
            "--stack",
            clone.stack,
        ).returncode
        == 0
    )
    yield


@dataclass(frozen=True)
class Case:
    """A configuration and what the refusal must say."""

    name: str
    key: str
    reason: str
    keys: dict[str, Any] = field(default_factory=dict)
    setup: Setup = nothing
    environment: dict[str, str] = field(default_factory=dict)


_OTHER_MAJOR = str(make_platform(images=SOURCE).by_name("postgres").image.major + 1)
PROGRAM = [
    Case(
        "a mistyped key",
        "groundwork:postgress",
        "did you mean `postgres`?",
        {"postgress": {"memory": "1GiB"}},
    ),
    Case(
        "a wrong unit",
        "groundwork:redis",
        "is not a size",
        {"redis": {"queue": {"memory": "320MB"}}},
    ),
    Case(
        "a wrong type",
        "groundwork:litellm.dailyBudgetUsd",
        "a number, without quotes",
        {"litellm": {"dailyBudgetUsd": "two"}},
    ),
    Case(
        "memory beyond the host",
        "groundwork:postgres.memory",
        "more than the host has",
        {"postgres": {"memory": "900GiB"}},
    ),
    Case(
        "disk beyond the host",
        "groundwork:postgres.disk",
        "Docker's disk has",
        {"postgres": {"disk": "900TiB"}},
    ),
    Case(
        "cores beyond the host",
        "groundwork:postgres.cpus",
        "more than the host has",
        {"postgres": {"cpus": 200}},
    ),
    Case(
        "two services on one port",
        "groundwork:prometheus (port",
        "already assigned to",
        {"prometheus": {"port": 5432}},
    ),
    Case(
        "a port that something else holds",
        "groundwork:prometheus (port",
        "in use by another process",
        {},
        held_port,
    ),
    Case(
        "a dependent without its dependency",
        "groundwork:redis.enabled",
        "LiteLLM keeps its cache",
        {"redis": {"enabled": False}},
    ),
    Case("a default secret", "groundwork:masterSecret", "weak", {"masterSecret": "changeme"}),
    Case(
        "an API key in plain text",
        "groundwork:litellm.providers.openai.apiKey",
        "plain text",
        {"litellm": {"providers": {"openai": {"apiKey": "sk-plain"}}}},
    ),
    Case(
        "an external service without an endpoint",
        "groundwork:qdrant.external.host",
        "required",
        {"qdrant": {"external": {"port": 6333}}},
    ),
    Case(
        "an image that is not available",
        "groundwork:images (redis-cache)",
        "is not available",
        {"images": "127.0.0.1:9/nowhere"},
    ),
    Case(
        "a Postgres volume of another major version",
        "groundwork:images",
        f"holds a Postgres {_OTHER_MAJOR} data directory",
        {},
        opened_by(postgres=_OTHER_MAJOR),
    ),
    Case(
        "a downgrade of a store",
        "groundwork:images",
        "older than 2027.01.01",
        {},
        opened_by(minio="2027.01.01"),
    ),
    Case(
        "a volume of another instance",
        "volume gw-live-stranger-postgres-data",
        "belongs to another",
        {},
        foreign_volume,
    ),
    Case(
        "a volume of another master secret",
        "groundwork:masterSecret",
        "another master secret",
        {},
        other_master,
    ),
    Case(
        "an unreachable engine",
        "DOCKER_HOST",
        "no Docker engine answers",
        {},
        nothing,
        {"DOCKER_HOST": "unix:///nonexistent.sock"},
    ),
]


@pytest.fixture
def untouched(deployed: Clone) -> Iterator[Clone]:
    """The deployed stack, whose file is put back afterwards."""
    before = deployed.file.read_text()
    yield deployed
    deployed.file.write_text(before)
    deployed.environment.clear()


@pytest.mark.parametrize(
    "arguments", [("preview",), ("up", "--yes", "--skip-preview")], ids=["preview", "up"]
)
@pytest.mark.parametrize("case", PROGRAM, ids=[case.name for case in PROGRAM])
def test_plain_pulumi_refuses(untouched: Clone, case: Case, arguments: tuple[str, ...]) -> None:
    """One message with key, reason and fix, no stack trace, a failing status, and
    nothing changed.
    """
    untouched.configure(**case.keys)
    with case.setup(untouched):
        before = untouched.snapshot()
        untouched.environment.update(case.environment)
        done = untouched.pulumi(*arguments, "--stack", untouched.stack)
        assert untouched.snapshot() == before
    assert done.returncode != 0, done.stdout
    _says(done.stdout, case)


def _says(text: str, case: Case) -> None:
    assert case.key in text, text
    assert case.reason in text, text
    assert "fix:" in text, text
    assert "Traceback" not in text, text


WRAPPER = [
    Case(
        "a wrong passphrase",
        "passphrase does not decrypt the stack",
        "groundwork:",
        {},
        nothing,
        {"PULUMI_CONFIG_PASSPHRASE": "not the passphrase"},
    ),
    Case(
        "an unreachable engine",
        "DOCKER_HOST",
        "no Docker engine answers",
        {},
        nothing,
        {"DOCKER_HOST": "unix:///nonexistent.sock"},
    ),
    Case(
        "a mistyped key",
        "groundwork:postgress",
        "did you mean `postgres`?",
        {"postgress": {"memory": "1GiB"}},
    ),
]


@pytest.mark.parametrize("command", ["up", "preview"])
@pytest.mark.parametrize("case", WRAPPER, ids=[case.name for case in WRAPPER])
def test_make_refuses(untouched: Clone, case: Case, command: str) -> None:
    """What the CLI or the provider would refuse in words of its own is said by `make`, which
    changes nothing either.
    """
    untouched.configure(**case.keys)
    before = untouched.snapshot()
    untouched.environment.update(case.environment)
    done = untouched.ops(command, check=False)
    assert untouched.snapshot() == before
    assert done.returncode != 0, done.stdout
    _says(done.stdout, case)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("logs", "postgress"), "no service `postgress`"),
        (("purge", "--confirm", "x"), "nothing was deleted"),
    ],
)
def test_other_commands_explain_themselves(
    untouched: Clone, command: tuple[str, ...], words: str
) -> None:
    done = untouched.ops(*command, check=False)
    assert done.returncode == 1
    assert words in done.stdout


@pytest.mark.parametrize(
    "command", [("--help",), ("up", "--help"), ("purge", "--help")], ids=" ".join
)
def test_help_helps(clone: Clone, command: tuple[str, ...]) -> None:
    done = clone.ops(*command)
    assert "Usage" in done.stdout
