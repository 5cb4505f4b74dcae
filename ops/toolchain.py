"""Pulumi's CLI, Python language host and the target's plug-in: found, downloaded, or built from Go modules."""

import hashlib
import json
import os
import platform
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from ops import console
from ops.paths import ROOT, VENV_BIN, cache

PULUMI = "3.259.0"
PLUGINS = {"docker": "5.2.0", "kubernetes": "4.34.2"}
"""Version of each target's plug-in: that of its SDK in requirements/runtime.txt."""
_OLDEST_CLI = (3, 200, 0)
_MODULES = ROOT / "ops" / "toolchain"
# Long enough for a slow name server, short enough not to be a wait on a machine without the internet.
_REACH_SECONDS = 3.0
_DOWNLOAD = "https://get.pulumi.com/releases"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Folders to put before the PATH, and how each tool was had."""

    path: tuple[Path, ...]
    origin: dict[str, str]
    target: str
    plugin: Path | None

    def environment(self) -> dict[str, str]:
        """The variables under which the CLI finds its parts and fetches nothing by itself."""
        folders = [str(VENV_BIN), *map(str, self.path)]
        return {
            "PATH": os.pathsep.join([*folders, os.environ.get("PATH", "")]),
            "VIRTUAL_ENV": str(VENV_BIN.parent),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_PYTHON_CMD": str(VENV_BIN / "python"),
        }


def ensure(target: str = "docker") -> Toolchain:
    """Finds or makes every tool for a target; what is there is left alone. Raises Failed for what cannot be had."""
    origin: dict[str, str] = {}
    folders: list[Path] = []
    plugin_name = f"pulumi-resource-{target}"
    for name, find in (("pulumi", _cli), ("pulumi-language-python", _language_host), (plugin_name, lambda: _plugin(target))):
        folder, how = find()
        origin[name] = how
        if folder is not None and folder not in folders:
            folders.append(folder)
    plugin = shutil.which(plugin_name, path=os.pathsep.join(map(str, folders)))
    return Toolchain(tuple(_beside_cli(folders)), origin, target, Path(plugin) if plugin else None)


def _beside_cli(folders: list[Path]) -> list[Path]:
    """Gives a CLI that was built here its language host as a neighbour: one on the PATH makes it warn at every command."""
    cli, host = _built("pulumi"), _built("language-python")
    if cli is None or host is None or cli not in folders:
        return folders
    for tool in host.iterdir():
        if not (cli / tool.name).exists():
            os.link(tool, cli / tool.name)
    return [folder for folder in folders if folder != host]


def _cli() -> tuple[Path | None, str]:
    for candidate in (shutil.which("pulumi"), _pulumi_home() / "bin" / "pulumi"):
        if candidate and Path(candidate).exists() and _version_of(Path(candidate)) >= _OLDEST_CLI:
            return Path(candidate).parent, "found"
    downloaded = cache() / f"pulumi-{PULUMI}" / "pulumi"
    if (downloaded / "pulumi").exists():
        return downloaded, "downloaded"
    built = _built("pulumi")
    if built is None and _download_cli(downloaded):
        return downloaded, "downloaded"
    return _build("pulumi", _install_tool, f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}"), "built from Go modules"


def _language_host() -> tuple[Path | None, str]:
    name = "pulumi-language-python"
    for folder in (cache() / f"pulumi-{PULUMI}" / "pulumi", _pulumi_home() / "bin"):
        if (folder / name).exists():
            return folder, "beside the CLI"
    found = shutil.which(name)
    if found and shutil.which(f"{name}-exec"):
        return Path(found).parent, "found"
    return _build("language-python", _install_language_host), "built from Go modules"


def _plugin(target: str) -> tuple[Path | None, str]:
    name, version = f"pulumi-resource-{target}", PLUGINS[target]
    installed = _pulumi_home() / "plugins" / f"resource-{target}-v{version}" / name
    if installed.exists():
        return None, "found in Pulumi's home"
    found = shutil.which(name)
    if found:
        return Path(found).parent, "found"
    downloaded = cache() / f"resource-{target}-{version}"
    if (downloaded / name).exists():
        return downloaded, "downloaded"
    url = f"{_DOWNLOAD}/plugins/{name}-v{version}-{_system('amd64')}.tar.gz"
    # The plug-ins' sums are published beside their sources, elsewhere than the plug-ins.
    sums = f"https://github.com/pulumi/pulumi-{target}/releases/download/v{version}/pulumi-{target}_{version}_checksums.txt"
    if (target != "docker" or _built("docker-provider") is None) and _download(url, sums, downloaded, f"pulumi's {target} plug-in"):
        return downloaded, "downloaded"
    if target != "docker":
        raise console.Failed(
            f"Pulumi's {target} plug-in {version} is not here, its download cannot be reached, and no package carries it",
            f"put {name} on the PATH, or run this where {_DOWNLOAD} can be reached; `make test-kubernetes` proves the same chart by Helm alone",
        )
    return _build("docker-provider", _build_plugin, f"-X main.version={version}"), "built from Go modules"


def _pulumi_home() -> Path:
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")


def _version_of(binary: Path) -> tuple[int, ...]:
    try:
        text = console.run([binary, "version"], env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"})
    except (console.Failed, OSError):
        return (0,)
    match = re.search(r"v(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, match.groups())) if match else (0,)


def _system(x86: str) -> str:
    machine = {"x86_64": x86, "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}-{machine}"


def _download_cli(folder: Path) -> bool:
    url = f"{_DOWNLOAD}/sdk/pulumi-v{PULUMI}-{_system('x64')}.tar.gz"
    return _download(url, f"{_DOWNLOAD}/sdk/pulumi-{PULUMI}-checksums.txt", folder.parent, "the Pulumi CLI")


def _download(url: str, sums: str, folder: Path, what: str) -> bool:
    """Unpacks an official download into a folder; False where it cannot be reached.

    Nothing is unpacked before its SHA-256 is that which `sums` publishes; False too where that cannot be had.
    Raises Failed where it is another.
    """
    timeout = httpx.Timeout(60, connect=_REACH_SECONDS)
    digest = hashlib.sha256()
    try:
        with tempfile.TemporaryDirectory(dir=cache()) as scratch:
            archive = Path(scratch) / "archive.tar.gz"
            with httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as response, archive.open("wb") as stream:
                response.raise_for_status()
                with console.step(f"downloading {what}"):
                    for chunk in response.iter_bytes():
                        stream.write(chunk)
                        digest.update(chunk)
            if not _verified(url, sums, digest.hexdigest(), what):
                return False
            unpacked = Path(scratch) / "unpacked"
            with tarfile.open(archive) as tar:
                _extract(tar, unpacked)
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            unpacked.rename(folder)
    except (httpx.HTTPError, tarfile.TarError, OSError) as error:
        console.out.print(f"{what}: the official download cannot be reached ({type(error).__name__})")
        return False
    return True


def _verified(url: str, sums: str, found: str, what: str) -> bool:
    """Whether a file of published sums names a download with the sum that was found. Raises Failed for another sum."""
    try:
        text = httpx.get(sums, timeout=60, follow_redirects=True).raise_for_status().text
    except httpx.HTTPError as error:
        console.out.print(f"{what}: not used, since its published checksum cannot be had ({type(error).__name__})")
        return False
    rows = (line.split() for line in text.splitlines())
    published = next((row[0].lower() for row in rows if len(row) == 2 and row[1].lstrip("*") == url.rpartition("/")[2]), None)
    if published is None:
        console.out.print(f"{what}: not used, since no checksum of it is published at {sums}")
        return False
    if published != found:
        raise console.Failed(
            f"{what} was downloaded, and is not what was published: its SHA-256 is {found}, not {published}",
            f"see why, from a network that you trust; or put {what} on the PATH yourself",
        )
    return True


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    """Unpacks without leaving the folder. Python before 3.11.4, Debian 12's among them, knows no filters."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
        return
    root = folder.resolve()
    for member in tar.getmembers():
        inside = (root / member.name).resolve().is_relative_to(root)
        if not inside or not (member.isreg() or member.isdir()):
            raise tarfile.TarError(f"{member.name} does not belong into the archive")
    tar.extractall(folder)  # noqa: S202 - every member was looked at


