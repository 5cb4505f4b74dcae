"""A Docker engine with folders, a socket and a network of its own."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException, NotFound

from ops import console
from ops.sites import engine
from tests.engines import network, processes, programs

_DATA, _RUN = Path("/var/lib/groundwork-tests"), Path("/run/groundwork-tests")
_SECONDS = 60
_VARIABLE = "GROUNDWORK_TEST_ENGINE"
_CONTAINERD = """\
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime"]
[grpc]
  address = "{address}"
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine by its name, `current` or `distribution`, and the folder of its programs.

    Its data is kept for the next run of the tests, so that images are built once.
    """

    name: str
    programs: Path

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return _DATA / self.name

    @property
    def run(self) -> Path:
        """The folder of its sockets and logs."""
        return _RUN / self.name

    @property
    def socket(self) -> Path:
        """The socket that it answers on."""
        return self.run / "docker.sock"

    @property
    def pid_file(self) -> Path:
        """The file with its process id."""
        return self.run / "docker.pid"

    @property
    def namespace(self) -> str:
        """The name of its network namespace."""
        return f"groundwork-{self.name}"

    def environment(self) -> Mapping[str, str]:
        """The variables with which clients find it and its command line."""
        return {
            "DOCKER_HOST": f"unix://{self.socket}",
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            # The command line's plugins, and no login of a person's.
            "DOCKER_CONFIG": str(self.run / "client"),
            _VARIABLE: self.name,
        }

    def inside(self, command: Sequence[str]) -> list[str]:
        """A command in its network, where its published ports are on loopback."""
        return network.inside(self.namespace, command)

    def answers(self) -> bool:
        """True if it answers."""
        try:
            client = self._client()
        except DockerException:
            return False
        client.close()
        return True

    def start(self) -> None:
        """Starts it if it does not answer. Raises Failed with the last lines of its log."""
        if self.answers():
            return
        engine.share_root()
        self.run.mkdir(parents=True, exist_ok=True)
        (self.data / "containerd").mkdir(parents=True, exist_ok=True)
        if (plugins := self.programs / "cli-plugins").exists():
            (self.run / "client").mkdir(exist_ok=True)
            with suppress(FileExistsError):
                (self.run / "client" / "cli-plugins").symlink_to(plugins)
        network.ensure(self.namespace, self.run)
        self._start_containerd()
        engine.forget_dead(self.pid_file)
        self._spawn(
            "dockerd",
            "--host",
            f"unix://{self.socket}",
            "--containerd",
            str(self._containerd),
            "--data-root",
            str(self.data / "docker"),
            "--exec-root",
            str(self.run / "docker"),
            "--pidfile",
            str(self.pid_file),
            *engine.pools(),
        )
        self._wait(self.answers, "dockerd")

    def clean(self) -> None:
        """Removes the containers, volumes and networks that a killed run has left."""
        client = self._client()
        try:
            for container in client.containers.list(all=True, ignore_removed=True):
                with suppress(NotFound):
                    container.remove(force=True, v=True)
            for volume in client.volumes.list():
                volume.remove(force=True)
            client.networks.prune()
        finally:
            client.close()

    def kill(self) -> None:
        """Kills the engine itself with SIGKILL; its containers and containerd go on."""
        os.kill(int(self.pid_file.read_text()), signal.SIGKILL)

    def stop(self) -> None:
        """Stops it, its containers and its network; its data is kept."""
        if self.answers():
            self.clean()
        processes.end(self.pid_file, "dockerd")
        processes.end(self.run / "containerd.pid", "containerd")
        network.remove(self.namespace, self.run)
        # The engine keeps the network of the host mounted.
        for mount in Path("/proc/self/mounts").read_text().splitlines():
            if (point := mount.split()[1]).startswith(f"{self.run}/"):
                subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
        shutil.rmtree(self.run, ignore_errors=True)

    @property
    def _containerd(self) -> Path:
        return self.run / "containerd.sock"

    def _client(self) -> docker.DockerClient:
        """A client. Raises DockerException if no engine answers."""
        client = docker.DockerClient(base_url=f"unix://{self.socket}", timeout=30)
        try:
            client.ping()
        except DockerException:
            client.close()
            raise
        return client

    def _start_containerd(self) -> None:
        pid_file = self.run / "containerd.pid"
        if processes.alive(pid_file, "containerd"):
            return
        config = self.run / "containerd.toml"
        config.write_text(
            _CONTAINERD.format(
                root=self.data / "containerd",
                state=self.run / "containerd",
                address=self._containerd,
            )
        )
        self._containerd.unlink(missing_ok=True)
        process = self._spawn("containerd", "--config", str(config))
        pid_file.write_text(str(process.pid))
        self._wait(self._containerd.exists, "containerd")

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.run / f"{program}.log").open("ab") as stream:
            return subprocess.Popen(
                self.inside([str(self.programs / program), *arguments]),
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def _wait(self, ready: Callable[[], bool], program: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not ready():
            if time.monotonic() > deadline:
                log = self.run / f"{program}.log"
                tail = "\n    ".join(log.read_text(errors="replace").splitlines()[-12:])
                raise console.Failed(
                    f"the tests' {program} did not start within {_SECONDS} s:\n    {tail}"
                )
            time.sleep(0.2)


def current() -> Engine:
    """Today's engine, built from Go modules."""
    return Engine("current", programs.built())


def distribution() -> Engine:
    """The engine that the distribution has."""
    return Engine("distribution", programs.distribution())


def named() -> Engine | None:
    """The engine that this process tests on, by its environment; None for this machine's own."""
    name, program = os.environ.get(_VARIABLE), shutil.which("dockerd")
    return Engine(name, Path(program).parent) if name and program else None
