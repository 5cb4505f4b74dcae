"""pydantic's errors in plain words: the key, the reason, the fix."""

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from infra.refusal import Violation
from infra.settings.fields import because, field_at, known_keys, unit
from infra.units import format_duration, format_size

NAMESPACE = "groundwork"
_REFERENCE = "correct the value; see docs/configuration.md"
_FRACTION = (
    "write it into the stack's file; `pulumi config set` keeps a number with a fraction as text"
)
_SENTENCES = {
    "string_type": "it must be text",
    "string_unicode": "it contains characters that are not valid Unicode",
    "bool_type": "it must be `true` or `false`, without quotes",
    "int_type": "it must be a whole number, without quotes",
    "int_from_float": "it must be a whole number",
    "int_parsing_size": "the number is too large",
    "float_type": "it must be a number, without quotes",
    "finite_number": "the number must be finite",
    "model_type": "it must be a group of keys",
    "dict_type": "it must be a map of keys to text",
    "tuple_type": "it must be a list",
    "too_short": "it must not be empty",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "is below the minimum of {limit}"),
    "less_than_equal": ("le", "is above the maximum of {limit}"),
}


def problems(error: ValidationError, root: type[BaseModel]) -> list[Violation]:
    """Every error as a Violation; `root` is the model of the whole."""
    return [_problem(dict(item), root) for item in error.errors(include_url=False)]


def _problem(error: dict[str, Any], root: type[BaseModel]) -> Violation:
    location = [part for part in error["loc"] if part != "[key]"]
    key = f"{NAMESPACE}:" + ".".join(map(_readable, location))
    match error["type"]:
        case "extra_forbidden":
            return Violation(key=key, reason="unknown key", fix=_near(location, root))
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
                key=key, reason=f"it must be {error['ctx']['expected']}", fix=_REFERENCE
            )
        case "greater_than_equal" | "less_than_equal":
            return Violation(key=key, reason=_out_of_bounds(error, location, root), fix=_REFERENCE)
        case other:
            return Violation(
                key=key,
                reason=_SENTENCES.get(other, "this value is not allowed"),
                fix=_FRACTION if other == "float_type" else _REFERENCE,
            )


def _readable(part: int | str) -> str:
    """A part of a key in printable form: invisible characters are escaped."""
    text = str(part)
    shown = text if text.isprintable() and text else ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def _near(location: Sequence[int | str], root: type[BaseModel]) -> str:
    known = known_keys(root, location[:-1])
    near = difflib.get_close_matches(str(location[-1])[:80], known, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else f"valid keys: {', '.join(known)}"


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
