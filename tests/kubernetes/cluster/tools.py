"""Kubernetes' own programs, Helm, and what a cluster needs besides, built from their Go modules."""

import hashlib
import os
from pathlib import Path

from ops.build import golang
from ops.paths import cache

MODULES = Path(__file__).resolve().parent / "modules"
VERSION = "v1.34.4"
_ABOUT = "k8s.io/component-base/version"
_LINKER = f"-X {_ABOUT}.gitVersion={VERSION} -X {_ABOUT}.gitMajor=1 -X {_ABOUT}.gitMinor=34"


def ensure() -> Path:
    """The folder with all of them; built once, in minutes."""
    folders = [
        golang.build(MODULES / "kubernetes", linker=_LINKER),
        *(golang.build(MODULES / name) for name in ("helm", "coredns", "local-path")),
        golang.build(MODULES / "pause", "pause"),
    ]
    names = " ".join(folder.name for folder in folders)
    together = cache() / f"cluster-tools-{hashlib.sha256(names.encode()).hexdigest()[:12]}"
    together.mkdir(exist_ok=True)
    for tool in (tool for folder in folders for tool in folder.iterdir()):
        if not (together / tool.name).exists():
            os.link(tool, together / tool.name)
    return together
