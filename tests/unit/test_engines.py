"""Which engine the live tests run on, and what a process is told of it."""

from pathlib import Path

import pytest

from ops import console
from ops.development import testing
from tests.engines.engine import Engine, named


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than testing on another one than was asked for."""
    monkeypatch.setenv("GROUNDWORK_TEST_ENGINE", "newest")
    with pytest.raises(console.Failed, match="newest, which names no engine"), testing._engines():
        pass


def test_a_process_knows_its_engine_by_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dockerd"
    program.touch(mode=0o755)
    engine = Engine("current", tmp_path)
    monkeypatch.delenv("GROUNDWORK_TEST_ENGINE", raising=False)
    assert named() is None
    for name, value in engine.environment().items():
        monkeypatch.setenv(name, value)
    assert named() == engine


def test_engines_share_nothing() -> None:
    """Neither folders nor sockets nor networks, and nothing of the machine's own engine."""
    first, second = Engine("current", Path("/a")), Engine("distribution", Path("/b"))
    for part in ("data", "run", "socket", "pid_file", "namespace"):
        assert getattr(first, part) != getattr(second, part)
    for engine in (first, second):
        assert not str(engine.data).startswith("/var/lib/docker")
        assert engine.socket not in (Path("/var/run/docker.sock"), Path("/run/docker.sock"))
