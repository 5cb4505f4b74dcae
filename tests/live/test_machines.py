"""Other machines: `make up` in a Debian 13 beside this one, as an ordinary user, with all that
differs there: Python 3.13, no Go, dash, a locale without UTF-8, a umask of 077, and a clone in a
folder whose name has spaces and umlauts. Its engine is the tests' own, by its socket.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
import yaml

from ops.build import golang, toolchain
from ops.paths import cache
from tests.engines.engine import Engine, named
from tests.live.clone import SOURCE, Clone, copy_tree, free_offset
from tests.support import lanes

ENGINE = named()

pytestmark = [
    pytest.mark.skipif(
        ENGINE is None or SOURCE != "packages",
        reason="another machine is made for the tests' own engine and images from packages",
    ),
]

_RELEASE = "trixie"
_PACKAGES = "python3,python3-venv,make,git,ca-certificates,docker-cli,iproute2,procps"
_STACK = "machine"
_USER = "maria"
_HOME = Path("/home") / _USER
_TREE = _HOME / "Grün & Söhne" / "a clone"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Machine:
    """A root file system, entered as its user, who is in the group `docker`."""

    root: Path
    engine: Engine

    def run(self, *command: str, groups: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in the clone; without `groups` the user may not use the engine."""
        user = ["setpriv", "--reuid", _USER, "--regid", _USER]
        user.append("--init-groups" if groups else "--clear-groups")
        inside = ["sh", "-c", 'umask 077; cd "$0" && exec "$@"', str(_TREE), *command]
        return subprocess.run(
            # By its path: it is looked for in the PATH of the machine.
            [str(shutil.which("chroot")), str(self.root), *user, *inside],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )

    def _environment(self) -> dict[str, str]:
        # What a package client needs here, such as certificates; nothing of this user's Python.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "GROUNDWORK_", "VIRTUAL", "XDG_", "LC_", "LANG"))
        }
        return {
            **kept,
            "HOME": str(_HOME),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LC_ALL": "C",
            "PYTHONCOERCECLOCALE": "0",
            "STACK": _STACK,
            "DOCKER_HOST": f"unix://{self.engine.socket}",
            "DOCKER_CONFIG": str(_HOME / ".docker"),
            "GROUNDWORK_LOCAL_STATE": "1",
            "GROUNDWORK_WATCH_SECONDS": "5",
        }


@pytest.fixture(scope="module")
def machine(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """The machine, with a clone and the built tools of this one."""
    assert ENGINE is not None
    root = tmp_path_factory.mktemp("machine") / "root"
    made = Machine(root, ENGINE)
    _make(made)
    try:
        yield made
    finally:
        clone = Clone(root / _TREE.relative_to("/"), engine, stack=_STACK)
        clone.remove_everything()
        for name in ("dev", "proc", str(ENGINE.run).lstrip("/")):
            subprocess.run(["umount", "--lazy", root / name], capture_output=True, check=False)
        shutil.rmtree(root, ignore_errors=True)


def _make(machine: Machine) -> None:
    root, home = machine.root, machine.root / _HOME.relative_to("/")
    include = f"--include={_PACKAGES}"
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", include, _RELEASE, root],
        check=True,
        capture_output=True,
    )
    for path in (Path("/dev"), Path("/proc"), machine.engine.run):
        inside = root / path.relative_to("/")
        inside.mkdir(parents=True, exist_ok=True)
        # Private, or unmounting it would unmount what is mounted below the original since.
        subprocess.run(["mount", "--bind", "--make-private", path, inside], check=True)
    for path in (_CERTIFICATES, Path("/etc/resolv.conf")):
        shutil.copyfile(path, root / path.relative_to("/"))
    group = machine.engine.socket.stat().st_gid
    enter = ["chroot", str(root)]
    subprocess.run([*enter, "groupadd", "--gid", str(group), "docker"], check=True)
    subprocess.run([*enter, "useradd", "--create-home", "--groups", "docker", _USER], check=True)
    tree = copy_tree(root / _TREE.relative_to("/"))
    (tree / ".venv").unlink()
    settings = {"target": "docker", "images": SOURCE, "portOffset": free_offset()}
    config = {f"groundwork:{name}": value for name, value in settings.items()}
    (tree / f"Pulumi.{_STACK}.yaml").write_text(yaml.safe_dump({"config": config}))
    tools = home / ".cache" / "groundwork"
    tools.mkdir(parents=True)
    for module in toolchain.modules():
        folder = golang.place(module)
        shutil.copytree(folder, tools / folder.name)
    for archive in cache().glob("base-*.tar"):
        shutil.copy2(archive, tools / archive.name)
    subprocess.run([*enter, "chown", "--recursive", f"{_USER}:{_USER}", str(_HOME)], check=True)


def test_it_differs_from_this_machine(machine: Machine) -> None:
    """Otherwise the tests below show nothing."""
    assert machine.run("id", "--user").stdout.strip() != "0"
    assert machine.run("sh", "-c", "command -v go").returncode != 0
    assert machine.run("readlink", "/bin/sh").stdout.strip() == "dash"
    version = machine.run("python3", "-c", "import sys; print(sys.version_info[:2])").stdout
    assert version.strip() == "(3, 13)"
    encoding = "import sys; print(sys.stdout.encoding)"
    assert "utf" not in machine.run("env", "PYTHONUTF8=0", "python3", "-c", encoding).stdout


def test_without_the_group_make_up_says_what_is_missing(machine: Machine) -> None:
    done = machine.run("make", "up", groups=False)
    assert done.returncode != 0
    assert "you may not use its socket (permission denied)" in done.stdout, done.stdout
    assert "usermod -aG docker" in done.stdout
    assert "Traceback" not in done.stdout


def test_make_up_ends_with_the_platform_verified(machine: Machine) -> None:
    first = machine.run("make", "up")
    file = yaml.safe_load(
        (machine.root / _TREE.relative_to("/") / f"Pulumi.{_STACK}.yaml").read_text()
    )
    with suppress(KeyError):
        lanes.register(file["config"]["groundwork:instance"])
    assert first.returncode == 0, first.stdout[-6000:]
    assert "Deployed in" in first.stdout
    again = machine.run("make", "up")
    assert again.returncode == 0, again.stdout[-6000:]
    assert "nothing has changed" in again.stdout


def test_what_is_written_is_for_its_user_only(machine: Machine) -> None:
    """The application's environment, as everywhere, and nothing that root would have to delete."""
    assert machine.run("make", "env").returncode == 0
    assert machine.run("stat", "--format=%a %U", f".env.{_STACK}").stdout.split() == ["600", _USER]
    others = machine.run("find", ".", "!", "-user", _USER, "-print", "-quit")
    assert others.stdout == ""


def test_its_stack_is_purged(machine: Machine) -> None:
    done = machine.run(".venv/bin/python", "-m", "ops", "purge", "--confirm", _STACK)
    assert done.returncode == 0, done.stdout[-3000:]
