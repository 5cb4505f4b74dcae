"""Pulumi's preview in its JSON form (`pulumi preview --json`): what it counts, and its diff as
text.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_MARKS = {"create": "+", "delete": "-", "replace": "+-", "update": "~", "read": "<"}
# Parts of a replacement that its own step tells of.
_PARTS = ("create-replacement", "delete-replaced")
_LONGEST = 120


def operations(preview: Mapping[str, Any]) -> dict[str, int]:
    """Operation to the number of resources."""
    return {str(name): int(count) for name, count in (preview.get("changeSummary") or {}).items()}


def diff(preview: Mapping[str, Any]) -> str:
    """A line for each resource that changes, and one for each of its properties that do. Secrets
    are masked by Pulumi.
    """
    return "\n".join(
        line
        for step in preview.get("steps") or ()
        if step.get("op") in _MARKS and step.get("op") not in _PARTS
        for line in _step(step)
    )


def _step(step: Mapping[str, Any]) -> Iterator[str]:
    kind, _, name = str(step["urn"]).rpartition("::")
    yield f"{_MARKS[step['op']]} {kind.rpartition('::')[2].rpartition('$')[2]} {name}"
    old, new = (dict((step.get(key) or {}).get("inputs") or {}) for key in ("oldState", "newState"))
    for path in sorted(step.get("detailedDiff") or ()):
        key = path.partition(".")[0].partition("[")[0]
        before, after = _at(old, path), _at(new, path)
        if before == after:
            before, after = old.get(key), new.get(key)
        yield f"    {path}: {_shown(before)} => {_shown(after)}"


def _at(value: Any, path: str) -> Any:
    """The value at a path such as `mounts[1].source`; None if there is none."""
    for part in path.replace("[", ".").replace("]", "").split("."):
        match value:
            case Mapping():
                value = value.get(part.strip('"'))
            case list() if part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            case _:
                return None
    return value


def _shown(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
