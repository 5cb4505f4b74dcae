"""What a person allows one run to do that is refused otherwise; read from the environment, so that
plain `pulumi` can be told as well.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EMPTY = "GROUNDWORK_EMPTY"
"""Services, separated by commas, that may start empty although their volume is gone."""

MAJOR = "GROUNDWORK_MAJOR"
"""`postgres`, if its data directory may become one of another major version."""

PREVIOUS = "GROUNDWORK_PREVIOUS"
"""JSON: service to the `image` and `version` of a deploy before, which it keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Services that may start `empty`, services that may change their `majors`, and those that keep
    an image of before: service to its `image` and `version`.
    """

    empty: frozenset[str] = frozenset()
    majors: frozenset[str] = frozenset()
    previous: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def given() -> Consent:
    """What the environment allows."""
    kept: dict[str, Any] = json.loads(os.environ.get(PREVIOUS) or "{}")
    return Consent(empty=_names(EMPTY), majors=_names(MAJOR), previous=kept)


def variables(consent: Consent) -> dict[str, str]:
    """The environment that gives it."""
    return {
        EMPTY: ",".join(sorted(consent.empty)),
        MAJOR: ",".join(sorted(consent.majors)),
        PREVIOUS: json.dumps({name: dict(kept) for name, kept in consent.previous.items()}),
    }


def _names(variable: str) -> frozenset[str]:
    return frozenset(filter(None, os.environ.get(variable, "").replace(",", " ").split()))
