"""Kubernetes' own programs, Helm, and what a cluster needs besides, built from their Go modules."""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ops.build import golang
from ops.build.schedule import Schedule
from ops.paths import cache
from ops.sites import forward

MODULES = Path(__file__).resolve().parent / "modules"
VERSION = "v1.34.4"
_ABOUT = "k8s.io/component-base/version"
_LINKER = f"-X {_ABOUT}.gitVersion={VERSION} -X {_ABOUT}.gitMajor=1 -X {_ABOUT}.gitMinor=34"


def modules() -> list[Path]:
    """The folders of the Go modules that are built."""
    return [MODULES / name for name in ("kubernetes", "helm", "coredns", "local-path", "pause")]


def ensure() -> Path:
    """The folder with all of them, built once, in minutes; where GROUNDWORK_TEST_CONTEXT names a
    cluster, with Helm and this machine's kubectl. Raises Failed without that.
    """
    named = "GROUNDWORK_TEST_CONTEXT" in os.environ
    wanted = [module for module in modules() if not named or module.name == "helm"]
    missing = [module.name for module in wanted if golang.built(module) is None]
    schedule = Schedule(missing)
    schedule.announce("Kubernetes", "the tests' own cluster is made from its Go modules")
    folders = [
        golang.build(
            module,
            "pause" if module.name == "pause" else None,
            linker=_LINKER if module.name == "kubernetes" else "",
            step=partial(schedule.step, module.name),
            # The tests that deploy on Docker run meanwhile.
            yields=True,
        )
        for module in wanted
    ]
    # A cluster's own programs are linked, since an image is made of one of them.
    found: list[tuple[Path, Callable[[Path, Path], object]]] = [
        (tool, os.link) for folder in folders for tool in folder.iterdir()
    ]
    if named:
        kubectl = Path(forward.kubectl({"context": "", "kubeconfig": ""})[0])
        found.append((kubectl, os.symlink))
    names = " ".join([*(folder.name for folder in folders), *(["kubectl"] if named else [])])
    together = cache() / f"cluster-tools-{hashlib.sha256(names.encode()).hexdigest()[:12]}"
    together.mkdir(exist_ok=True)
    for tool, link in found:
        if not (together / tool.name).exists():
            link(tool, together / tool.name)
    return together
