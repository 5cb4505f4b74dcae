"""docs/chart.md, generated from the chart's schema and default values."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ops import console
from ops.paths import ROOT

PATH = ROOT / "docs" / "chart.md"
_CHART = ROOT / "charts" / "service"
_HEAD = """\
# Values of the chart

Every value of [`charts/service`](../charts/service/README.md), generated from its schema by
`make docs`; a test checks it against the chart.

| value | type | default | meaning |
| --- | --- | --- | --- |
"""


def render() -> str:
    """The whole page."""
    schema = json.loads((_CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((_CHART / "values.yaml").read_text())
    rows = (
        f"| `{key}` | {kind} | {default} | {meaning} |"
        for key, kind, default, meaning in _rows(schema, defaults, "")
    )
    return _HEAD + "\n".join(rows) + "\n"


def write() -> None:
    """Writes the page into the tree."""
    PATH.write_text(render())
    console.out.print(f"Wrote {PATH.relative_to(ROOT)}.")


def _rows(
    node: Mapping[str, Any], defaults: Any, prefix: str
) -> Iterator[tuple[str, str, str, str]]:
    for name, field in node.get("properties", {}).items():
        key = prefix + name
        default = defaults.get(name) if isinstance(defaults, Mapping) else None
        meaning = str(field.get("description", "")).replace("|", "\\|")
        items = field.get("items") or {}
        nested = field.get("properties") or items.get("properties")
        shown = "" if nested and default in (None, {}, []) else _show(default)
        yield key, _kind(field), "" if isinstance(default, Mapping) else shown, meaning
        yield from _rows(field, default, f"{key}.")
        yield from _rows(items, None, f"{key}[].")


def _kind(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(f"`{choice}`" for choice in field["enum"])
    kind = field.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _show(default: Any) -> str:
    return "" if default is None else f"`{json.dumps(default)}`"
