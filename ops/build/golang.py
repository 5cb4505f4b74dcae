"""Programs built from Go modules, once, into the cache."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from ops import console
from ops.paths import cache

# Docker Compose is a quarter of what the provider would be compiled from.
_TAGS = {
    "docker-engine": "no_btrfs",
    "docker-provider": "no_compose",
    "runc": "seccomp",
    "terraform-provider": "no_compose",
}
# What data goes through is compiled with inlining: Go's own packages, the programs', and what they
# read, compress and send with.
_INLINED = (
    "std",
    "github.com/golang/...",
    "github.com/gogo/...",
    "github.com/google/cadvisor/...",
    "github.com/grafana/...",
    "github.com/klauspost/...",
    "github.com/minio/...",
    "github.com/parquet-go/...",
    "github.com/prometheus/...",
    "github.com/pulumi/...",
    "go.opentelemetry.io/...",
    "google.golang.org/grpc/...",
    "google.golang.org/protobuf/...",
    "groundwork.invalid/...",
)
# What is stripped need not be generated, a tenth of the compiler's time. Inlining in all the rest,
# most of it clients of services that nothing here uses, is a sixth. The last flag that names a
# package is its; they are equal for all programs, or these would share no package.
_COMPILER = (
    "-gcflags=all=-dwarf=false -l",
    *(f"-gcflags={pattern}=-dwarf=false" for pattern in _INLINED),
    # It has no go.mod, for which Go assumes a language of 2021.
    "-gcflags=github.com/docker/cli/...=-dwarf=false -l -lang=go1.26",
)
# One at a time: each takes every core, and two at once would compile what they share twice.
_COMPILING = threading.Lock()


def place(module: Path) -> Path:
    """The cache folder of what a module builds; a new one if its sources or versions change."""
    digest = hashlib.sha256()
    for path in sorted(
        path for path in module.rglob("*") if path.suffix in (".go", ".mod", ".sum")
    ):
        digest.update(path.name.encode() + path.read_bytes())
    return cache() / f"built-{module.name}-{digest.hexdigest()[:12]}"


def built(module: Path) -> Path | None:
    """That folder, if it exists."""
    folder = place(module)
    return folder if folder.exists() else None


def build(  # noqa: PLR0913 - what differs between the programs
    module: Path,
    program: str | None = None,
    *,
    linker: str = "",
    finish: Callable[[Path], None] | None = None,
    step: Callable[[str], AbstractContextManager[None]] = console.step,
    yields: bool = False,
    cgo: bool = False,
) -> Path:
    """Builds the tools that a module lists, or the module itself as `program`; returns their
    folder. With `yields` it leaves the cores to whatever else wants them; with `cgo` it links C.

    It builds into a scratch folder first, so that an interrupted build leaves nothing behind;
    `finish` adds to it, and `step` reports its progress. Raises Failed without Go.
    """
    folder = place(module)
    if folder.exists():
        return folder
    if shutil.which("go") is None:
        raise console.Failed(
            f"{module.name} is built from Go modules, but Go is not installed here",
            "install Go 1.26.7 or newer; it is not needed where the official download or image is"
            " reachable",
        )
    with (
        _COMPILING,
        tempfile.TemporaryDirectory(dir=cache()) as scratch,
        step(f"building {module.name} from Go modules"),
    ):
        target = Path(scratch) / "bin"
        target.mkdir()
        made = ["install"] if program is None else ["build", "-o", str(target / program)]
        what = [*made, "-ldflags", f"-s -w {linker}", *_COMPILER, *packages(module)]
        polite = ["nice", "-n", "19"] if yields else []
        env = {**environment(target), "CGO_ENABLED": "1" if cgo else "0"}
        console.run([*polite, "go", *what], cwd=module, env=env)
        if finish is not None:
            finish(target)
        target.rename(folder)
    return folder


def packages(module: Path) -> list[str]:
    """The arguments that name to Go what is built of a module: a program of ours, or tools."""
    tags = ["-tags", _TAGS[module.name]] if module.name in _TAGS else []
    return [*tags, "." if (module / "main.go").exists() else "tool"]


def fetch(module: Path) -> None:
    """Downloads what a build of a module's programs needs, and nothing else, while another one is
    compiled. A failure is left to the build, which meets it again.
    """
    if shutil.which("go") is not None and built(module) is None:
        subprocess.run(
            ["go", "list", "-deps", *packages(module)],
            cwd=module,
            env=environment(cache()),
            capture_output=True,
            check=False,
        )


def sources(module: Path, name: str) -> Path:
    """The source folder of a dependency of `module`, in the version that it pins."""
    found = console.run(
        ["go", "mod", "download", "-json", name], cwd=module, env=environment(cache())
    )
    return Path(json.loads(found)["Dir"])


def environment(target: Path) -> dict[str, str]:
    """The environment in which Go builds exactly what the module files pin, into a folder."""
    return {
        **os.environ,
        "GOBIN": str(target),
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
