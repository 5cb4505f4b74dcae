"""pydantic's errors in a person's words: the key, the reason, the fix."""

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from infra.refusal import Violation
from infra.settings.fields import because, field_at, known_keys, unit
from infra.units import format_duration, format_size

NAMESPACE = "groundwork"
_REFERENCE = "correct the value; docs/configuration.md lists what is allowed"
_SENTENCES = {
    "string_type": "text is expected here",
    "string_unicode": "it holds characters that are not valid Unicode",
    "bool_type": "only `true` or `false`, without quotes, is allowed here",
    "int_type": "a whole number, without quotes, is expected here",
    "int_from_float": "a whole number is expected here",
    "int_parsing_size": "the number is too large",
    "float_type": "a number, without quotes, is expected here",
    "finite_number": "the number must be finite",
    "model_type": "a group of keys is expected here",
    "dict_type": "a map of keys to text is expected here",
    "tuple_type": "a list is expected here",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "is below {limit}, the least that is allowed"),
    "less_than_equal": ("le", "is above {limit}, the most that is allowed"),
}


def problems(error: ValidationError, root: type[BaseModel]) -> list[Violation]:
    """Every error as a Violation; `root` is the model of the whole."""
    return [_problem(dict(item), root) for item in error.errors(include_url=False)]


def _problem(error: dict[str, Any], root: type[BaseModel]) -> Violation:
    location = [part for part in error["loc"] if part != "[key]"]
    key = f"{NAMESPACE}:" + ".".join(map(_readable, location))
    match error["type"]:
        case "extra_forbidden":
            return Violation(key=key, reason="no such key", fix=_near(location, root))
        case "missing":
            return Violation(
                key=key,
                reason="this key is required",
                fix=f"set it: `pulumi config set --path {key} …`",
            )
        case "value_error":
            cause = error["ctx"]["error"]
            return Violation(key=key, reason=str(cause), fix=getattr(cause, "fix", _REFERENCE))
        case "literal_error":
            return Violation(
                key=key, reason=f"only {error['ctx']['expected']} is allowed here", fix=_REFERENCE
            )
        case "greater_than_equal" | "less_than_equal":
            return Violation(key=key, reason=_out_of_bounds(error, location, root), fix=_REFERENCE)
        case other:
            return Violation(
                key=key,
                reason=_SENTENCES.get(other, "it is not a value that is allowed here"),
                fix=_REFERENCE,
            )


def _readable(part: int | str) -> str:
    """A part of a key as it can be printed: what cannot be seen is written out."""
    text = str(part)
    shown = text if text.isprintable() and text else ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def _near(location: Sequence[int | str], root: type[BaseModel]) -> str:
    known = known_keys(root, location[:-1])
    near = difflib.get_close_matches(str(location[-1])[:80], known, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"


def _out_of_bounds(
    error: dict[str, Any], location: Sequence[int | str], root: type[BaseModel]
) -> str:
    name, sentence = _BOUNDS[error["type"]]
    field = field_at(root, location)
    limit = _number(error["ctx"][name], field)
    why = because(field) if field else None
    return "it " + sentence.format(limit=limit) + (f": {why}" if why else "")


def _number(value: float, field: FieldInfo | None) -> str:
    match unit(field) if field else None:
        case "size":
            return format_size(int(value))
        case "duration" | "days":
            return format_duration(int(value))
        case _:
            return f"{value:g}" if value < 10_000 else f"{value:.0f}"
