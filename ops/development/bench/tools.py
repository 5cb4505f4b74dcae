"""The other tools: found on the PATH, or built from Go modules where that takes little."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ops.build import golang

_MODULES = Path(__file__).resolve().parent.parent / "modules"


@dataclass(frozen=True, slots=True)
class Tool:
    """A program's command, and its version for a table."""

    command: tuple[str, ...]
    version: str


def compose() -> Tool:
    """Docker Compose: the engine's plugin, a program of that name, or one that is built here.

    Raises Failed without Go.
    """
    for command in (("docker", "compose"), ("docker-compose",)):
        if version := _says(*command, "version", "--short"):
            return Tool(command, version)
    module = _MODULES / "compose"
    built = golang.build(module) / "cmd"
    return Tool((str(built),), _pinned(module, "github.com/docker/compose/v2"))


def terraform() -> Tool | None:
    """Terraform or OpenTofu, if one is on the PATH."""
    for name in ("terraform", "tofu"):
        if shutil.which(name) and (said := _says(name, "version")):
            return Tool((name,), said.splitlines()[0])
    return None


def provider() -> Path:
    """The folder of Terraform's Docker provider, in the version that Pulumi's plugin is built from.

    Raises Failed without Go.
    """
    return golang.build(_MODULES / "terraform-provider")


def _says(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _pinned(module: Path, name: str) -> str:
    lines = (module / "go.mod").read_text().splitlines()
    return next(line.split()[-1] for line in lines if name in line and "tool" not in line)
