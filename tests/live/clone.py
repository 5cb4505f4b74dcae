"""A clone of the tree with a stack of its own, driven by the commands that a person would use."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import psycopg
import pytest
import yaml
from docker.errors import APIError, ImageNotFound

from infra.targets.checks import published
from ops import ports
from tests.support import lanes, nested
from tests.support.waiting import wait_until
from tests.unit.conftest import make_platform

ROOT = Path(__file__).resolve().parents[2]
STACK = "live"
SOURCE = os.environ.get("GROUNDWORK_TEST_IMAGES", "packages")
"""The image source of the stacks under test; `registry` where a registry is reachable."""

LEFT_OUT = {item.service: item.reason for item in make_platform(images=SOURCE).left_out}
"""Services that this source has no image of, with the reason; none of the official ones."""
BASE_PORTS = [number for _, _, number in published(make_platform())]
# With their defaults, one stack and its drill would ask for 70 GiB of the host's disk.
_LARGE, _SMALL = ("postgres", "minio", "backup"), {"disk": "2GiB"}


def superuser_url(administration: Mapping[str, str], database: str = "postgres") -> str:
    """Postgres as its superuser; `administration` is that of the stack's outputs."""
    host = administration["DATABASE_OWNER_URL"].rpartition("@")[2].partition("/")[0]
    password = administration["POSTGRES_SUPERUSER_PASSWORD"]
    return f"postgresql://postgres:{password}@{host}/{database}"


def free_offset() -> int:
    """A port offset at which every port of the platform is free."""
    return ports.free_offset(BASE_PORTS, lanes.offsets())


