"""Violations of the configuration: key, reason and fix."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One reason not to deploy.

    `key` is a configuration key such as `groundwork:postgres.memory`, or whatever is at fault.
    """

    key: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}\n    fix: {self.fix}"


def repeated(names: Sequence[str]) -> list[str]:
    """Names that occur more than once."""
    return sorted({name for name in names if names.count(name) > 1})


class PreflightError(Exception):
    """Raised before the first resource is declared; nothing has been changed."""

    def __init__(self, problems: Sequence[Violation]) -> None:
        self.problems = tuple(problems)
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [f"  - {problem}" for problem in self.problems]
        return "Refused before anything was changed:\n" + "\n".join(lines)
