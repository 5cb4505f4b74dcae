"""Renders the files under `templates/`. An undefined name is an error."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infra.secret import Secret, revealed

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"

# Nothing here is HTML: these are configuration files, quoted by their own rules.
_environment = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701
)


def render(template: str, /, **values: Any) -> str:
    """The text of a template without secrets. Raises TypeError if a value is one."""
    if any(isinstance(value, Secret) for value in values.values()):
        raise TypeError(f"{template} was given a secret; use render_secret")
    return _environment.get_template(template).render(values)


def render_secret(template: str, /, **values: Any) -> Secret:
    """The text of a template with secrets revealed in it: itself a secret."""
    return Secret(_environment.get_template(template).render(revealed(values)))
