"""Reads facts from the Docker engine. It changes nothing."""

import errno
import ipaddress
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.images import Image as LocalImage
from requests import RequestException

from infra.backend import Recorded
from infra.consent import Consent
from infra.identity import PREFIX, Identity
from infra.images import VERSION_LABEL
from infra.refusal import PreflightError, Violation
from infra.spec import Image, Platform
from infra.targets.docker import engine_checks, engine_files
from infra.targets.docker.engine_files import EngineFiles
from infra.targets.docker.naming import FILES_ROLE, FILLED, FILLED_MARK

_LOOKUP_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Facts about a Docker host. Sizes are bytes.

    `foreign_address` is the bind address if it is not one of the host's, `network_room` how many
    more networks the engine has address ranges for, `recorded` what the state is known to record,
    `consent` what is allowed this time, and `open_files` how many descriptors the engine may grant
    a container; `filled` is the label of the container that places files, if it has placed them
    all; `image_versions` are the versions inside images built here, by reference, which differ from
    the pinned ones if Debian has replaced a version; `files` says where the engine's own files
    are, and `unsuitable` why this engine cannot be used.
    """

    memory: int
    cpus: int
    engine: str = ""
    api: tuple[int, ...] = ()
    unsuitable: tuple[Violation, ...] = ()
    root_shared: bool | None = None
    files: EngineFiles = field(default_factory=EngineFiles)
    disk_total: int | None = None
    disk_free: int | None = None
    volumes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    containers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    healthy: frozenset[str] = frozenset()
    networks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    own_ports: frozenset[int] = frozenset()
    taken_ports: Mapping[int, str] = field(default_factory=dict)
    foreign_address: str | None = None
    recorded: Recorded = field(default_factory=Recorded)
    consent: Consent = field(default_factory=Consent)
    open_files: int | None = None
    network_room: int | None = None
    filled: str | None = None
    image_ids: Mapping[str, str] = field(default_factory=dict)
    image_versions: Mapping[str, str] = field(default_factory=dict)
    missing_images: Mapping[str, str] = field(default_factory=dict)


def connect() -> docker.DockerClient:
    """A client of the engine at DOCKER_HOST or the default socket. Raises PreflightError if none
    answers.
    """
    if os.environ.get("DOCKER_CONTEXT", "default") != "default":
        reason = (
            "Pulumi's provider follows it but the checks do not, so they would look at another"
            " engine"
        )
        raise PreflightError(
            [
                Violation(
                    key="DOCKER_CONTEXT",
                    reason=reason,
                    fix="unset it, and set DOCKER_HOST to the engine instead",
                )
            ]
        )
    try:
        client = docker.from_env(timeout=_LOOKUP_SECONDS)
        client.ping()
    except DockerException as error:
        raise PreflightError([unreachable(error)]) from None
    return client


def unreachable(error: Exception) -> Violation:
    """The violation for an engine that does not answer."""
    if "Permission denied" in str(error):
        return Violation(
            key="DOCKER_HOST",
            reason="a Docker engine is there, but you may not use its socket (permission denied)",
            fix=(
                "join the group that owns it (`sudo usermod -aG docker $USER`, then log in again),"
                " or run this as root; members of that group are as powerful as root"
            ),
        )
    return Violation(
        key="DOCKER_HOST",
        reason=f"no Docker engine answers ({_last_words(error)})",
        fix=(
            "start it (`systemctl start docker`, or `make up`, which installs and starts one on"
            " Debian and Ubuntu)"
        ),
    )


def read_facts(
    platform: Platform,
    identity: Identity,
    bind_address: str,
    *,
    recorded: Recorded,
    consent: Consent,
) -> HostFacts:
    """Everything that the checks ask about. Raises PreflightError if the engine does not answer."""
    client = connect()
    try:
        info: dict[str, Any] = client.info()
        version: dict[str, Any] = client.version()
        containers: list[dict[str, Any]] = client.api.containers(all=True)
        volumes = client.api.volumes()["Volumes"] or []
        networks = client.api.networks()
        images = _images(client, platform)
        filled = _filled(client, identity.name(FILES_ROLE), containers)
    except (DockerException, OSError) as error:
        raise PreflightError([unreachable(error)]) from None
    finally:
        client.close()
    local = _is_local(client)
    total, free = _disk(info) if local else (None, None)
    own, taken = _ports(containers, identity, platform, local=local)
    return HostFacts(
        memory=info["MemTotal"],
        cpus=info["NCPU"],
        engine=str(info.get("ServerVersion", "")),
        api=engine_checks.api(version),
        unsuitable=tuple(engine_checks.check(version, info)),
        files=engine_files.read(info),
        root_shared=_root_shared() if local and _sees_files(info) else None,
        disk_total=total,
        disk_free=free,
        volumes={item["Name"]: item.get("Labels") or {} for item in volumes},
        containers={
            item["Names"][0].lstrip("/"): item.get("Labels") or {}
            for item in containers
            if item.get("Names")
        },
        healthy=frozenset(
            item["Names"][0].lstrip("/")
            for item in containers
            if item.get("Names") and "(healthy)" in str(item.get("Status"))
        ),
        networks={item["Name"]: item.get("Labels") or {} for item in networks},
        foreign_address=bind_address if local and not _own(bind_address) else None,
        recorded=recorded,
        consent=consent,
        open_files=_open_files() if local else None,
        network_room=_network_room(info, networks),
        filled=filled,
        own_ports=frozenset(own),
        taken_ports=taken,
        image_ids=images.ids,
        image_versions=images.versions,
        missing_images=images.missing,
    )


@dataclass(frozen=True, slots=True)
class _Images:
    ids: Mapping[str, str]
    versions: Mapping[str, str]
    missing: Mapping[str, str]


def _images(client: docker.DockerClient, platform: Platform) -> _Images:
    wanted = {reference: image for reference, (_, image) in platform.images.items()}
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(lambda image: _find(client, image), wanted.values()))
    found = {
        reference: answer
        for reference, answer in zip(wanted, answers, strict=True)
        if answer is not None
    }
    present = {
        reference: answer for reference, answer in found.items() if not isinstance(answer, str)
    }
    return _Images(
        ids={reference: str(image.id) for reference, image in present.items()},
        versions={
            reference: image.labels[VERSION_LABEL]
            for reference, image in present.items()
            if wanted[reference].built and VERSION_LABEL in image.labels
        },
        missing={
            reference: answer for reference, answer in found.items() if isinstance(answer, str)
        },
    )


def _find(client: docker.DockerClient, image: Image) -> LocalImage | str | None:
    """The image on this host, the reason why it is not available, or None if it can be pulled."""
    try:
        return client.images.get(image.reference)
    except ImageNotFound:
        pass
    if image.built:
        return "it has not been built on this host"
    try:
        client.api.inspect_distribution(image.reference)  # type: ignore[no-untyped-call]
    except (APIError, NotFound, RequestException) as error:
        return _last_words(error)
    return None


def _filled(
    client: docker.DockerClient, loader: str, containers: Iterable[Mapping[str, Any]]
) -> str | None:
    labels = next(
        (item.get("Labels") or {} for item in containers if f"/{loader}" in (item["Names"] or ())),
        {},
    )
    mark = labels.get(f"{PREFIX}{FILLED}")
    if mark is None:
        return None
    try:
        content, _ = client.api.get_archive(loader, FILLED_MARK)
    except NotFound:
        return None
    for _ in content:
        pass  # to the end, or the connection stays open
    return str(mark)


def _disk(info: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(total, free) bytes under Docker's data, unknown for an engine on another machine."""
    try:
        usage = shutil.disk_usage(info["DockerRootDir"])
    except OSError:
        return None, None
    return usage.total, usage.free