@dataclass
class Clone:
    """A copy of the tree with a stack, driven by the commands that a person would use.

    While it is `watched`, the proof looks on for as long as a person's would.
    """

    root: Path
    docker: docker.DockerClient
    stack: str = STACK
    watched: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    first_up: str = ""
    _exports: dict[str, str] = field(default_factory=dict)
    _outputs: tuple[int, dict[str, Any]] = (0, {})

    @property
    def private(self) -> Path:
        """Where its passphrase and keys are."""
        return self.root.with_name(f"{self.root.name}-private")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ops", *arguments]

    def env(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")
        }
        return {
            **inherited,
            "STACK": self.stack,
            "PYTHONPATH": str(self.root),
            "GROUNDWORK_LOCAL_STATE": "1",
            "GROUNDWORK_DATA": str(self.private),
            **({} if self.watched else {"GROUNDWORK_WATCH_SECONDS": "5"}),
            **self.environment,
        }

    def forget(self) -> None:
        """Forgets what was learnt of a stack whose tree has been replaced."""
        self._exports.clear()
        self._outputs = (0, {})

    def ops(
        self, *arguments: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs one of `make`'s commands; its output is shown if it should have succeeded and did
        not.
        """
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.env(),
            text=True,
            check=False,
            input=stdin or "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(arguments)} failed:\n{done.stdout[-6000:]}", pytrace=False)
        return done

    def shell_environment(self) -> dict[str, str]:
        """The environment of plain `pulumi`. What it is made from stays the same, so the command is
        run once.
        """
        if not self._exports:
            lines = self.ops("shellenv").stdout.splitlines()
            pairs = (
                line.removeprefix("export ").split("=", 1)
                for line in lines
                if line.startswith("export ")
            )
            self._exports.update({name: value.strip("'") for name, value in pairs})
        return {**self.env(), **self._exports, **self.environment}

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Plain `pulumi`, as somebody runs it who has the toolchain."""
        return subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.root,
            env=self.shell_environment(),
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs; they are read again if its state was written since."""
        written = self.state.stat().st_mtime_ns
        if self._outputs[0] != written:
            done = self.pulumi("stack", "output", "--json", "--show-secrets", "--stack", self.stack)
            assert done.returncode == 0, done.stdout
            self._outputs = (written, json.loads(done.stdout))
        return copy.deepcopy(self._outputs[1])

    def owner(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the owner of the application's database."""
        url = self.outputs()["administration"]["DATABASE_OWNER_URL"]
        return psycopg.connect(url, autocommit=True)

    @property
    def state(self) -> Path:
        """The file that holds the stack's state."""
        folder = self.root / ".groundwork" / "state" / ".pulumi" / "stacks" / "groundwork"
        return folder / f"{self.stack}.json"

    def health(
        self, outputs: dict[str, Any], *arguments: str, patience: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The health checks as `make health` runs them, or some of them; with less patience where
        nothing will come that could be waited for.
        """
        path = self.root / ".groundwork" / "outputs.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(outputs))
        # Long enough for what crashes in these tests, as it does after six seconds.
        watch = {"GROUNDWORK_WATCH_SECONDS": "10"}
        environment = {**self.env(), **watch, "GROUNDWORK_OUTPUTS": str(path)}
        environment.pop("GROUNDWORK_OUTCOMES", None)
        if patience is not None:
            environment["GROUNDWORK_PATIENCE"] = str(patience)
        return nested.run(*arguments, cwd=self.root, env=environment)

    @property
    def file(self) -> Path:
        return self.root / f"Pulumi.{self.stack}.yaml"

    def settings(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load(self.file.read_text())
        return loaded

    def configure(self, **keys: Any) -> None:
        """Sets keys of the stack file; None removes one. Encrypted values stay as they are."""
        content = self.settings() if self.file.exists() else {"config": {}}
        for key, value in keys.items():
            if value is None:
                content["config"].pop(f"groundwork:{key}", None)
            else:
                content["config"][f"groundwork:{key}"] = value
        self.file.write_text(yaml.safe_dump(content, sort_keys=False))

    def set_keys(self, *, secrets: Mapping[str, str], plain: Mapping[str, str]) -> None:
        """Sets keys by their paths with `pulumi config set`, as a person sets a secret."""
        shell = self.shell_environment()
        for values, option in ((secrets, "--secret"), (plain, "--plaintext")):
            for key, value in values.items():
                command = ["pulumi", "config", "set", "--path", option, f"groundwork:{key}", value]
                subprocess.run(
                    [*command, "--stack", self.stack],
                    cwd=self.root,
                    env=shell,
                    check=True,
                    capture_output=True,
                )

    def configure_stores(self, **keys: Any) -> None:
        """Settings of a stack on Docker that deploys stores and little else, and more of them."""
        self.configure(
            target="docker",
            images=SOURCE,
            portOffset=free_offset(),
            postgres={**_SMALL, "vectors": {"dimensions": 64}},
            minio=_SMALL,
            backup=_SMALL,
            observability={"enabled": False},
            litellm={"enabled": False},
        )
        stores = {name: {**_SMALL, **keys[name]} for name in _LARGE if name in keys}
        self.configure(**{**keys, **stores})

    @property
    def instance(self) -> str | None:
        found = self.settings()["config"].get("groundwork:instance") if self.file.exists() else None
        return str(found) if found else None

    def ready(self, part: str) -> bool:
        """True if a container's own check of its readiness passes now; the engine asks only every
        few seconds.
        """
        container = self.docker.containers.get(self.name(part))
        if not container.attrs["State"]["Running"]:
            return False
        _, *command = container.attrs["Config"]["Healthcheck"]["Test"]
        # Without the pause that it takes before it asks.
        command = command[command.index("sh", 1) + 1 :] if "sh" in command[1:] else command
        try:
            return bool(container.exec_run(command).exit_code == 0)
        except APIError:
            # It has just ended, or is about to restart.
            return False

    def name(self, part: str) -> str:
        return f"gw-{self.stack}-{self.instance}-{part}"

    def own(self) -> dict[str, str | list[str] | bool]:
        return {"label": [f"groundwork.instance={self.instance}"]}

    def containers(self) -> dict[str, str]:
        """Name to id of this stack's containers; one that a running `up` removes meanwhile is not
        among them.
        """
        prefix = self.name("")
        found = self.docker.containers.list(all=True, filters=self.own(), ignore_removed=True)
        return {str(item.name).removeprefix(prefix): str(item.id) for item in found}

    def volumes(self) -> set[str]:
        return {item.name for item in self.docker.volumes.list(filters=self.own())}

    def snapshot(self) -> dict[str, Any]:
        """All that a refused command must leave as it was: the whole host's Docker objects, but
        for those of lanes beside this one, and this stack's state.
        """
        state = sorted((self.root / ".groundwork" / "state").rglob("stacks/**/*.json"))
        api = self.docker.api
        return {
            "containers": sorted(
                (item["Id"], item["State"])
                for item in api.containers(all=True)
                if lanes.concerns(item["Names"][0], item.get("Labels"), container=True)
            ),
            "volumes": sorted(
                item["Name"]
                for item in api.volumes()["Volumes"] or []
                if lanes.concerns(item["Name"], item.get("Labels"))
            ),
            "networks": sorted(
                item["Id"]
                for item in api.networks()
                if lanes.concerns(item["Name"], item.get("Labels"))
            ),
            "state": [(path.name, _resources(path)) for path in state],
        }

    def remove_everything(self) -> None:
        """Whatever is left of this instance, if a test failed half-way."""
        if self.instance is None:
            return
        for container in self.docker.containers.list(
            all=True, filters=self.own(), ignore_removed=True
        ):
            container.remove(force=True, v=True)
        for volume in self.docker.volumes.list(filters=self.own()):
            volume.remove(force=True)
        for network in self.docker.networks.list(filters=self.own()):
            network.remove()

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command in a process group of its own, which is killed with SIGKILL at the end."""
        with subprocess.Popen(
            self.command(*arguments),
            cwd=self.root,
            env=self.env(),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def start_and_kill(self, arguments: Sequence[str], *, when: Any, seconds: float = 60) -> None:
        """Starts a command and kills it as soon as `when()` is true."""
        with self.started(*arguments) as process:

            def due() -> bool:
                if when():
                    return True
                assert process.poll() is None, "it ended before it could be killed"
                return False

            wait_until(due, timeout=seconds, interval=0.1, reason="it is time to kill the command")


def _resources(path: Path) -> Any:
    try:
        deployment = json.loads(path.read_text())["checkpoint"]["latest"] or {}
    except (ValueError, KeyError):
        return path.read_text()
    return sorted((item["urn"], item.get("id") or "") for item in deployment.get("resources", []))


def copy_tree(target: Path) -> Path:
    """The files that git tracks or would track, and the virtual environment by reference."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(ROOT / ".venv")
    return target


def pull_missing(engine: docker.DockerClient, reference: str) -> None:
    """Pulls an official image that is not here yet; one built from packages always is."""
    try:
        engine.images.get(reference)
    except ImageNotFound:
        engine.images.pull(reference)
