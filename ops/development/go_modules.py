"""One version of each Go module that several programs are compiled from.

Go compiles a package once for all programs that need it in the same version.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from infra.images import IMAGES
from infra.versions import RECIPES
from ops import console
from ops.build import golang, toolchain
from ops.paths import cache
from tests.engines import programs as engine_programs
from tests.kubernetes.cluster import tools as cluster_tools

OWN: Mapping[str, tuple[str, ...]] = {
    # It implements an interface of OpenTelemetry that has grown since. Nearly all it needs would
    # raise that, so what it bears was raised by hand.
    "tempo": ("",),
    # Its client of etcd is mocked with interfaces that have grown since.
    "loki": ("go.etcd.io/",),
    "minio": ("github.com/minio/", "github.com/prometheus/prometheus"),
    # The last SDK that carries the language host as a package.
    "language-python": (
        "github.com/ProtonMail/",
        "github.com/go-git/",
        "github.com/pulumi/pulumi/sdk",
    ),
    "alloy": ("k8s.io/",),
    # Docker 29 is newer than what the programs use of it, and asks for newer versions.
    "docker-engine": (
        "cloud.google.com/go/logging",
        "github.com/aws/",
        "github.com/containerd/",
        "github.com/cpuguy83/",
        "github.com/docker/",
        "github.com/fvbommel/",
        "github.com/fxamacker/",
        "github.com/go-jose/",
        "github.com/gofrs/",
        "github.com/hashicorp/",
        "github.com/in-toto/",
        "github.com/klauspost/",
        "github.com/lestrrat-go/",
        "github.com/mattn/",
        "github.com/mdlayher/",
        "github.com/moby/",
        "github.com/opencontainers/",
        "github.com/tonistiigi/",
        "github.com/xeipuuv/",
        "go.etcd.io/",
        "go.opentelemetry.io/",
        "go.yaml.in/yaml/v3",
        "google.golang.org/genproto",
    ),
    # It is linked with C, and so shares nothing.
    "runc": ("",),
    # A release of Kubernetes is one set of modules.
    "kubernetes": (
        "github.com/google/cadvisor",
        "github.com/google/cel-go",
        "github.com/google/gnostic",
        "github.com/opencontainers/",
        "github.com/spf13/",
        "go.etcd.io/",
        "k8s.io/",
        "sigs.k8s.io/",
    ),
}
"""Program to the modules, by how their paths begin, of which it needs a version of its own."""

_ROUNDS = 6


def folders() -> dict[str, Path]:
    """Program to the folder of its module."""
    recipes = {name: IMAGES / recipe.folder for name, recipe in RECIPES.items() if recipe.go_tool}
    modules = (*toolchain.modules(), *engine_programs.modules(), *cluster_tools.modules())
    return {**{module.name: module for module in modules}, **recipes}


def shares(program: str, module: str) -> bool:
    """True if a program takes the common version of a module."""
    return not module.startswith(OWN.get(program, ()))


def align() -> None:
    """Raises shared modules to the newest version that any program asks for, until all agree.

    Raises Failed where Go cannot resolve that.
    """
    programs = folders()
    for _ in range(_ROUNDS):
        versions: dict[str, dict[str, str]] = defaultdict(dict)
        for program, folder in programs.items():
            for module, version in _compiled(folder).items():
                if shares(program, module):
                    versions[module][program] = version
        raises: dict[str, list[str]] = defaultdict(list)
        for module, found in versions.items():
            newest = max(found.values(), key=order)
            for program, version in found.items():
                if version != newest:
                    raises[program].append(f"{module}@{newest}")
        if not raises:
            return
        for program, modules in raises.items():
            with console.step(f"aligning {len(modules)} modules of {program}"):
                _go(programs[program], "get", *modules)
    raise console.Failed(f"Go modules do not agree after {_ROUNDS} rounds")


def order(version: str) -> tuple[object, ...]:
    """The place of a version among others (semver.org, 11)."""
    found = re.match(r"v(\d+)\.(\d+)\.(\d+)(?:-([^+]+))?", version)
    if found is None:
        raise ValueError(version)
    release = tuple(map(int, found.groups()[:3]))
    if found[4] is None:
        return (*release, 1)
    return (
        *release,
        0,
        tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in found[4].split(".")
        ),
    )


def _compiled(folder: Path) -> dict[str, str]:
    """The modules that a program is compiled from, but for replaced ones."""
    form = "{{with .Module}}{{if not .Replace}}{{.Path}} {{.Version}}{{end}}{{end}}"
    lines = _go(folder, "list", "-deps", "-f", form, *golang.packages(folder)).splitlines()
    pairs = (line.split() for line in lines)
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _go(folder: Path, *arguments: str) -> str:
    environment = golang.environment(cache())
    environment["GOFLAGS"] = environment["GOFLAGS"].replace("-mod=readonly", "-mod=mod")
    return console.run(["go", *arguments], cwd=folder, env=environment)
