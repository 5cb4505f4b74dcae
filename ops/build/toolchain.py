"""Pulumi's CLI, Python language host and the target's plugin: found, downloaded, or built from Go
modules.
"""

import os
import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ops import console
from ops.build import downloads, golang
from ops.build.schedule import Schedule
from ops.paths import ROOT, VENV_BIN, cache

PULUMI = "3.259.0"
PLUGINS = {"docker": "5.2.0", "kubernetes": "4.34.2"}
"""Version of each target's plugin: that of its SDK in requirements/runtime.txt."""
_OLDEST_CLI = (3, 200, 0)
# By default Pulumi does four things a core at once, and a container that is waited for is one of
# them: on two cores half of the services would start only when the others are healthy.
_PARALLEL = "64"
_MODULES = ROOT / "ops" / "build" / "modules"
_MODULE = {
    "pulumi": "pulumi",
    "pulumi-language-python": "language-python",
    "pulumi-resource-docker": "docker-provider",
}
_BUILT = "built from Go modules"
_DOWNLOAD = "https://get.pulumi.com/releases"

# The folder to put before the PATH, if one is needed, and how the tool was obtained.
_Place = tuple[Path | None, str]


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Folders to put before the PATH, and how each tool was obtained."""

    path: tuple[Path, ...]
    origin: dict[str, str]
    target: str
    plugin: Path | None

    def environment(self) -> dict[str, str]:
        """The variables with which the CLI finds its parts and downloads nothing itself."""
        folders = [str(VENV_BIN), *map(str, self.path)]
        return {
            "PATH": os.pathsep.join([*folders, os.environ.get("PATH", "")]),
            "VIRTUAL_ENV": str(VENV_BIN.parent),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            # The program's files are UTF-8 in any locale.
            "PYTHONUTF8": "1",
            "PULUMI_PYTHON_CMD": str(VENV_BIN / "python"),
            "PULUMI_PARALLEL": os.environ.get("PULUMI_PARALLEL", _PARALLEL),
        }


def ensure(target: str = "docker", *, meanwhile: Callable[[], None] = lambda: None) -> Toolchain:
    """Finds or builds every tool for a target; existing ones are left alone.

    `meanwhile` is called before anything is built, which takes minutes. Raises Failed for an
    unavailable one.
    """
    plugin_name = f"pulumi-resource-{target}"
    found = find(target)
    missing = [name for name, place in found.items() if place is None]
    if missing:
        meanwhile()
    schedule = Schedule([_MODULE[name] for name in missing])
    schedule.announce("tools", "Pulumi's downloads cannot be reached from this machine")
    places = {name: place or (_build(name, schedule), _BUILT) for name, place in found.items()}
    folders: list[Path] = []
    origin: dict[str, str] = {}
    for name, (folder, how) in places.items():
        origin[name] = how
        if folder is not None and folder not in folders:
            folders.append(folder)
    plugin = shutil.which(plugin_name, path=os.pathsep.join(map(str, folders)))
    return Toolchain(tuple(_beside_cli(folders)), origin, target, Path(plugin) if plugin else None)


def find(target: str) -> dict[str, _Place | None]:
    """Every tool for a target, found or downloaded; None for one that would have to be built.

    Raises Failed for an unavailable one.
    """
    return {
        "pulumi": _cli(),
        "pulumi-language-python": _language_host(),
        f"pulumi-resource-{target}": _plugin(target),
    }


def modules() -> list[Path]:
    """The folders of the Go modules that tools are built from."""
    return [_MODULES / name for name in _MODULE.values()]


def _build(name: str, schedule: Schedule) -> Path:
    module = _MODULE[name]
    step = partial(schedule.step, module)
    if name == "pulumi":
        version = f"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}"
        return golang.build(_MODULES / module, linker=f"-X {version}", step=step)
    if name == "pulumi-language-python":
        return golang.build(_MODULES / module, finish=_add_script, step=step)
    return golang.build(
        _MODULES / module,
        name,
        linker=f"-X main.version={PLUGINS['docker']}",
        step=step,
    )


def _beside_cli(folders: list[Path]) -> list[Path]:
    """Puts the language host beside a CLI that was built here: one on the PATH makes it warn at
    every command.
    """
    cli, host = golang.built(_MODULES / "pulumi"), golang.built(_MODULES / "language-python")
    if cli is None or host is None or cli not in folders:
        return folders
    for tool in host.iterdir():
        if not (cli / tool.name).exists():
            os.link(tool, cli / tool.name)
    return [folder for folder in folders if folder != host]


def _cli() -> _Place | None:
    for candidate in (shutil.which("pulumi"), _pulumi_home() / "bin" / "pulumi"):
        if candidate and Path(candidate).exists() and _version_of(Path(candidate)) >= _OLDEST_CLI:
            return Path(candidate).parent, "found"
    downloaded = cache() / f"pulumi-{PULUMI}" / "pulumi"
    built = golang.built(_MODULES / "pulumi")
    if (downloaded / "pulumi").exists() or (built is None and _download_cli(downloaded)):
        return downloaded, "downloaded"
    return (built, _BUILT) if built else None


def _language_host() -> _Place | None:
    name = "pulumi-language-python"
    for folder in (cache() / f"pulumi-{PULUMI}" / "pulumi", _pulumi_home() / "bin"):
        if (folder / name).exists():
            return folder, "beside the CLI"
    found = shutil.which(name)
    if found and shutil.which(f"{name}-exec"):
        return Path(found).parent, "found"
    built = golang.built(_MODULES / "language-python")
    return (built, _BUILT) if built else None


def _plugin(target: str) -> _Place | None:
    name, version = f"pulumi-resource-{target}", PLUGINS[target]
    installed = _pulumi_home() / "plugins" / f"resource-{target}-v{version}" / name
    if installed.exists():
        return None, "found in Pulumi's home"
    found = shutil.which(name)
    if found:
        return Path(found).parent, "found"
    downloaded = cache() / f"resource-{target}-{version}"
    built = golang.built(_MODULES / "docker-provider") if target == "docker" else None
    url = f"{_DOWNLOAD}/plugins/{name}-v{version}-{_system('amd64')}.tar.gz"
    # The plugins' sums are published beside their sources, elsewhere than the plugins.
    project = f"pulumi-{target}"
    releases = f"https://github.com/pulumi/{project}/releases/download"
    sums = f"{releases}/v{version}/{project}_{version}_checksums.txt"
    if (downloaded / name).exists() or (
        built is None and downloads.fetch(url, sums, downloaded, f"Pulumi's {target} plugin")
    ):
        return downloaded, "downloaded"
    if target != "docker":
        raise console.Failed(
            f"Pulumi's {target} plugin {version} is not installed, its download is unreachable,"
            " and no package provides it",
            f"put {name} on the PATH, or run this where {_DOWNLOAD} is reachable; `make"
            " test-kubernetes` tests the same chart with Helm alone",
        )
    return (built, _BUILT) if built else None


def _pulumi_home() -> Path:
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")


def _version_of(binary: Path) -> tuple[int, ...]:
    try:
        text = console.run(
            [binary, "version"], env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        )
    except (console.Failed, OSError):
        return (0,)
    match = re.search(r"v(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, match.groups())) if match else (0,)


def _system(x86: str) -> str:
    machine = {"x86_64": x86, "aarch64": "arm64", "arm64": "arm64"}.get(
        platform.machine(), platform.machine()
    )
    return f"{platform.system().lower()}-{machine}"


def _download_cli(folder: Path) -> bool:
    url = f"{_DOWNLOAD}/sdk/pulumi-v{PULUMI}-{_system('x64')}.tar.gz"
    return downloads.fetch(
        url, f"{_DOWNLOAD}/sdk/pulumi-{PULUMI}-checksums.txt", folder.parent, "the Pulumi CLI"
    )


def _add_script(target: Path) -> None:
    """Adds the script that runs a program; it comes with the SDK of the CLI's version, in the CLI's
    own module.
    """
    sdk = golang.sources(_MODULES / "pulumi", "github.com/pulumi/pulumi/sdk/v3")
    script = sdk / "python" / "cmd" / "pulumi-language-python-exec"
    copy = target / script.name
    shutil.copyfile(script, copy)
    copy.chmod(0o755)
