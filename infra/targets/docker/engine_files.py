"""The engine's own files that containers mount: where they are depends on the engine."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = "/var/lib/docker"
"""The engine's default data directory."""

IMAGES = f"{ROOT}/image"
"""The folder of the engine's own image store."""

SOCKET, CONTAINERD_SOCKET = "/var/run/docker.sock", "/run/containerd/containerd.sock"
"""The default sockets of the engine and of its containerd."""

_CONTAINERD_STORE = "io.containerd.snapshotter.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFiles:
    """The files of one engine. `containerd` is containerd's socket if that stores the images, which
    is the default since Docker 29; None if the engine has an image store of its own.
    """

    root: str = ROOT
    socket: str = SOCKET
    containerd: str | None = None

    def locate(self, path: str) -> str | None:
        """A default path, as it is on this engine's host; None if this engine has no such file."""
        if path == SOCKET:
            return self.socket
        if path == CONTAINERD_SOCKET:
            return self.containerd
        if path == IMAGES and self.containerd is not None:
            return None
        return path.replace(ROOT, self.root, 1)


def read(info: Mapping[str, Any]) -> EngineFiles:
    """The files of the engine that gives this answer to `GET /info`."""
    status = dict(map(tuple, info.get("DriverStatus") or ()))
    # The answer names the socket since API 1.46 (Docker 27).
    address = (info.get("Containerd") or {}).get("Address") or CONTAINERD_SOCKET
    return EngineFiles(
        root=str(info.get("DockerRootDir") or ROOT),
        socket=_socket(),
        containerd=address if status.get("driver-type") == _CONTAINERD_STORE else None,
    )


def _socket() -> str:
    """DOCKER_HOST's socket, if it is one of this machine's."""
    scheme, _, path = os.environ.get("DOCKER_HOST", "").partition("://")
    try:
        here = scheme == "unix" and stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        here = False
    return path if here else SOCKET
