"""What `make` calls, as far as it is pure: filters, watches, locks, files."""

import json
import os
import socket
import string
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import versions
from ops import console
from ops.build import downloads, golang, toolchain
from ops.development import testing
from ops.paths import ROOT
from ops.sites import drift, recovery
from ops.stacks import key_backup, progress, state
from ops.stacks.progress import Watch

QUIET = [
    "@ updating.....",
    "",
    "    docker:index:Volume gw-dev-x-postgres-data  ",
    "    pulumi:pulumi:Stack groundwork-dev running ",
    " ~  docker:index:Network gw-dev-x-app refreshing (0s) ",
    " ~  docker:index:Network gw-dev-x-app refresh (2s) ",
    "Updating (dev):",
    " +  docker:index:Volume gw-dev-x-minio-data creating (0s) ",
]
TELLING = [
    " +  docker:index:Container gw-dev-x-postgres created (4s) ",
    " +  docker:index:Container gw-dev-x-postgres creating (0s) ",
    " +  docker:index:Network gw-dev-x-app creating (1s) error: no address pool left",
    " ~  docker:index:Container gw-dev-x-minio refresh (0.58s) [diff: ~mustRun]",
    " -- docker:index:Container gw-dev-x-minio deleting original (0s) ",
    " +  docker:index:Container gw-dev-x-minio **creating failed** error: 1 error occurred:",
]


@pytest.mark.parametrize("line", QUIET)
def test_progress_leaves_out_what_does_not_change(line: str) -> None:
    assert list(progress.telling([line + "\n"])) == []


@pytest.mark.parametrize("line", TELLING)
def test_progress_shows_what_changes(line: str) -> None:
    assert list(progress.telling([line + "\n"])) == [line.rstrip("\n")]


def test_progress_shows_every_line_of_the_diagnostics() -> None:
    lines = [
        "Diagnostics:",
        "  docker:index:Container (gw-dev-x-minio):",
        "    error: PreflightError",
        "@ what follows",
    ]
    assert list(progress.telling(f"{line}\n" for line in lines)) == lines


def event(name: str, action: str, at: float) -> dict[str, Any]:
    return {"Actor": {"Attributes": {"name": name}}, "Action": action, "timeNano": int(at * 1e9)}


def test_watch_counts_from_the_last_start_to_the_first_healthy_answer() -> None:
    watch = Watch()
    for item in (
        event("a", "start", 1),
        event("a", "health_status: healthy", 2),
        event("a", "start", 10),
        event("a", "health_status: unhealthy", 11),
        event("a", "health_status: healthy", 14),
        event("a", "health_status: healthy", 20),
    ):
        watch.see(item)
    assert watch.seconds("a") == pytest.approx(4)
    assert watch.seconds("b") is None


SHOWN: dict[str, Any] = {
    "State": {"Running": True},
    "Image": "sha256:1",
    "HostConfig": {
        "Memory": 64 * 1024**2,
        "CpuQuota": 25000,
        "RestartPolicy": {"Name": "unless-stopped"},
    },
    "NetworkSettings": {"Networks": {"a": {"NetworkID": "1"}}},
    "Mounts": [{"Name": "data"}],
}
INPUTS: dict[str, Any] = {
    "memory": 64,
    "cpuQuota": 25000,
    "restart": "unless-stopped",
    "image": "sha256:1",
    "networksAdvanced": [{}],
    "mounts": [{"type": "volume", "source": "data"}],
}


def test_no_drift_where_the_engine_shows_what_is_recorded() -> None:
    assert not any(drift._container_differs(SHOWN, INPUTS))


@pytest.mark.parametrize(
    "shown",
    [
        {"State": {"Running": False}},
        {"Image": "sha256:2"},
        {"HostConfig": {**SHOWN["HostConfig"], "Memory": 1}},
        {"HostConfig": {**SHOWN["HostConfig"], "CpuQuota": 1}},
        {"HostConfig": {**SHOWN["HostConfig"], "RestartPolicy": {"Name": "no"}}},
        {"NetworkSettings": {"Networks": {}}},
        {"Mounts": [{"Name": "other"}]},
    ],
    ids=[
        "stopped",
        "another image",
        "memory",
        "cores",
        "restart policy",
        "a network left",
        "another volume",
    ],
)
def test_drift_is_found(shown: dict[str, Any]) -> None:
    assert any(drift._container_differs({**SHOWN, **shown}, INPUTS))


def test_what_only_fills_volumes_need_not_run() -> None:
    shown = {**SHOWN, "State": {"Running": False}}
    assert not any(drift._container_differs(shown, {**INPUTS, "mustRun": False}))


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


def test_private_files_are_private_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    state.write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


STACK_FILE = """\
# A person's comment.
config:
  groundwork:target: docker # and another
"""


