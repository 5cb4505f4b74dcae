"""Grafana's start sets its administrator's password of a later generation, with Grafana's own
command: here a script stands in its place, and `true` in the server's.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.conftest import make_platform, text

_GRAFANA = """\
#!/bin/sh
echo "$@ key=$GF_SECURITY_SECRET_KEY password=$(cat)" >>"$GF_PATHS_DATA/told"
exit "${FAILS:-0}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("bin", "data", "secrets"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "grafana").write_text(_GRAFANA)
    (tmp_path / "bin" / "grafana").chmod(0o755)
    return tmp_path


def _start(folder: Path, generation: int, **environment: str) -> list[str]:
    """What Grafana's command was told since the folder was made."""
    service = make_platform(grafana={"secretGeneration": generation}).by_name("grafana")
    for name in ("admin-password", "secret-key"):
        (folder / "secrets" / name).write_text(f"{name} {generation}")
    script = text(service, "start.sh").replace("/etc/groundwork", str(folder / "secrets"))
    done = subprocess.run(
        ["sh", "-c", script.replace("exec /run.sh", "exec true")],
        env={
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "GF_PATHS_DATA": str(folder / "data"),
            "GF_PATHS_HOME": "/home",
            "GF_PATHS_CONFIG": "/config",
            **environment,
        },
        check=False,
    )
    assert done.returncode == 0
    (folder / "data" / "grafana.db").touch()
    told = folder / "data" / "told"
    return told.read_text().splitlines() if told.exists() else []


def test_the_administrator_is_made_by_grafana_itself(folder: Path) -> None:
    """In a new volume, whatever the generation; afterwards nothing is left to do."""
    assert _start(folder, 3) == []
    assert _start(folder, 3) == []


def test_it_gets_the_next_generations_password_once(folder: Path) -> None:
    _start(folder, 1)
    told = (
        "cli --homepath /home --config /config admin reset-admin-password"
        " --password-from-stdin key=secret-key 2 password=admin-password 2"
    )
    assert _start(folder, 2) == [told]
    assert _start(folder, 2) == [told]


def test_it_is_known_in_volumes_from_before(folder: Path) -> None:
    """They hold the first generation's, and no mark."""
    (folder / "data" / "grafana.db").touch()
    assert _start(folder, 1) == []
    assert not (folder / "data" / ".groundwork-admin").exists()
    assert len(_start(folder, 2)) == 1


def test_it_is_set_at_the_next_start_if_it_fails(folder: Path) -> None:
    """And Grafana starts nonetheless."""
    _start(folder, 1)
    assert len(_start(folder, 2, FAILS="1")) == 1
    assert len(_start(folder, 2)) == 2
