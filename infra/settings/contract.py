"""Settings of the environment that applications are given."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from infra.settings.applications import ApplicationName
from infra.settings.common import Model
from infra.settings.text import Kind

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
_FORBIDDEN = {".", "..", ".git"}
_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


def _variable(value: str) -> str:
    if _VARIABLE.fullmatch(value) is None:
        raise ValueError("it must be upper-case letters, digits and underscores")
    return value


def _path(value: str) -> str:
    if _PATH.fullmatch(value) is None or _FORBIDDEN & set(value.lower().split("/")):
        raise ValueError("it must be a path inside the tree, without `.`, `..` and .git")
    return value


def _template(value: str) -> str:
    if not _path(value).endswith(".j2"):
        raise ValueError("it must be a file below templates/ whose name ends with .j2")
    return value


def rules_path(value: str) -> str:
    """A file of rules below templates/."""
    if not _path(value).endswith((".yml", ".yaml")):
        raise ValueError("it must be a file below templates/ whose name ends with .yml or .yaml")
    return value


VariableName = Annotated[str, AfterValidator(_variable), Kind("variable")]
TreePath = Annotated[str, AfterValidator(_path), Kind("path")]
TemplatePath = Annotated[str, AfterValidator(_template), Kind("path")]
AliasSet = Literal[
    "aws",
    "clickhouse",
    "litellm",
    "minio",
    "openai",
    "otel",
    "pgvector",
    "postgres",
    "redis",
    "sqlalchemy",
]


class RenderedFile(Model):
    """A file that `make env` renders from a template of yours."""

    template: TemplatePath = Field(description="A Jinja template below `templates/`.")
    path: TreePath = Field(description="Where the file is written, in the tree.")
    application: ApplicationName | Literal["app"] = Field(
        "app", description="The application whose environment it is rendered from."
    )


class Contract(Model):
    """The environment of applications, and files made from it."""

    aliases: tuple[AliasSet, ...] = Field(
        (), description="Sets of other names for the same values; docs/connecting.md lists them."
    )
    names: dict[VariableName, VariableName] = Field(
        default_factory=dict, description="Other names of your own: the new one to the present one."
    )
    files: tuple[RenderedFile, ...] = Field(
        (), description="Files of any form that `make env` renders from the environment."
    )
