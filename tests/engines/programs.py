"""The programs of the tests' engines, in the cache: built from Go modules, or unpacked from the
distribution's packages without installing them.
"""

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from ops import console
from ops.build import apt, golang
from ops.build.schedule import Schedule
from ops.paths import cache

VERSION = "29.9.3"
"""The version of the engine that is built; cAdvisor needs all three numbers."""

_MODULES = Path(__file__).resolve().parent / "modules"
_DOCKER, _RUNC = _MODULES / "docker-engine", _MODULES / "runc"
_LINKER = " ".join(
    f"-X {package}.{name}={value}"
    for package, name, value in (
        ("github.com/containerd/containerd/v2/version", "Version", "v2.4.2"),
        ("github.com/docker/buildx/version", "Version", "v0.38.2"),
        ("github.com/docker/cli/cli/version", "Version", VERSION),
        ("github.com/moby/moby/v2/dockerversion", "Version", VERSION),
    )
)
_NEEDED = {
    # dockerd calls it for containers with `init`.
    "/usr/bin/tini-static": "tini",
    "/usr/include/seccomp.h": "libseccomp-dev",
    "gcc": "gcc",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "pkg-config": "pkg-config",
    "slirp4netns": "slirp4netns",
}
_PACKAGES = ("docker.io", "containerd", "runc")


def modules() -> list[Path]:
    """The folders of the Go modules that are built."""
    return [_DOCKER, _RUNC]


def built() -> Path:
    """The folder with the programs of today's engine, built once, in minutes."""
    _install()
    missing = [module.name for module in modules() if golang.built(module) is None]
    schedule = Schedule(missing)
    schedule.announce(f"Docker {VERSION}", "the tests run on today's engine")
    engine = golang.build(
        _DOCKER, linker=_LINKER, step=partial(schedule.step, _DOCKER.name), finish=_complete
    )
    runc = golang.build(_RUNC, cgo=True, step=partial(schedule.step, _RUNC.name))
    if not (engine / "runc").exists():
        os.link(runc / "runc", engine / "runc")
    return engine


def distribution() -> Path:
    """The folder with the programs of the distribution's engine. Raises Failed if there is none."""
    _install()
    architecture = console.run(["dpkg", "--print-architecture"]).strip()
    version = apt.candidate(_PACKAGES[0])
    if version is None:
        raise console.Failed(
            f"this machine's package sources offer no {_PACKAGES[0]}", "apt-get update"
        )
    folder = cache() / f"engine-{version}-{architecture}"
    if not folder.exists():
        with (
            console.step(f"tests: unpacking the distribution's Docker {version}"),
            tempfile.TemporaryDirectory(dir=cache()) as scratch,
        ):
            # apt downloads as a user of its own where that may write.
            command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *_PACKAGES]
            console.run(command, cwd=Path(scratch))
            for package in Path(scratch).glob("*.deb"):
                console.run(["dpkg-deb", "-x", package, Path(scratch) / "unpacked"])
            programs = Path(scratch) / "programs"
            programs.mkdir()
            for program in Path(scratch).glob("unpacked/usr/*bin/*"):
                if not program.is_symlink():
                    shutil.copy2(program, programs / program.name)
            _complete(programs)
            programs.rename(folder)
    return folder


def _complete(folder: Path) -> None:
    """Adds what an engine calls by other names or from other folders."""
    shutil.copy2("/usr/bin/tini-static", folder / "docker-init")
    if (folder / "buildx").exists():
        plugins = folder / "cli-plugins"
        plugins.mkdir()
        (folder / "buildx").rename(plugins / "docker-buildx")


def _install() -> None:
    missing = sorted(
        {
            package
            for path, package in _NEEDED.items()
            if shutil.which(path) is None and not Path(path).exists()
        }
    )
    if not missing:
        return
    apt.install(
        missing,
        f"tests: installing {', '.join(missing)}",
        missing=f"the tests' own Docker engine needs {', '.join(missing)}",
        fix="install them, or test on this machine's engine: GROUNDWORK_TEST_ENGINE=host make test",
    )
