"""Checks shared by both targets: limits against capacity, ports, and versions against the version
record. Pure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from infra.consent import Consent
from infra.refusal import Violation
from infra.spec import Platform, Port, Service
from infra.units import MIB, format_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """A target's capacity: `memory` (bytes) and cores for `one` service, `total` bytes for `all`
    of them.

    `one` and `all` say in words what provides it, `more` is the advice when it is too little.
    """

    memory: int
    cpus: float
    total: int
    one: str
    all: str
    more: str


def limits(platform: Platform, capacity: Capacity) -> Iterator[Violation]:
    """Limits that the target cannot provide to one service, or to all of them together."""
    for service in platform.services:
        if service.limits.memory > capacity.memory:
            yield Violation(
                key=f"{service.settings_key}.memory",
                reason=(
                    f"{format_size(service.limits.memory)} is more than {capacity.one} has"
                    f" ({_about(capacity.memory)})"
                ),
                fix=f"lower it, or {capacity.more}",
            )
        if service.limits.cpus > capacity.cpus:
            yield Violation(
                key=f"{service.settings_key}.cpus",
                reason=(
                    f"{service.limits.cpus:g} cores are more than {capacity.one} has"
                    f" ({capacity.cpus:g})"
                ),
                fix=f"set at most {capacity.cpus:g}",
            )
    wanted = {service.name: service.memory * service.replicas for service in platform.services}
    total = sum(wanted.values())
    if total > capacity.total and all(
        service.limits.memory <= capacity.memory for service in platform.services
    ):
        greediest = max(platform.services, key=lambda service: wanted[service.name])
        yield Violation(
            key=f"{greediest.settings_key}.memory",
            reason=(
                f"the limits add up to {format_size(total)}; {capacity.all} can provide"
                f" {_about(capacity.total)}"
            ),
            fix=(
                f"lower the largest limits, disable services (`enabled: false`), or {capacity.more}"
            ),
        )


def _about(size: int) -> str:
    """Bytes in whole MiB: nodes name theirs to the KiB."""
    return format_size(size // MIB * MIB)


def port_clashes(platform: Platform) -> Iterator[Violation]:
    """Ports out of range, and ports assigned twice. On Kubernetes `make forward` opens them on this
    machine.
    """
    seen: dict[int, str] = {}
    for service, port, number in published(platform):
        key = f"{service.settings_key} (port {number}, {port.name})"
        if number > 65535:
            yield Violation(
                key=key,
                reason="the port is above 65535",
                fix="lower groundwork:portOffset or the port",
            )
        elif number in seen:
            yield Violation(
                key=key,
                reason=f"port {number} is already assigned to {seen[number]}",
                fix="give one of them another port",
            )
        seen.setdefault(number, f"{service.name} ({port.name})")


def published(platform: Platform) -> Iterator[tuple[Service, Port, int]]:
    """(service, port, number on the host) of every published port."""
    for service in platform.services:
        for port in service.ports:
            if port.host is not None:
                yield service, port, port.host


def version_tuple(version: str) -> tuple[int, ...]:
    """`8.10.2` as (8, 10, 2), up to the first part that is not a number."""
    numbers = []
    for part in version.lstrip("v").split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def ledger(platform: Platform) -> dict[str, str]:
    """The version of each service that keeps data, which has opened its volumes."""
    return {service.name: service.image.version for service in platform.services if service.volumes}


def newest(records: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The newest version of each service in several records."""
    found: dict[str, str] = {}
    for record in records:
        for name, version in record.items():
            if version_tuple(version) > version_tuple(found.get(name, "0")):
                found[name] = version
    return found


def lost_volumes(service: Service, missing: Collection[str], why: str) -> Iterator[Violation]:
    """The violation for volumes that held data and are `missing`."""
    if not missing:
        return
    yield Violation(
        key=f"{service.settings_key} (volume {', '.join(sorted(missing))})",
        reason=f"{why}, but it no longer exists: {service.name} would start empty",
        fix=(
            "bring it back (is the disk mounted?); or accept the loss by name, `make up"
            f" EMPTY={service.name}`, and restore the backup, `make restore ONLY={service.name}`"
        ),
    )


def version_problems(
    service: Service, before: str, volume: str, consent: Consent
) -> Iterator[Violation]:
    """Reasons why a service's version cannot open a volume that the version `before` has opened."""
    had, wanted = version_tuple(before), version_tuple(service.image.version)
    if service.kind == "postgres" and had[:1] != wanted[:1]:
        if service.name in consent.majors:
            return
        yield Violation(
            key="groundwork:images",
            reason=(
                f"the volume {volume} holds a Postgres {had[0]} data directory; this deploy would"
                f" run Postgres {wanted[0]}"
            ),
            fix="`make upgrade-postgres` moves the data; or keep the previous image source",
        )
    elif service.kind == "qdrant" and wanted[:2] > (*had[:1], had[1] + 1):
        yield Violation(
            key="groundwork:images",
            reason=(
                f"{before} has opened the volume {volume}, and this deploy would run"
                f" {service.image.version}: Qdrant migrates its data by one minor version at a time"
                " (qdrant.tech, upgrades)"
            ),
            fix=(
                "deploy a version of Groundwork for each minor version between them; or restore a"
                " backup into another stack"
            ),
        )
    elif wanted < had:
        yield Violation(
            key="groundwork:images",
            reason=(
                f"{service.name} {service.image.version} is older than {before}, which has already"
                " opened its volume"
            ),
            fix=(
                "keep the previous image source; a store cannot read data that a newer version"
                " has written"
            ),
        )
