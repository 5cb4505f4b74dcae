"""Programs built from Go modules, once, into the cache."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ops import console
from ops.paths import cache


def place(module: Path) -> Path:
    """The cache folder of what a module builds; a new one if its sources or versions change."""
    digest = hashlib.sha256()
    for path in sorted(path for path in module.iterdir() if path.suffix in (".go", ".mod", ".sum")):
        digest.update(path.name.encode() + path.read_bytes())
    return cache() / f"built-{module.name}-{digest.hexdigest()[:12]}"


def built(module: Path) -> Path | None:
    """That folder, if it exists."""
    folder = place(module)
    return folder if folder.exists() else None


def build(
    module: Path,
    program: str | None = None,
    *,
    linker: str = "",
    flags: Sequence[str] = (),
    finish: Callable[[Path], None] | None = None,
) -> Path:
    """Builds the tools that a module lists, or the module itself as `program`; returns their
    folder.

    It builds into a scratch folder first, so that an interrupted build leaves nothing behind;
    `finish` adds to it. Raises Failed without Go.
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
        tempfile.TemporaryDirectory(dir=cache()) as scratch,
        console.step(f"building {module.name} from Go modules (once; takes minutes)"),
    ):
        target = Path(scratch) / "bin"
        target.mkdir()
        what = ["install", *flags, "-ldflags", f"-s -w {linker}", "tool"]
        if program is not None:
            what = [
                "build",
                *flags,
                "-ldflags",
                f"-s -w {linker}",
                "-o",
                str(target / program),
                ".",
            ]
        console.run(["go", *what], cwd=module, env=environment(target))
        if finish is not None:
            finish(target)
        target.rename(folder)
    return folder


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
