"""What is checked against the host before the first resource is declared. Pure: facts in, problems out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from infra.identity import Identity
from infra.refusal import Problem
from infra.settings import Settings
from infra.spec import Image, Platform, Port, Service
from infra.units import format_size

LEDGER_ROLE, FILES_ROLE = "ledger", "files"
"""What a container or volume is for that serves nobody, in its labels."""
PUBLISHED, OUTBOUND = "published", "outbound"
# The first major version of Docker that drops such packets.
_ISOLATES_LOOPBACK = (28,)
# What the operating system, Docker and the deploy itself need beside the services.
HOST_RESERVE = 512 * 1024**2


ENGINE_ROOT = "/var/lib/docker"


def below_engine(path: str, root: str) -> str:
    """A path below the engine's usual folder, where that is another one on a host."""
    return path.replace(ENGINE_ROOT, root, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What the Docker host says of itself. Sizes are bytes.

    `foreign_address` is the bind address where it is not one of the host's, `network_room` how many more networks the
    engine has address ranges for, `nothing_recorded` whether the state is known to record no resource,
    and `open_files` how many descriptors the engine may give to a container; `image_versions` is what images built here
    hold, by reference, which differs from what is pinned where Debian has replaced a version;
    `absent` are folders to be shown to containers that an engine of its kind does not have.
    """

    memory: int
    cpus: int
    engine: str = ""
    root_shared: bool | None = None
    engine_root: str = ENGINE_ROOT
    disk_total: int | None = None
    disk_free: int | None = None
    volumes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    containers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    own_ports: frozenset[int] = frozenset()
    taken_ports: Mapping[int, str] = field(default_factory=dict)
    foreign_address: str | None = None
    nothing_recorded: bool = False
    open_files: int | None = None
    absent: frozenset[str] = frozenset()
    network_room: int | None = None
    image_ids: Mapping[str, str] = field(default_factory=dict)
    image_versions: Mapping[str, str] = field(default_factory=dict)
    missing_images: Mapping[str, str] = field(default_factory=dict)


def check(platform: Platform, identity: Identity, facts: HostFacts) -> list[Problem]:
    """Every reason not to deploy that the host gives."""
    return [
        *_memory(platform, facts),
        *_cpus(platform, facts),
        *_disk(platform, identity, facts),
        *port_clashes(platform),
        *_ports(platform, facts),
        *_address(facts),
        *_pools(platform, identity, facts),
        *_lost_state(identity, facts),
        *_ownership(platform, identity, facts),
        *_versions(platform, identity, facts),
        *_images(platform, facts),
        *_mounts(platform, facts),
    ]


def as_built(platform: Platform, facts: HostFacts) -> Platform:
    """The platform with the versions that its images really hold."""

    def true(image: Image) -> Image:
        return replace(image, version=facts.image_versions.get(image.reference, image.version))

    return replace(platform, services=tuple(replace(service, image=true(service.image)) for service in platform.services))


def notes(settings: Settings, platform: Platform, facts: HostFacts) -> list[str]:
    """What a person should know about the host."""
    return [*_old_engine(settings, facts), *_few_files(platform, facts)]


def _few_files(platform: Platform, facts: HostFacts) -> Iterator[str]:
    for service in platform.services:
        if service.open_files is not None and facts.open_files is not None and facts.open_files < service.open_files:
            yield (
                f"{service.name} wants {service.open_files} open files, and this host's engine may give {facts.open_files}: "
                "raise LimitNOFILE of the Docker service for as many clients as are configured."
            )


def _old_engine(settings: Settings, facts: HostFacts) -> list[str]:
    major = version_tuple(facts.engine)[:1]
    if major and major < _ISOLATES_LOOPBACK and settings.bind_address == "127.0.0.1":
        return [
            f"Docker {facts.engine} lets neighbours on the same network segment reach ports published on loopback; "
            "28 and newer do not (docs.docker.com, port publishing). Use this host on networks that you trust."
        ]
    return []


def _memory(platform: Platform, facts: HostFacts) -> Iterator[Problem]:
    for service in platform.services:
        if service.limits.memory > facts.memory:
            yield Problem(
                key=f"{service.settings_key}.memory",
                reason=f"{format_size(service.limits.memory)} is more than the host has ({format_size(facts.memory)})",
                fix="lower it, or use a larger host",
            )
    total = sum(service.limits.memory for service in platform.services)
    room = facts.memory - HOST_RESERVE
    if total > room and all(service.limits.memory <= facts.memory for service in platform.services):
        largest = max(platform.services, key=lambda service: service.limits.memory)
        yield Problem(
            key=f"{largest.settings_key}.memory",
            reason=f"all limits together are {format_size(total)}; the host can give {format_size(room)} (its memory less {format_size(HOST_RESERVE)})",
            fix="lower the largest limits, or turn services off (`enabled: false`)",
        )


def _cpus(platform: Platform, facts: HostFacts) -> Iterator[Problem]:
    for service in platform.services:
        if service.limits.cpus > facts.cpus:
            yield Problem(
                key=f"{service.settings_key}.cpus",
                reason=f"{service.limits.cpus:g} cores are more than the host has ({facts.cpus})",
                fix=f"set at most {facts.cpus}",
            )


def _disk(platform: Platform, identity: Identity, facts: HostFacts) -> Iterator[Problem]:
    wanted = [(service, sum(volume.size for volume in service.volumes)) for service in platform.services if service.volumes]
    if facts.disk_total is None or facts.disk_free is None or not wanted:
        return
    fresh = sum(disk for service, disk in wanted if any(identity.name(volume.name) not in facts.volumes for volume in service.volumes))
    largest = max(wanted, key=lambda pair: pair[1])[0]
    for total, room, what in (
        (sum(disk for _, disk in wanted), facts.disk_total, "has in all"),
        (fresh, facts.disk_free, "has free"),
    ):
        if total > room:
            yield Problem(
                key=f"{largest.settings_key}.disk",
                reason=f"the volumes may take {format_size(total)}; the disk under Docker {what} {format_size(room)}",
                fix="lower the `disk` of services, or move Docker's data to a larger disk",
            )
            return


def port_clashes(platform: Platform) -> Iterator[Problem]:
    """Ports beyond what there is, and ports given twice. On Kubernetes `make forward` opens them on this machine."""
    seen: dict[int, str] = {}
    for service, port, number in _published(platform):
        key = f"{service.settings_key} (port {number}, {port.name})"
        if number > 65535:
            yield Problem(key=key, reason="the port is beyond 65535", fix="lower groundwork:portOffset or the port")
        elif number in seen:
            yield Problem(key=key, reason=f"port {number} is already given to {seen[number]}", fix="give one of them another port")
        seen.setdefault(number, f"{service.name} ({port.name})")


def _published(platform: Platform) -> Iterator[tuple[Service, Port, int]]:
    for service in platform.services:
        for port in service.ports:
            if port.host is not None:
                yield service, port, port.host


def _ports(platform: Platform, facts: HostFacts) -> Iterator[Problem]:
    for service, port, number in _published(platform):
        if number in facts.taken_ports and number not in facts.own_ports:
            yield Problem(
                key=f"{service.settings_key} (port {number}, {port.name})",
                reason=f"port {number} is held by {facts.taken_ports[number]}",
                fix="stop that, set another port, or shift all ports with groundwork:portOffset",
            )


def _address(facts: HostFacts) -> Iterator[Problem]:
    if facts.foreign_address is not None:
        yield Problem(
            key="groundwork:bindAddress",
            reason=f"{facts.foreign_address} is not an address of this host, so no port could be published on it",
            fix="write 127.0.0.1, or one of this host (`ip -4 address`)",
        )


def _pools(platform: Platform, identity: Identity, facts: HostFacts) -> Iterator[Problem]:
    """Docker gives each network a range of its own, and its ranges come to an end (31 by default)."""
    if facts.network_room is None:
        return
    missing = [name for name in networks_of(platform) if identity.name(name) not in facts.networks]
    if len(missing) > facts.network_room:
        yield Problem(
            key="Docker's address pools",
            reason=f"the stack needs {len(missing)} more networks, and the engine has addresses for {facts.network_room}",
            fix="remove networks that nobody uses (`docker network prune`), or give the engine more: default-address-pools in /etc/docker/daemon.json",
        )


def networks_of(platform: Platform) -> list[str]:
    """Every network of a platform on a Docker host, the ordinary ones included."""
    return sorted({*platform.networks, *filter(None, map(ordinary_network, platform.services))})


def ordinary_network(service: Service) -> str | None:
    """The network that is not internal and that a service joins, if any: one with a way out also publishes."""
    if service.reaches_out:
        return OUTBOUND
    return PUBLISHED if any(port.host is not None for port in service.ports) else None


def _lost_state(identity: Identity, facts: HostFacts) -> Iterator[Problem]:
    """Containers of this very stack that a state without any resource cannot know: each would be a name that is taken."""
    own = sorted(name for name, labels in facts.containers.items() if identity.owns(labels))
    if facts.nothing_recorded and own:
        yield Problem(
            key=f"containers of {identity.name('')}*",
            reason=f"{len(own)} of them run, and the state of this stack records none: it was lost, or another clone deployed them",
            fix=f"run `make up STACK={identity.stack}`, which removes them, keeps every volume, and deploys; or put the state back",
        )


def _ownership(platform: Platform, identity: Identity, facts: HostFacts) -> Iterator[Problem]:
    volumes = [volume.name for service in platform.services for volume in service.volumes]
    containers = [name for service in platform.services for name in (service.name, *(job.name for job in service.jobs))]
    for kind, parts, existing in (("volume", volumes, facts.volumes), ("container", containers, facts.containers)):
        for part in parts:
            name = identity.name(part)
            labels = existing.get(name)
            if labels is None or identity.owns(labels):
                continue
            if identity.same_stack(labels):
                yield Problem(
                    key="groundwork:masterSecret",
                    reason=f"{kind} {name} was made with another master secret, so its passwords do not open it",
                    fix="put the former master secret back, or delete this stack's data with `make purge`",
                )
            else:
                yield Problem(
                    key=f"{kind} {name}",
                    reason="it belongs to another project, stack or instance",
                    fix="set another groundwork:instance, or remove it yourself if nobody needs it",
                )


def version_tuple(version: str) -> tuple[int, ...]:
    """`8.10.2` as (8, 10, 2). Parts that are no numbers end it."""
    numbers = []
    for part in version.lstrip("v").split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def ledger(platform: Platform) -> dict[str, str]:
    """Service to version, for all that keep data: what has opened the volumes."""
    return {service.name: service.image.version for service in platform.services if service.volumes}


def _versions(platform: Platform, identity: Identity, facts: HostFacts) -> Iterator[Problem]:
    opened = _opened(identity, facts.volumes.values())
    for service in platform.services:
        before = opened.get(service.name)
        if before is None or not any(identity.name(volume.name) in facts.volumes for volume in service.volumes):
            continue
        yield from version_problems(service, before, identity.name(service.volumes[0].name))


def version_problems(service: Service, before: str, volume: str) -> Iterator[Problem]:
    """Why a service's version cannot open a volume that the version `before` has opened."""
    had, wanted = version_tuple(before), version_tuple(service.image.version)
    if service.kind == "postgres" and had[:1] != wanted[:1]:
        yield Problem(
            key="groundwork:images",
            reason=f"the volume {volume} holds a Postgres {had[0]} data directory; this deploy brings Postgres {wanted[0]}",
            fix="keep the former image source, or dump with the old major version and restore into a new volume",
        )
    elif wanted < had:
        yield Problem(
            key="groundwork:images",
            reason=f"{service.name} {service.image.version} is older than {before}, which has already opened its volume",
            fix="keep the former image source; stores do not read what a newer version has written",
        )


def _opened(identity: Identity, volumes: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The newest version of each service that any ledger of this stack names."""
    newest: dict[str, str] = {}
    prefix = "groundwork.version."
    for labels in volumes:
        if labels.get("groundwork.role") != LEDGER_ROLE or not identity.same_stack(labels):
            continue
        for key, version in labels.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and version_tuple(version) > version_tuple(newest.get(name, "0")):
                newest[name] = version
    return newest


def _images(platform: Platform, facts: HostFacts) -> Iterator[Problem]:
    for reference in dict.fromkeys(service.image.reference for service in platform.services):
        if reference not in facts.missing_images:
            continue
        service = next(item for item in platform.services if item.image.reference == reference)
        yield Problem(
            key=f"groundwork:images ({service.name})",
            reason=f"the image {reference} cannot be had: {facts.missing_images[reference]}",
            fix="run `make up`, which builds it"
            if service.image.built
            else "check the registry's name and network, or set groundwork:images to packages or a mirror",
        )


def _mounts(platform: Platform, facts: HostFacts) -> Iterator[Problem]:
    for service in platform.services:
        if "/" in service.binds and facts.root_shared is False:
            yield Problem(
                key=f"{service.settings_key}.enabled",
                reason="it looks at the host's file systems, and Docker can show them only if `/` is a shared mount, which it is not here",
                fix="as root: mount --make-rshared / (systemd does it at boot), or turn this exporter off",
            )
