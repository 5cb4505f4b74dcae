"""Locks of Pulumi: which of them a living process holds."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from ops.sites import recovery


def lock(folder: Path, **held: Any) -> Path:
    path = folder / "lock.json"
    path.write_text(json.dumps({"pid": os.getpid(), "hostname": socket.gethostname(), **held}))
    return path


def test_lock_of_another_machine_counts_as_held(tmp_path: Path) -> None:
    assert recovery._alive(lock(tmp_path, hostname="elsewhere"))


def test_lock_of_a_process_that_is_no_pulumi_is_free(tmp_path: Path) -> None:
    """Process ids are used again after a reboot."""
    assert not recovery._alive(lock(tmp_path))


def test_lock_of_a_process_that_ended_is_free(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert not recovery._alive(lock(tmp_path, pid=process.pid))


def test_lock_of_a_zombie_is_free(tmp_path: Path) -> None:
    """A killed CLI whose parent was killed too may never be waited for."""
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    process = subprocess.Popen([program])
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{process.pid}/stat").read_text().split(") ")[1][0] == "Z"
        assert not recovery._alive(lock(tmp_path, pid=process.pid))
    finally:
        process.wait()
