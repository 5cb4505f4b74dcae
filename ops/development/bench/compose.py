"""A description as a compose file: the same images, files, limits, networks and checks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.development.bench.description import Container, Description
from ops.stacks import private

# Arguments that both know, each by its own name.
_SAME = {
    "image": "image",
    "user": "user",
    "restart": "restart",
    "entrypoints": "entrypoint",
    "command": "command",
    "envs": "environment",
    "networkMode": "network_mode",
    "pidMode": "pid",
    "readOnly": "read_only",
    "sysctls": "sysctls",
    "securityOpts": "security_opt",
    "init": "init",
}


def document(description: Description, folder: Path) -> dict[str, Any]:
    """A compose file's content. Files that the provider places are written below `folder`, which
    must be private.
    """
    loaders = [item for item in description.containers if not item.runs]
    placed = dict(_placed(loaders, folder))
    running = [item for item in description.containers if item.runs]
    used = {
        mount["source"]
        for item in running
        for mount in item.arguments.get("mounts") or ()
        if mount["type"] == "volume" and mount["source"] not in placed
    }
    return {
        "services": {
            item.name: _service(item, {other.name for other in running}, placed, folder)
            for item in running
        },
        "networks": {
            item["name"]: {
                "name": item["name"],
                "internal": bool(item.get("internal")),
                "driver_opts": item.get("options") or {},
            }
            for item in description.networks
        },
        "volumes": {name: {"name": name} for name in sorted(used)},
    }


def _placed(loaders: list[Container], folder: Path) -> Iterator[tuple[str, Path]]:
    """Volumes that hold files only, each with a folder of the same files."""
    for loader in loaders:
        uploads = loader.arguments.get("uploads") or ()
        for mount in loader.arguments.get("mounts") or ():
            place = folder / mount["source"]
            for item in uploads:
                if item["file"].startswith(f"{mount['target']}/"):
                    _write(place / item["file"].removeprefix(f"{mount['target']}/"), item)
            yield mount["source"], place


def _write(path: Path, item: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    private.write(path, item["content"])
    path.chmod(int(item.get("permissions") or "0644", 8))


def _service(
    item: Container, others: set[str], placed: Mapping[str, Path], folder: Path
) -> dict[str, Any]:
    arguments = item.arguments
    service = {
        theirs: arguments[ours] for ours, theirs in _SAME.items() if arguments.get(ours) is not None
    }
    # A dollar sign begins a variable in a compose file.
    for key in ("entrypoint", "command", "environment"):
        if key in service:
            service[key] = [str(part).replace("$", "$$") for part in service[key]]
    capabilities = arguments.get("capabilities") or {}
    service |= {
        "container_name": item.name,
        "cap_drop": capabilities.get("drops") or [],
        "cap_add": capabilities.get("adds") or [],
        "mem_limit": f"{int(arguments['memory'])}m",
        "memswap_limit": f"{int(arguments['memorySwap'])}m",
        "cpu_period": int(arguments["cpuPeriod"]),
        "cpu_quota": int(arguments["cpuQuota"]),
        "cpu_shares": int(arguments["cpuShares"]),
        "stop_grace_period": f"{int(arguments.get('destroyGraceSeconds') or 10)}s",
        "logging": {"driver": arguments["logDriver"], "options": arguments["logOpts"]},
        "networks": {
            joined["name"]: {"aliases": joined.get("aliases") or []}
            for joined in arguments.get("networksAdvanced") or ()
        },
        "ports": [
            f"{port['ip']}:{port['external']}:{port['internal']}"
            for port in arguments.get("ports") or ()
        ],
        "ulimits": {
            limit["name"]: {"soft": limit["soft"], "hard": limit["hard"]}
            for limit in arguments.get("ulimits") or ()
        },
        "tmpfs": [f"{path}:{how}" for path, how in (arguments.get("tmpfs") or {}).items()],
        "extra_hosts": [f"{host['host']}={host['ip']}" for host in arguments.get("hosts") or ()],
        "devices": [
            f"{device['hostPath']}:{device['containerPath']}:{device['permissions']}"
            for device in arguments.get("devices") or ()
        ],
        "depends_on": {
            name: {"condition": "service_healthy"} for name in item.after if name in others
        },
        "volumes": [*_mounts(arguments, placed), *_uploads(item, folder)],
    }
    if arguments.get("shmSize"):
        service["shm_size"] = f"{int(arguments['shmSize'])}m"
    if arguments.get("healthcheck"):
        check = arguments["healthcheck"]
        service["healthcheck"] = {
            "test": [str(part).replace("$", "$$") for part in check["tests"]],
            "interval": check["interval"],
            "timeout": check["timeout"],
            "retries": int(check["retries"]),
            "start_period": check["startPeriod"],
        }
        if check.get("startInterval", "0s") != "0s":
            service["healthcheck"]["start_interval"] = check["startInterval"]
    return {key: value for key, value in service.items() if value not in ([], {})}


def _mounts(arguments: Mapping[str, Any], placed: Mapping[str, Path]) -> Iterator[dict[str, Any]]:
    for mount in arguments.get("mounts") or ():
        source = mount["source"]
        bound = mount["type"] == "bind" or source in placed
        shown: dict[str, Any] = {
            "type": "bind" if bound else "volume",
            "source": str(placed.get(source, source)),
            "target": mount["target"],
            "read_only": bool(mount.get("readOnly")),
        }
        if options := mount.get("bindOptions"):
            shown["bind"] = {"propagation": options["propagation"]}
        yield shown


def _uploads(item: Container, folder: Path) -> Iterator[dict[str, Any]]:
    for number, upload in enumerate(item.arguments.get("uploads") or ()):
        path = folder / item.name / str(number)
        _write(path, upload)
        yield {"type": "bind", "source": str(path), "target": upload["file"], "read_only": True}
