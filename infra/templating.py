"""Renders the files under `templates/`. Undefined names and text that no filter has quoted are
errors.

Each language has a filter: `yaml`, `alloy`, `sql`, `identifier` (Postgres), `backticks`
(ClickHouse), `conf` (postgresql.conf), `shell`, `xml`. Numbers need none. `verbatim` is for
Groundwork's own text.
"""

import json
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined

from infra.secret import Secret, revealed

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


class Quoted(str):
    """Text that is safe where a template puts it."""

    __slots__ = ()


def _json(value: Any) -> Quoted:
    """JSON, which is also YAML and has the same strings as Go. Characters are not escaped: YAML
    does not join surrogates.
    """
    return Quoted(
        _number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    )


def _number(value: float) -> str:
    """A number without an exponent, which YAML 1.1 would read as text."""
    return format(Decimal(repr(value)), "f")


def _doubled(quote: str, *escaped: str) -> Any:
    def quoted(value: str) -> Quoted:
        for character in escaped:
            value = value.replace(character, "\\" + character)
        return Quoted(quote + value.replace(quote, quote * 2) + quote)

    return quoted


def _finalize(value: Any) -> str:
    match value:
        case Quoted():
            return value
        case Undefined():
            return str(value)
        case float():
            return _number(value)
        case int() if not isinstance(value, bool):
            return str(value)
        case _:
            raise TypeError(f"a template writes {type(value).__name__} that no filter has quoted")


# Nothing here is HTML: these are configuration files, quoted by their own rules.
_environment = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701
    finalize=_finalize,
)
_environment.filters |= {
    "yaml": _json,
    "alloy": _json,
    "sql": _doubled("'"),
    "identifier": _doubled('"'),
    "backticks": _doubled("`", "\\"),
    "conf": _doubled("'", "\\"),
    "shell": lambda value: Quoted(shlex.quote(value)),
    "xml": lambda value: Quoted(escape(value)),
    "verbatim": Quoted,
}


def render(template: str, /, **values: Any) -> str:
    """The text of a template without secrets. Raises TypeError if a value is a secret, or text is
    not quoted.
    """
    if any(isinstance(value, Secret) for value in values.values()):
        raise TypeError(f"{template} was given a secret; use render_secret")
    return _environment.get_template(template).render(values)


def render_secret(template: str, /, **values: Any) -> Secret:
    """The text of a template with secrets revealed in it: itself a secret."""
    return Secret(_environment.get_template(template).render(revealed(values)))
