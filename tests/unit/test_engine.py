"""An engine that was killed does not keep the next one from starting."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ops.sites import engine
from tests.support.waiting import wait_until


@pytest.fixture
def zombie() -> int:
    """The id of a process that has ended and is not collected."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_the_id_of_a_dead_engine_is_forgotten(tmp_path: Path, zombie: int) -> None:
    file = tmp_path / "docker.pid"
    try:
        file.write_text(str(zombie))
        engine.forget_dead(file)
        assert not file.exists()
    finally:
        os.waitpid(zombie, 0)


def test_so_is_one_that_another_process_has_now(tmp_path: Path) -> None:
    file = tmp_path / "docker.pid"
    file.write_text(str(os.getpid()))
    engine.forget_dead(file)
    assert not file.exists()


def test_a_running_engine_keeps_its_file(tmp_path: Path) -> None:
    file, engine_program = tmp_path / "docker.pid", tmp_path / "dockerd"
    engine_program.symlink_to(shutil.which("sleep") or "sleep")
    with subprocess.Popen([engine_program, "60"]) as process:
        name = Path(f"/proc/{process.pid}/comm")
        wait_until(
            lambda: name.read_text() == "dockerd\n", timeout=10, reason="it has its own name"
        )
        file.write_text(str(process.pid))
        engine.forget_dead(file)
        process.kill()
    assert file.exists()


@pytest.mark.parametrize("content", ["", "x", "4194304999"])
def test_what_names_no_process_is_left_to_the_engine(tmp_path: Path, content: str) -> None:
    file = tmp_path / "docker.pid"
    file.write_text(content)
    engine.forget_dead(file)
    assert file.read_text() == content
    engine.forget_dead(tmp_path / "missing")
