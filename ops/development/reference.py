"""docs/configuration.md, generated from the settings so that it cannot be wrong."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from infra.configuration import NAMESPACE
from infra.secret import Secret
from infra.services.registry import settings_model
from infra.settings.fields import is_secret, kind, nested_model, unit
from infra.units import format_duration, format_size
from ops import console
from ops.paths import ROOT

PATH = ROOT / "docs" / "configuration.md"
_HEAD = """\
# Configuration

Every key of a stack's `Pulumi.<stack>.yaml`, generated from the settings' models by `make docs`; a
test checks it against the code. Unknown keys are refused, and the closest valid key is suggested.

Sizes are written `512MiB` or `1.5GiB`, durations `30s`, `15m`, `12h` or `30d`. Set secrets with
`pulumi config set --secret --path groundwork:litellm.providers.openai.apiKey`; secrets in plain
text are refused.

| key | type | default | meaning |
| --- | --- | --- | --- |
"""


def render() -> str:
    """The whole page."""
    rows = (
        f"| `{NAMESPACE}:{key}` | {kind} | {default} | {meaning} |"
        for key, kind, default, meaning in _rows(settings_model(), "", None)
    )
    return _HEAD + "\n".join(rows) + "\n"


def write() -> None:
    """Writes the page into the tree."""
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(render())
    console.out.print(f"Wrote {PATH.relative_to(ROOT)}.")


def _rows(
    model: type[BaseModel], prefix: str, defaults: Any
) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        default = getattr(defaults, name) if defaults is not None else _default(field)
        inner = nested_model(field.annotation)
        if inner is None and _is_list(field):
            yield (
                key,
                "list of text",
                "empty" if not default else f"`{', '.join(default)}`",
                _escape(field.description or ""),
            )
        elif inner is None:
            yield key, _kind(field), _show(field, default), _escape(field.description or "")
        elif _is_list(field):
            yield (
                key,
                "list",
                _count(default),
                _escape(field.description or ""),
            )
            yield from _rows(inner, f"{key}[].", None)
        else:
            if default is None:
                yield key, "group", "none", _escape(field.description or "")
            yield from _rows(inner, f"{key}.", default)


def _count(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    return f"{len(default)} item{'s' * (len(default) != 1)}" if default else "empty"


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def _is_list(field: FieldInfo) -> bool:
    return str(field.annotation).startswith("tuple")


def _kind(field: FieldInfo) -> str:
    named = unit(field) or kind(field)
    if named and "dict[" not in str(field.annotation):
        return named
    arguments = get_args(field.annotation)
    choices = [
        str(choice)
        for argument in (field.annotation, *arguments)
        for choice in get_args(argument)
        if isinstance(choice, str)
    ]
    if choices:
        return " or ".join(f"`{choice}`" for choice in choices)
    text = str(field.annotation)
    if "dict[" in text:
        return "map of text"
    if is_secret(field.annotation):
        return "secret"
    for python, word in (
        ("bool", "true or false"),
        ("int", "whole number"),
        ("float", "number"),
        ("str", "text"),
    ):
        if python in text:
            return word
    return text


def _show(field: FieldInfo, default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, Secret):
        return "secret"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    measured = unit(field)
    if isinstance(default, dict):
        return "empty"
    shown = (
        format_size(default)
        if measured == "size"
        else format_duration(default)
        if measured in ("duration", "days")
        else default
    )
    return f"`{shown:g}`" if isinstance(shown, float) else f"`{shown}`"


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
