"""A stack's description: what its file says it is, as plain data without a secret. Pure.

It is computed with made-up secrets, so it needs neither a passphrase nor an engine, and a
description that a deploy has published can be compared with that of another commit.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel, BeforeValidator

from infra import configuration, policies, validation
from infra.configuration import NAMESPACE
from infra.consent import Consent
from infra.refusal import PreflightError
from infra.secret import Secret
from infra.services.platform import build
from infra.services.registry import settings_model
from infra.settings import Settings
from infra.settings.fields import field_at, markers
from infra.settings.text import pull_login
from infra.spec import Service
from infra.targets.docker.files import by_volume

FORMAT = 1
"""Raised when descriptions of before can no longer be compared."""

# Known to everybody: no secret of any stack derives from it.
_MASTER = "q8ZbW3nYc6Rk1LfJ5vHx0TgMs7Pd2EuA9iOy4KjC"


def describe(file: Mapping[str, Any], stack: str, consent: Consent | None = None) -> dict[str, Any]:
    """The description of a stack from its file's content, and from what a run was allowed. Raises
    PreflightError, with every reason why the stack would be refused that needs no engine.
    """
    settings = _settings(file, stack)
    platform = build(settings, consent)
    problems = [*validation.check(settings), *configuration.plain_text_in(file)]
    problems += policies.violations(settings, platform)
    if problems:
        raise PreflightError(problems)
    config = file.get("config") or {}
    return {
        "format": FORMAT,
        "version": release(),
        "stack": stack,
        "target": settings.target,
        "images": settings.images,
        "protect": settings.protect,
        "instance": settings.instance,
        "settings": dict(_flat(settings)),
        "secrets": dict(_encrypted(config)),
        "services": {service.name: _service(service, settings) for service in platform.services},
        "leftOut": {item.service: item.reason for item in platform.left_out},
        "policies": {
            "relaxed": policies.notes(settings, platform),
            "held": [
                policy.name
                for policy in policies.POLICIES
                if policy.name not in {item.policy for item in settings.policies.relaxed}
            ],
        },
    }


def release() -> str:
    """Groundwork's own version."""
    try:
        return version("groundwork")
    except PackageNotFoundError:
        return "unknown"


def _settings(file: Mapping[str, Any], stack: str) -> Settings:
    config: Mapping[str, Any] = file.get("config") or {}
    values = {
        **config,
        # Before a first deploy there are none.
        f"{NAMESPACE}:masterSecret": _MASTER,
        f"{NAMESPACE}:instance": config.get(f"{NAMESPACE}:instance", "unknown"),
    }
    flat = {
        key: json.dumps(made) if isinstance(made := _made_up(value, [key]), dict | list) else made
        for key, value in values.items()
    }
    secret = [key for key, value in config.items() if '"secure"' in json.dumps(value)]
    return configuration.load(
        {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in flat.items()
        },
        [*secret, f"{NAMESPACE}:masterSecret"],
        stack=stack,
    )


def _made_up(value: Any, path: list[int | str]) -> Any:
    """The value with each encrypted part replaced by one that its own setting accepts."""
    match value:
        case {"secure": str() as encrypted, **rest} if not rest:
            digest = hashlib.sha256(encrypted.encode()).hexdigest()[:12]
            text = f"https://made-up.example.org/{digest}"
            names = [str(path[0]).partition(":")[2], *path[1:]]
            field = field_at(settings_model(), names)
            login = field is not None and any(
                isinstance(item, BeforeValidator) and item.func is pull_login
                for item in markers(field)
            )
            return json.dumps({"auths": {text: {}}}) if login else text
        case Mapping():
            return {key: _made_up(item, [*path, key]) for key, item in value.items()}
        case list():
            return [_made_up(item, [*path, index]) for index, item in enumerate(value)]
    return value


def _encrypted(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(key, digest of its ciphertext) of each encrypted part."""
    match value:
        case {"secure": str() as encrypted, **rest} if not rest:
            yield path, hashlib.sha256(encrypted.encode()).hexdigest()[:12]
        case Mapping():
            for key, item in value.items():
                yield from _encrypted(item, f"{path}.{key}".lstrip("."))
        case list():
            for index, item in enumerate(value):
                yield from _encrypted(item, f"{path}[{index}]")


def _flat(settings: Settings) -> Iterator[tuple[str, Any]]:
    """(key, value as it is written in a file) of every effective setting but secrets."""
    return _leaves(settings, settings.model_dump(by_alias=True), "")


def _leaves(value: Any, written: Any, path: str) -> Iterator[tuple[str, Any]]:
    match value:
        case Secret():
            return
        case BaseModel():
            for name, field in type(value).model_fields.items():
                key = field.alias or name
                yield from _leaves(getattr(value, name), written[key], f"{path}.{key}".lstrip("."))
        case Mapping():
            for key, item in value.items():
                yield from _leaves(item, written[key], f"{path}.{key}")
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _leaves(item, written[index], f"{path}[{index}]")
        case _:
            yield path, written


def _service(service: Service, settings: Settings) -> dict[str, Any]:
    live = [item for item in service.files if item.live]
    # In a cluster sidecars are part of the service's own pod.
    helpers = service.jobs if settings.clustered else service.helpers
    within = service.sidecars if settings.clustered else ()
    fixed = {
        item.name: getattr(service, item.name)
        for item in fields(service)
        if item.name not in _OUTSIDE
    }
    return {
        "key": service.settings_key,
        "kind": service.kind,
        "image": service.image.reference,
        "version": service.image.version,
        "built": service.image.built,
        "memory": service.memory,
        "cpus": service.limits.cpus,
        "replicas": service.replicas,
        "volumes": {volume.name: volume.size for volume in service.volumes},
        "ports": {port.name: port.host for port in service.ports if port.host is not None},
        "dependsOn": list(service.depends_on),
        "container": _digest(
            [
                fixed,
                [item for item in service.files if not item.live],
                sorted(map(_place, live)),
                within,
            ]
        ),
        "liveFiles": _digest(live) if service.reload else None,
        "jobs": {item.name: _digest(item) for item in helpers},
        "secrets": {name: _digest(value) for name, value in sorted(service.credentials.items())},
    }


# What is no part of a container, and what is compared by itself.
_OUTSIDE = frozenset(
    {
        "after",
        "checks",
        "credentials",
        "files",
        "jobs",
        "logs",
        "max_replicas",
        "metrics",
        "reload",
        "replicas",
        "settings",
        "sidecars",
    }
)


def _place(item: Any) -> str:
    return f"{item.path} {item.mode} {by_volume(item)}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    """A value of the vocabulary as JSON; a made-up secret by its text."""
    match value:
        case Secret():
            return value.reveal()
        case Enum():
            return value.name
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value


def totals(description: Mapping[str, Any]) -> dict[str, float]:
    """Memory and disk in bytes, and cores, of a description's services with their replicas."""
    services = description["services"].values()
    return {
        "memory": sum(item["memory"] * item["replicas"] for item in services),
        "cpus": sum(item["cpus"] * item["replicas"] for item in services),
        "disk": sum(sum(item["volumes"].values()) * item["replicas"] for item in services),
    }