def _sees_files(info: Mapping[str, Any]) -> bool:
    """True if this process sees the engine's file systems; one in a container or a chroot may have
    its socket only.
    """
    try:
        return Path(info["DockerRootDir"]).exists()
    except OSError:
        return False


def _root_shared() -> bool | None:
    """True if `/` is a shared mount (proc(5), mountinfo: optional fields stand before
    the hyphen).
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    roots = [line.partition(" - ")[0].split() for line in lines]
    return any(
        field.startswith("shared:") for parts in roots if parts[4] == "/" for field in parts[6:]
    )


def _is_local(client: docker.DockerClient) -> bool:
    return str(client.api.base_url).startswith(
        ("http+docker://localhost", "http+docker://localunixsocket", "http+unix")
    )


def _ports(
    containers: Iterable[Mapping[str, Any]], identity: Identity, platform: Platform, *, local: bool
) -> tuple[set[int], dict[int, str]]:
    own: set[int] = set()
    taken: dict[int, str] = {}
    for container in containers:
        for port in container.get("Ports") or ():
            if "PublicPort" not in port:
                continue
            if identity.same_stack(container.get("Labels") or {}):
                own.add(port["PublicPort"])
            else:
                taken[port["PublicPort"]] = f"the container {container['Names'][0].lstrip('/')}"
    if local:
        for port in _wanted_ports(platform):
            if port not in own and port not in taken and _bound(port):
                taken[port] = "another process on this host"
    return own, taken


def _open_files() -> int | None:
    """The engine's own hard limit of descriptors, which it can pass on but not exceed; None if
    unknown.
    """
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().strip() != "dockerd":
                continue
            row = next(
                line
                for line in (folder / "limits").read_text().splitlines()
                if line.startswith("Max open files")
            )
        except (OSError, StopIteration):
            continue
        hard = row.split()[4]
        return int(hard) if hard.isdigit() else None
    return None


def _own(address: str) -> bool:
    """True if a socket of this host can have the address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True