def _recipe_folder(name: str) -> Path:
    digest = hashlib.sha256()
    for path in sorted((_MODULES / name).iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return cache() / f"built-{name}-{digest.hexdigest()[:12]}"


def cluster_tools() -> Path:
    """The folder with Kubernetes' own programs, Helm and what the tests' cluster needs besides; built once, in minutes."""
    version = "v1.34.4"
    about = f"-X k8s.io/component-base/version.gitVersion={version} -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34"
    folders = [
        _build("kubernetes", _install_tool, about), _build("helm", _install_tool), _build("coredns", _install_tool),
        _build("local-path", _install_tool), _build("pause", _build_program),
    ]  # fmt: skip
    together = cache() / f"cluster-tools-{hashlib.sha256(' '.join(folder.name for folder in folders).encode()).hexdigest()[:12]}"
    together.mkdir(exist_ok=True)
    for tool in (tool for folder in folders for tool in folder.iterdir()):
        if not (together / tool.name).exists():
            os.link(tool, together / tool.name)
    return together


def go_module(recipe: str, module: str) -> Path:
    """The folder of a module's sources, of the version that a recipe pins."""
    found = console.run(["go", "mod", "download", "-json", module], cwd=_MODULES / recipe, env=go_environment(cache()))
    return Path(json.loads(found)["Dir"])


def _built(name: str) -> Path | None:
    folder = _recipe_folder(name)
    return folder if folder.exists() else None


def _build(name: str, build: Callable[[Path, Path, str], None], linker: str = "") -> Path:
    """Builds once into the cache: into a scratch folder first, so that an interrupted build leaves nothing."""
    folder = _recipe_folder(name)
    if folder.exists():
        return folder
    go = shutil.which("go")
    if go is None:
        raise console.Failed(
            f"{name} can be neither downloaded nor built: there is no Go here",
            "install Go 1.26, or Pulumi itself (https://www.pulumi.com/docs/install/)",
        )
    with tempfile.TemporaryDirectory(dir=cache()) as scratch, console.step(f"building {name} from Go modules (once; minutes)"):
        target = Path(scratch) / "bin"
        target.mkdir()
        build(_MODULES / name, target, linker)
        target.rename(folder)
    return folder


def go_environment(target: Path) -> dict[str, str]:
    """The environment in which Go builds exactly what the module files pin, into a folder."""
    return {**os.environ, "GOBIN": str(target), "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}


def _install_tool(module: Path, target: Path, linker: str) -> None:
    console.run(["go", "install", "-ldflags", f"-s -w {linker}", "tool"], cwd=module, env=go_environment(target))


def _install_language_host(module: Path, target: Path, linker: str) -> None:
    _install_tool(module, target, linker)
    # The script that runs a program comes with the SDK of the CLI's version, in the CLI's own module.
    script = go_module("pulumi", "github.com/pulumi/pulumi/sdk/v3") / "python" / "cmd" / "pulumi-language-python-exec"
    copy = target / script.name
    shutil.copyfile(script, copy)
    copy.chmod(0o755)


def _build_program(module: Path, target: Path, linker: str) -> None:
    console.run(["go", "build", "-ldflags", f"-s -w {linker}", "-o", target / module.name, "."], cwd=module, env=go_environment(target))


def _build_plugin(module: Path, target: Path, linker: str) -> None:
    command: list[str | Path] = ["go", "build", "-tags", "no_compose", "-ldflags", f"-s -w {linker}", "-o", target / "pulumi-resource-docker", "."]
    console.run(command, cwd=module, env=go_environment(target))
