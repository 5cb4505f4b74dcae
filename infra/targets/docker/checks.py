"""Checks against the host before the first resource is declared. Pure: facts in, problems out."""

from collections.abc import Iterator
from dataclasses import replace

from infra.identity import Identity
from infra.refusal import Violation
from infra.settings import Settings
from infra.spec import Image, Limits, Platform
from infra.targets import checks
from infra.targets.checks import Capacity
from infra.targets.docker.facts import HostFacts
from infra.targets.docker.naming import LEDGER_ROLE, networks_of
from infra.units import format_size

# The API of the first Docker that drops such packets, 28.
_ISOLATES_LOOPBACK = (1, 48)
# What the operating system, Docker and the deploy itself need beside the services.
HOST_RESERVE = 512 * 1024**2

_VERSION = "groundwork.version."


def check(platform: Platform, identity: Identity, facts: HostFacts) -> list[Violation]:
    """Every reason not to deploy to this host."""
    return [
        *facts.unsuitable,
        *checks.limits(platform, _capacity(facts)),
        *_disk(platform, identity, facts),
        *checks.port_clashes(platform),
        *_ports(platform, facts),
        *_address(facts),
        *_pools(platform, identity, facts),
        *_lost_state(identity, facts),
        *_ownership(platform, identity, facts),
        *_versions(platform, identity, facts),
        *_lost_volumes(platform, identity, facts),
        *_images(platform, facts),
        *_mounts(platform, facts),
    ]


def as_built(platform: Platform, facts: HostFacts) -> Platform:
    """The platform with the versions that its images actually contain, and with no more cores by
    default than the host has.
    """

    def true(image: Image) -> Image:
        return replace(image, version=facts.image_versions.get(image.reference, image.version))

    def fitting(limits: Limits) -> Limits:
        return replace(limits, cpus=min(limits.cpus, facts.cpus)) if limits.default_cpus else limits

    return replace(
        platform,
        services=tuple(
            replace(service, image=true(service.image), limits=fitting(service.limits))
            for service in platform.services
        ),
    )


def _capacity(facts: HostFacts) -> Capacity:
    return Capacity(
        memory=facts.memory,
        cpus=facts.cpus,
        total=facts.memory - HOST_RESERVE,
        one="the host",
        all=f"the host (its memory less {format_size(HOST_RESERVE)})",
        more="use a larger host",
    )


def notes(settings: Settings, platform: Platform, facts: HostFacts) -> list[str]:
    """Notes about the host for the summary."""
    return [*_old_engine(settings, facts), *_few_files(platform, facts)]


def _few_files(platform: Platform, facts: HostFacts) -> Iterator[str]:
    for service in platform.services:
        if (
            service.open_files is not None
            and facts.open_files is not None
            and facts.open_files < service.open_files
        ):
            yield (
                f"{service.name} needs {service.open_files} open files, but this host's engine"
                f" allows {facts.open_files}: raise LimitNOFILE of the Docker service to serve all"
                " configured clients."
            )


def _old_engine(settings: Settings, facts: HostFacts) -> list[str]:
    if facts.api and facts.api < _ISOLATES_LOOPBACK and settings.bind_address == "127.0.0.1":
        return [
            f"Docker {facts.engine} lets neighbours on the same network segment reach ports"
            " published on loopback; 28 and newer do not (docs.docker.com, port publishing). Use"
            " this host only on networks you trust."
        ]
    return []


def _disk(platform: Platform, identity: Identity, facts: HostFacts) -> Iterator[Violation]:
    wanted = [
        (service, sum(volume.size for volume in service.volumes))
        for service in platform.services
        if service.volumes
    ]
    if facts.disk_total is None or facts.disk_free is None or not wanted:
        return
    fresh = sum(
        disk
        for service, disk in wanted
        if any(identity.name(volume.name) not in facts.volumes for volume in service.volumes)
    )
    largest = max(wanted, key=lambda pair: pair[1])[0]
    for total, room, what in (
        (sum(disk for _, disk in wanted), facts.disk_total, "in total"),
        (fresh, facts.disk_free, "free"),
    ):
        if total > room:
            yield Violation(
                key=f"{largest.settings_key}.disk",
                reason=(
                    f"the volumes may take {format_size(total)}; Docker's disk has"
                    f" {format_size(room)} {what}"
                ),
                fix="lower the `disk` of services, or move Docker's data to a larger disk",
            )
            return


def _ports(platform: Platform, facts: HostFacts) -> Iterator[Violation]:
    for service, port, number in checks.published(platform):
        if number in facts.taken_ports and number not in facts.own_ports:
            yield Violation(
                key=f"{service.settings_key} (port {number}, {port.name})",
                reason=f"port {number} is in use by {facts.taken_ports[number]}",
                fix="stop it, set another port, or shift all ports with groundwork:portOffset",
            )


def _address(facts: HostFacts) -> Iterator[Violation]:
    if facts.foreign_address is not None:
        yield Violation(
            key="groundwork:bindAddress",
            reason=(
                f"{facts.foreign_address} is not an address of this host, so no port could be"
                " published on it"
            ),
            fix="use 127.0.0.1 or an address of this host (`ip -4 address`)",
        )