# The engine's own (libnetwork's ipamutils): 172.17.0.0/16 to 172.31.0.0/16, and 192.168.0.0/16 in
# ranges of /20.
_POOLS: list[dict[str, Any]] = [
    {"Base": f"172.{second}.0.0/16", "Size": 16} for second in range(17, 32)
] + [{"Base": "192.168.0.0/16", "Size": 20}]


def _network_room(info: Mapping[str, Any], networks: Iterable[Mapping[str, Any]]) -> int:
    """The number of networks that still fit: address ranges that no network overlaps."""
    taken = [
        ipaddress.ip_network(part["Subnet"])
        for network in networks
        for part in (network.get("IPAM") or {}).get("Config") or ()
        if part.get("Subnet") and ":" not in part["Subnet"]
    ]
    free = 0
    for pool in info.get("DefaultAddressPools") or _POOLS:
        base = ipaddress.ip_network(pool["Base"])
        if base.version != 4:
            continue
        inside = [network for network in taken if network.overlaps(base)]
        ranges = 2 ** (pool["Size"] - base.prefixlen)
        size = 2 ** (32 - pool["Size"])
        used = sum(-(-min(network.num_addresses, base.num_addresses) // size) for network in inside)
        free += max(0, ranges - used)
    return free


def _wanted_ports(platform: Platform) -> Iterator[int]:
    for service in platform.services:
        for port in service.ports:
            if port.host is not None and port.host <= 65535:
                yield port.host


def _bound(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Docker's own proxy does, so that a connection in TIME_WAIT is not taken for a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - only asks whether it could
        except OSError as error:
            # Anything else, such as a port that only root may take, says nothing of others.
            return error.errno == errno.EADDRINUSE
    return False


def _last_words(error: Exception) -> str:
    text = getattr(error, "explanation", None) or str(error)
    return str(text).strip().splitlines()[-1][:200] if str(text).strip() else type(error).__name__