def test_generated_keys_come_back_after_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `make up` adds to a tracked file survives `git checkout` in a private copy; a person's
    text stays.
    """
    monkeypatch.setattr(key_backup, "STATE", tmp_path / "state")
    file = tmp_path / "Pulumi.dev.yaml"
    generated = (
        "  groundwork:masterSecret:\n    secure: v1:abc\n  groundwork:instance:"
        " abc123\nencryptionsalt: v1:salt\n"
    )
    file.write_text(STACK_FILE + generated)
    key_backup.keep("dev", file)
    assert key_backup.restore("dev", file) is False, "nothing is missing"
    file.write_text(STACK_FILE)
    assert key_backup.restore("dev", file) is True
    assert yaml.safe_load(file.read_text()) == yaml.safe_load(STACK_FILE + generated)
    assert "# A person's comment." in file.read_text()
    key_backup.forget("dev")
    file.write_text(STACK_FILE)
    assert key_backup.restore("dev", file) is False


@pytest.mark.parametrize("text", ["", "config: {}\n", "config:\n"])
def test_generated_keys_come_back_into_an_empty_file(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_backup, "STATE", tmp_path / "state")
    file = tmp_path / "Pulumi.dev.yaml"
    content = {
        "config": {
            "groundwork:masterSecret": {"secure": "v1:abc"},
            "groundwork:instance": "abc123",
        },
        "encryptionsalt": "v1:salt",
    }
    file.write_text(yaml.safe_dump(content))
    key_backup.keep("dev", file)
    file.write_text(text)
    assert key_backup.restore("dev", file) is True
    assert yaml.safe_load(file.read_text()) == content


def test_archives_are_unpacked_by_old_and_new_pythons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 12's Python 3.11.2 has no extraction filters."""
    (tmp_path / "tool").write_text("#!")
    with tarfile.open(tmp_path / "good.tar", "w") as archive:
        archive.add(tmp_path / "tool", "pulumi/tool")
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.add(tmp_path / "tool", "../outside")
    monkeypatch.delattr(tarfile, "data_filter")
    with tarfile.open(tmp_path / "good.tar") as archive:
        downloads.extract(archive, tmp_path / "out")
    assert (tmp_path / "out" / "pulumi" / "tool").read_text() == "#!"
    with tarfile.open(tmp_path / "bad.tar") as archive, pytest.raises(tarfile.TarError):
        downloads.extract(archive, tmp_path / "out")


def test_generated_values_are_random_and_safe_in_yaml() -> None:
    """A value that begins with a letter cannot be read as a number."""
    values = {state.generate(40) for _ in range(50)}
    assert len(values) == 50
    assert all(
        value[0] in string.ascii_letters and value.isalnum() and len(value) == 40
        for value in values
    )
    assert all(state.instance_id()[0].isalpha() for _ in range(50))


def test_tools_are_those_that_the_lock_file_and_the_modules_name() -> None:
    lockfile = (ROOT / "requirements" / "runtime.txt").read_text()
    assert f"pulumi=={toolchain.PULUMI} " in lockfile
    for target, version in toolchain.PLUGINS.items():
        assert f"pulumi-{target}=={version} " in lockfile
    assert (
        f"github.com/pulumi/pulumi/pkg/v3 v{toolchain.PULUMI}"
        in (ROOT / "ops/build/modules/pulumi/go.mod").read_text()
    )


@pytest.mark.parametrize(
    "path",
    [
        path
        for folder in ("ops/build/modules", "tests/kubernetes/cluster/modules", "images")
        for path in sorted((ROOT / folder).rglob("go.mod"))
    ],
    ids=lambda path: path.parent.name,
)
def test_go_modules_have_their_checksums(path: Path) -> None:
    if "require" in path.read_text():
        assert (path.parent / "go.sum").read_text().count(" h1:") > 0
    assert "latest" not in path.read_text()


def test_a_changed_recipe_is_built_elsewhere(tmp_path: Path) -> None:
    """So that a cache never serves a tool of other sources."""
    (tmp_path / "go.mod").write_text("module one\n")
    before = golang.place(tmp_path)
    (tmp_path / "go.mod").write_text("module changed\n")
    assert golang.place(tmp_path).name != before.name


def test_what_was_never_executed_is_named_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that was skipped in one run and executed in another was executed."""
    from rich.console import Console

    monkeypatch.setattr(console, "out", Console(width=120, highlight=False))
    records = [
        {"check": "a", "outcome": "skipped", "reason": "Skipped: not deployed"},
        {"check": "b", "outcome": "skipped", "reason": "Skipped: not deployed"},
        {"check": "b", "outcome": "passed", "reason": ""},
    ]
    path = tmp_path / "outcomes"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    testing._never_executed(path)
    text = capsys.readouterr().out
    assert "Never executed here: 1 checks (of 2)" in text
    assert "1: not deployed" in text
    assert "      a\n" in text


def test_go_tools_of_recipes_have_modules() -> None:
    for recipe in versions.RECIPES.values():
        if recipe.go_tool:
            folder = ROOT / "images" / recipe.folder
            assert "\ntool " in (folder / "go.mod").read_text() or (folder / "main.go").exists()
            assert (folder / "go.sum").exists()


def test_make_help_names_every_target() -> None:
    text = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for target in ("up", "preview", "health", "env", "logs", "down", "purge", "test", "bench"):
        assert f"make {target} " in text
