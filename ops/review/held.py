"""Holds a deploy to what was reviewed.

Pulumi's saved plans are not used: they are experimental, name every property, and are void as soon
as an image is rebuilt or a fact of the host changes. What people approve are consequences: which
service is cut off, what is lost. So those are compared, by descriptions.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.description import describe
from ops import console
from ops.review import sources
from ops.review.compare import compare
from ops.review.sources import Unavailable
from ops.stacks.stack import Stack


def hold(stack: Stack, outputs: Mapping[str, Any], reviewed: Path) -> None:
    """Raises Failed if a deploy would lose or interrupt what the review in a file does not name."""
    before = outputs.get("description")
    if not outputs:
        console.out.print(f"review: `{stack.name}` is deployed for the first time")
        return
    if not isinstance(before, dict):
        console.out.print("review: what is deployed has published no description; not compared")
        return
    approved = _approved(reviewed, stack.name)
    try:
        after = describe(sources.file_of(stack.name), stack.name)
    except Unavailable as error:
        raise console.Failed(str(error)) from None
    review = compare(before, after, compared_with="what is deployed")
    beyond = sorted(review.grave() - approved)
    if beyond:
        texts = {
            f"{item.severity.name.lower()}: {item.subject}": item.text for item in review.findings
        }
        raise console.Failed(
            "this deploy would do what was not reviewed:\n    "
            + "\n    ".join(texts[item] for item in beyond),
            f"review it against what is deployed: `python -m ops review {stack.name} --against"
            " state`; nothing was changed",
        )
    console.out.print(f"review: this deploy does no more than was reviewed ({len(approved)} named)")


def _approved(file: Path, stack: str) -> set[str]:
    try:
        reviews = list(json.loads(file.read_text()))
        return {str(name) for item in reviews if item["stack"] == stack for name in item["grave"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise console.Failed(
            f"{file} holds no reviews ({type(error).__name__})", "make it with `review --json`"
        ) from None
