"""Reads the stack's configuration and reports its errors in plain words."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from infra.refusal import PreflightError, Violation
from infra.secret import Secret, weakness
from infra.services.registry import settings_model
from infra.settings import Settings, errors
from infra.settings.errors import NAMESPACE
from infra.settings.fields import is_secret, nested_model

__all__ = ["NAMESPACE", "load", "plain_text_in"]
PLACEHOLDER = "unset"

# Namespaces that belong to Pulumi itself and to the providers in use.
_FOREIGN = ("docker", "kubernetes", "pulumi")


def load(config: Mapping[str, str], secret_keys: Iterable[str], *, stack: str) -> Settings:
    """Settings of a stack from Pulumi's flat `namespace:key` map; structured values are JSON.

    Raises PreflightError with every problem found.
    """
    problems = list(_foreign_namespaces(config))
    raw = {
        key.partition(":")[2]: _decode(value)
        for key, value in config.items()
        if key.startswith(f"{NAMESPACE}:")
    }
    for key, why in (
        ("masterSecret", "no master secret is set"),
        ("instance", "no instance id is set"),
    ):
        if key not in raw:
            fix = (
                "run `make up`, which generates it, or `pulumi config"
                f" set{' --secret' * (key == 'masterSecret')} {key}`, which asks for it"
            )
            problems.append(Violation(key=f"{NAMESPACE}:{key}", reason=why, fix=fix))
            raw[key] = PLACEHOLDER
    problems.extend(_plain_text(raw, frozenset(secret_keys)))
    try:
        settings = settings_model().model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        raise PreflightError([*problems, *errors.problems(error, settings_model())]) from None
    if f"{NAMESPACE}:masterSecret" in config:
        problems.extend(_weak_master(settings.master_secret))
    if problems:
        raise PreflightError(problems)
    return _named(settings, stack)


def _named(settings: Settings, stack: str) -> Settings:
    """The settings, with unset names derived from the stack's name."""
    cluster = settings.kubernetes
    return settings.model_copy(
        update={
            "environment": settings.environment or stack,
            "kubernetes": cluster.model_copy(
                update={"namespace": cluster.namespace or f"groundwork-{stack}"}
            ),
        }
    )


def _decode(value: str) -> Any:
    # Pulumi hands every value over as a string: numbers, booleans and structures as JSON.
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return decoded if isinstance(decoded, dict | list | bool | int) else value


def _foreign_namespaces(config: Mapping[str, str]) -> Iterable[Violation]:
    for key in {"docker:host", "docker:context"} & config.keys():
        yield Violation(
            key=key,
            reason=(
                "the checks use the engine that DOCKER_HOST names; this would deploy to a"
                " different one"
            ),
            fix="remove it and set DOCKER_HOST in the environment instead",
        )
    for key in config:
        namespace, _, name = key.partition(":")
        if namespace not in (NAMESPACE, *_FOREIGN):
            yield Violation(
                key=key,
                reason=f"unknown namespace `{namespace}`",
                fix=f"rename it to `{NAMESPACE}:{name}`, or remove it",
            )


def _plain_text(raw: Mapping[str, Any], secret_keys: frozenset[str]) -> Iterable[Violation]:
    """Secrets stored in plain text in the stack file."""
    for top, value in raw.items():
        if f"{NAMESPACE}:{top}" in secret_keys:
            continue
        for path in _secret_paths(value, (top,), settings_model()):
            dotted = _dotted(path)
            nested = " --path" if len(path) > 1 else ""
            if dotted == "masterSecret" and value == PLACEHOLDER:
                continue
            yield Violation(
                key=f"{NAMESPACE}:{dotted}",
                reason="this secret is in the stack file in plain text",
                fix=(
                    f"replace it with a new one: `pulumi config set --secret{nested}"
                    f" {NAMESPACE}:{dotted}`"
                ),
            )


def plain_text_in(file: Mapping[str, Any]) -> list[Violation]:
    """Secrets stored in plain text in a stack's file. If one value of a group is encrypted, Pulumi
    reports the whole group as secret, so only the file shows them.
    """
    config = file.get("config") or {}
    groups = {
        key.partition(":")[2]: value
        for key, value in config.items()
        if key.startswith(f"{NAMESPACE}:")
    }
    return list(_plain_text(groups, frozenset()))


def _secret_paths(
    value: Any, path: tuple[str | int, ...], parent: type[BaseModel]
) -> Iterable[tuple[str | int, ...]]:
    """Paths at which the model expects a secret and the value is plain text. `parent` is the model
    that contains the path's last key.
    """
    field = next((item for item in parent.model_fields.values() if item.alias == path[-1]), None)
    if field is not None:
        yield from _secrets_below(value, path, field.annotation, nested_model(field.annotation))


def _secrets_below(
    value: Any, path: tuple[str | int, ...], annotation: Any, model: type[BaseModel] | None
) -> Iterable[tuple[str | int, ...]]:
    if isinstance(value, Mapping) and set(value) == {"secure"}:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _secrets_below(item, (*path, index), annotation, model)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if model is not None:
                yield from _secret_paths(item, (*path, key), model)
            else:
                yield from _secrets_below(item, (*path, key), annotation, None)
    elif isinstance(value, str) and is_secret(annotation) and model is None:
        yield path


def _dotted(path: Iterable[str | int]) -> str:
    """A path in the syntax of `pulumi config --path`: `a.b[0].c`."""
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in path
    ).removeprefix(".")


def _weak_master(master: Secret) -> Iterable[Violation]:
    reason = weakness(master.reveal())
    if reason:
        yield Violation(
            key=f"{NAMESPACE}:masterSecret",
            reason=f"the master secret is weak: {reason}",
            fix=(
                "for a new stack, remove it (`pulumi config rm masterSecret`) and run `make up`,"
                " which generates one"
            ),
        )