def _pools(platform: Platform, identity: Identity, facts: HostFacts) -> Iterator[Violation]:
    """Docker gives each network its own address range, and has a limited number of ranges (31 by
    default).
    """
    if facts.network_room is None:
        return
    missing = [name for name in networks_of(platform) if identity.name(name) not in facts.networks]
    if len(missing) > facts.network_room:
        yield Violation(
            key="Docker's address pools",
            reason=(
                f"the stack needs {len(missing)} more networks, but the engine has address ranges"
                f" for only {facts.network_room}"
            ),
            fix=(
                "remove unused networks (`docker network prune`), or add address ranges:"
                " default-address-pools in /etc/docker/daemon.json"
            ),
        )


def _lost_state(identity: Identity, facts: HostFacts) -> Iterator[Violation]:
    """Containers of this stack that its state, which records no resource, cannot know: their names
    would be taken.
    """
    own = sorted(name for name, labels in facts.containers.items() if identity.owns(labels))
    if facts.recorded.nothing and own:
        yield Violation(
            key=f"containers of {identity.name('')}*",
            reason=(
                f"{len(own)} of them exist, but this stack's state records none: it was lost, or"
                " another clone deployed them"
            ),
            fix=(
                f"run `make up STACK={identity.stack}`, which removes them, keeps every volume,"
                " and deploys; or restore the state"
            ),
        )


def _ownership(platform: Platform, identity: Identity, facts: HostFacts) -> Iterator[Violation]:
    volumes = [volume.name for service in platform.services for volume in service.volumes]
    containers = [
        name
        for service in platform.services
        for name in (service.name, *(helper.name for helper in service.helpers))
    ]
    for kind, parts, existing in (
        ("volume", volumes, facts.volumes),
        ("container", containers, facts.containers),
    ):
        for part in parts:
            name = identity.name(part)
            labels = existing.get(name)
            if labels is None or identity.owns(labels):
                continue
            if identity.same_stack(labels):
                yield Violation(
                    key="groundwork:masterSecret",
                    reason=(
                        f"{kind} {name} was created with another master secret, so this stack's"
                        " passwords do not open it"
                    ),
                    fix=(
                        "restore the previous master secret, or delete this stack's data with"
                        " `make purge`"
                    ),
                )
            else:
                yield Violation(
                    key=f"{kind} {name}",
                    reason="it belongs to another project, stack or instance",
                    fix=(
                        "set another groundwork:instance, or remove it yourself if it is no"
                        " longer needed"
                    ),
                )


def _versions(platform: Platform, identity: Identity, facts: HostFacts) -> Iterator[Violation]:
    opened = checks.newest(_records(identity, facts))
    for service in platform.services:
        before = opened.get(service.name)
        if before is None or not any(
            identity.name(volume.name) in facts.volumes for volume in service.volumes
        ):
            continue
        volume = identity.name(service.volumes[0].name)
        yield from checks.version_problems(service, before, volume, facts.consent)


def _lost_volumes(platform: Platform, identity: Identity, facts: HostFacts) -> Iterator[Violation]:
    opened = checks.newest(_records(identity, facts))
    for service in platform.services:
        names = {identity.name(volume.name) for volume in service.volumes}
        missing = names - facts.volumes.keys()
        if service.name in facts.consent.empty or not missing:
            continue
        # A later version may give a service one more volume.
        if service.name in opened and missing == names:
            why = f"{service.name} {opened[service.name]} keeps its data there"
            yield from checks.lost_volumes(service, missing, why)
        else:
            why = "the stack's state records it"
            yield from checks.lost_volumes(service, missing & facts.recorded.volumes, why)


def _records(identity: Identity, facts: HostFacts) -> Iterator[dict[str, str]]:
    """Service to version: each ledger of this stack, and what is healthy, which has opened its data
    although the deploy has not ended in a ledger.
    """
    for labels in facts.volumes.values():
        if labels.get("groundwork.role") == LEDGER_ROLE and identity.same_stack(labels):
            yield {
                key.removeprefix(_VERSION): version
                for key, version in labels.items()
                if key.startswith(_VERSION)
            }
    for name in facts.healthy:
        labels = facts.containers[name]
        known = {"groundwork.service", "groundwork.version"} <= labels.keys()
        if known and identity.same_stack(labels):
            yield {labels["groundwork.service"]: labels["groundwork.version"]}


def _images(platform: Platform, facts: HostFacts) -> Iterator[Violation]:
    for reference, (service, image) in platform.images.items():
        if reference not in facts.missing_images:
            continue
        yield Violation(
            key=f"groundwork:images ({service})",
            reason=f"the image {reference} is not available: {facts.missing_images[reference]}",
            fix=(
                "run `make up`, which builds it"
                if image.built
                else (
                    "check the registry's name and the network, or set groundwork:images to"
                    " packages or a mirror"
                )
            ),
        )


def _mounts(platform: Platform, facts: HostFacts) -> Iterator[Violation]:
    for service in platform.services:
        if "/" in service.binds and facts.root_shared is False:
            yield Violation(
                key=f"{service.settings_key}.enabled",
                reason=(
                    "it reads the host's file systems, which Docker can expose only if `/` is a"
                    " shared mount; here it is not"
                ),
                fix=(
                    "as root: mount --make-rshared / (systemd does it at boot), or disable this"
                    " exporter"
                ),
            )
