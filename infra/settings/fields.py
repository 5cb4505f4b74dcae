"""Introspection of the models' fields, for messages, the reference and tests."""

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from infra.secret import Secret
from infra.settings.common import Because
from infra.settings.text import Kind
from infra.units import parse_duration, whole_days, whole_mebibytes

_UNITS = {whole_mebibytes: "size", parse_duration: "duration", whole_days: "days"}


def nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `tuple[Bucket, ...]` or `External | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(nested_model, get_args(annotation))), None)


def field_at(model: type[BaseModel], location: Iterable[int | str]) -> FieldInfo | None:
    """The field at a path in the configuration; for a map's key or value, the map's own."""
    found: FieldInfo | None = None
    inner: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int):
            continue
        if inner is None:
            return found
        found = next((item for item in inner.model_fields.values() if item.alias == part), None)
        if found is None:
            return None
        inner = nested_model(found.annotation)
    return found


def known_keys(model: type[BaseModel], location: Iterable[int | str]) -> list[str]:
    """The valid keys at a path in the configuration."""
    names = [part for part in location if isinstance(part, str)]
    field = field_at(model, names)
    inner = model if not names else nested_model(field.annotation) if field else None
    return [item.alias or name for name, item in inner.model_fields.items()] if inner else []


def markers(field: FieldInfo) -> Iterator[Any]:
    """Everything that annotates a field's type, at any depth."""
    yield from field.metadata
    yield from _below(field.annotation)


def _below(annotation: Any) -> Iterator[Any]:
    yield from getattr(annotation, "__metadata__", ())
    for argument in get_args(annotation):
        yield argument
        yield from _below(argument)


def unit(field: FieldInfo) -> str | None:
    """`size` (bytes), `duration` or `days` (both seconds), for a number with such a unit."""
    found = (item.func for item in markers(field) if isinstance(item, BeforeValidator))
    return next((_UNITS[function] for function in found if function in _UNITS), None)


def kind(field: FieldInfo) -> str | None:
    """The type of a field's text: a host, a URL, a name."""
    return next((item.name for item in markers(field) if isinstance(item, Kind)), None)


def because(field: FieldInfo) -> str | None:
    """The reason for the bounds of a field's number."""
    return next((item.reason for item in markers(field) if isinstance(item, Because)), None)


def is_secret(annotation: Any) -> bool:
    """True if a secret is, or is among, what an annotation allows."""
    return annotation is Secret or any(map(is_secret, get_args(annotation)))
