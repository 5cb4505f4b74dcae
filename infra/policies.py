"""Policies: what a stack must hold to, unless its file says why not. Pure.

Each has a name; `groundwork:policies.relaxed` lifts one for a stack, with a reason that every
preview and deploy prints.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from infra.refusal import Violation
from infra.settings import Settings
from infra.settings.backup import Backup
from infra.spec import Job, Platform, Service, Sidecar

Check = Callable[[Settings, Platform], Iterable[Violation]]
_PRODUCTION = ("prod", "production")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A rule with its name, in a sentence, and the check that finds violations of it."""

    name: str
    description: str
    check: Check


def _digests(_: Settings, platform: Platform) -> Iterator[Violation]:
    for reference, (service, image) in platform.images.items():
        if not image.built and "@sha256:" not in reference:
            yield Violation(
                key=f"groundwork:images ({service})",
                reason=f"{reference} names no digest, so what it is may change",
                fix="pin its digest in infra/versions.py",
            )


def _limits(_: Settings, platform: Platform) -> Iterator[Violation]:
    for service in platform.services:
        parts: tuple[Service | Job | Sidecar, ...] = (service, *service.helpers)
        for part in parts:
            if part.limits.memory <= 0 or part.limits.cpus <= 0:
                yield Violation(
                    key=_limits_key(service, part),
                    reason=f"{part.name} has no limit of its memory or its cores",
                    fix="set both",
                )


def _limits_key(service: Service, part: Service | Job | Sidecar) -> str:
    return f"{service.settings_key}.memory" if part is service else part.name


def _loopback(settings: Settings, _: Platform) -> Iterator[Violation]:
    if not ipaddress.IPv4Address(settings.bind_address).is_loopback:
        yield Violation(
            key="groundwork:bindAddress",
            reason=(
                f"ports would be published on {settings.bind_address}, where a host's firewall"
                " does not hold them"
            ),
            fix="remove it (ports are then on 127.0.0.1)",
        )


def _protection(settings: Settings, platform: Platform) -> Iterator[Violation]:
    keeps = any(service.volumes for service in platform.services)
    if settings.environment in _PRODUCTION and keeps and not settings.protect:
        yield Violation(
            key="groundwork:protect",
            reason=(
                f"`{settings.environment}` is a production environment whose volumes are not"
                " protected from deletion"
            ),
            fix="set it to true",
        )


def _backups(settings: Settings, platform: Platform) -> Iterator[Violation]:
    if settings.environment not in _PRODUCTION:
        return
    backup = settings.of(Backup)
    made = any(service.kind == "backup" for service in platform.services)
    elsewhere = backup.repository is not None or backup.second is not None
    wrong = [
        ("enabled", "no backup is made", "enable it, and set image where one is needed", made),
        ("schedule", "backups are made only by hand", "set a schedule", backup.schedule),
        (
            "second",
            "its backups are lost with the host",
            "set it, or repository, to a place elsewhere",
            elsewhere,
        ),
    ]
    for key, reason, fix, good in wrong:
        if not good:
            yield Violation(
                key=f"groundwork:backup.{key}",
                reason=f"`{settings.environment}` is a production environment, but {reason}",
                fix=fix,
            )


def _secrets(_: Settings, platform: Platform) -> Iterator[Violation]:
    for service in platform.services:
        for purpose, value in service.credentials.items():
            if len(value.reveal()) < _SHORTEST:
                yield Violation(
                    key=f"{service.settings_key} ({purpose})",
                    reason=f"this credential has fewer than {_SHORTEST} characters",
                    fix="derive it from the master secret, or set a longer one",
                )


_SHORTEST = 16


def _ingress(settings: Settings, _: Platform) -> Iterator[Violation]:
    for index, host in enumerate(settings.kubernetes.ingress.hosts if settings.clustered else ()):
        if host.tls_secret is None:
            yield Violation(
                key=f"groundwork:kubernetes.ingress.hosts[{index}].tlsSecret",
                reason=f"{host.host} would be served without TLS",
                fix="name a Secret with its certificate",
            )


POLICIES = (
    Policy(
        name="images-by-digest",
        description="Every pulled image is named by its digest.",
        check=_digests,
    ),
    Policy(
        name="limits",
        description="Every service and job has limits of memory and cores.",
        check=_limits,
    ),
    Policy(
        name="loopback",
        description="Ports are published on loopback only.",
        check=_loopback,
    ),
    Policy(
        name="protected-volumes",
        description="Volumes of production environments are protected from deletion.",
        check=_protection,
    ),
    Policy(
        name="backups",
        description="Production environments are backed up by schedule, to a place elsewhere.",
        check=_backups,
    ),
    Policy(
        name="strong-secrets",
        description="No credential is short enough to be guessed.",
        check=_secrets,
    ),
    Policy(
        name="tls",
        description="Whatever is reachable from outside a cluster is served with TLS.",
        check=_ingress,
    ),
)


def violations(settings: Settings, platform: Platform) -> list[Violation]:
    """Violations of the policies that the stack has not relaxed, each with its policy's name; and
    relaxed ones that do not exist.
    """
    names = [policy.name for policy in POLICIES]
    relaxed = {item.policy for item in settings.policies.relaxed}
    return [
        *(
            Violation(
                key=f"groundwork:policies.relaxed[{index}].policy",
                reason=f"there is no policy `{item.policy}`",
                fix=f"use one of {', '.join(names)}",
            )
            for index, item in enumerate(settings.policies.relaxed)
            if item.policy not in names
        ),
        *(
            Violation(
                key=found.key,
                reason=f"{found.reason} (policy {policy.name})",
                fix=(
                    f"{found.fix}, or relax the policy with a reason: groundwork:policies.relaxed:"
                    f" [{{policy: {policy.name}, reason: …}}]"
                ),
            )
            for policy in POLICIES
            if policy.name not in relaxed
            for found in policy.check(settings, platform)
        ),
    ]


def notes(settings: Settings, platform: Platform) -> list[str]:
    """A line for each policy that the stack has relaxed: whether that is needed, and why."""
    checks = {policy.name: policy for policy in POLICIES}
    return [
        f"policy {item.policy} is relaxed: {item.reason}"
        + ("" if any(checks[item.policy].check(settings, platform)) else " (nothing violates it)")
        for item in settings.policies.relaxed
        if item.policy in checks
    ]
