"""The vocabulary of a review."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """How much a finding matters; a review lists the gravest first."""

    REFUSED = 0
    """The deploy would be refused."""
    LOSS = 1
    """Data would be lost or out of reach, or there is no way back."""
    INTERRUPTION = 2
    """Clients are cut off for a while."""
    CHANGE = 3
    """Something changes, and no client notices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One consequence of a change: its severity, the service or key, and a sentence."""

    severity: Severity
    subject: str
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A total before and after; `capacity` is what the host or cluster has, if known."""

    before: float
    after: float
    capacity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One stack's review.

    `compared_with` says in words with what; `unknown` what could not be compared, and why.
    `plan` counts the operations of Pulumi's own preview, if there was one, and `diff` is its text.
    """

    stack: str
    target: str = ""
    compared_with: str = ""
    findings: tuple[Finding, ...] = ()
    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    totals: Mapping[str, Delta] = field(default_factory=dict)
    costs: Delta | None = None
    currency: str = ""
    rotated: tuple[str, ...] = ()
    versions: tuple[tuple[str, str, str, bool], ...] = ()
    relaxed: tuple[str, ...] = ()
    settings: tuple[tuple[str, str, str], ...] = ()
    unknown: tuple[str, ...] = ()
    plan: Mapping[str, int] | None = None
    diff: str = ""
    error: str = ""

    @property
    def refused(self) -> bool:
        """True if the change cannot be deployed."""
        return bool(self.error) or any(item.severity is Severity.REFUSED for item in self.findings)

    @property
    def empty(self) -> bool:
        """True if nothing would change."""
        return not (
            self.error
            or self.findings
            or self.created
            or self.changed
            or self.deleted
            or self.settings
            or self.rotated
            or any(count for name, count in (self.plan or {}).items() if name != "same")
        )

    def of(self, severity: Severity) -> Iterator[Finding]:
        """The findings of one severity."""
        return (item for item in self.findings if item.severity is severity)

    def grave(self) -> set[str]:
        """What a deploy that was not reviewed must not do: losses and interruptions."""
        return {
            f"{item.severity.name.lower()}: {item.subject}"
            for item in self.findings
            if item.severity in (Severity.LOSS, Severity.INTERRUPTION)
        }

    def as_json(self) -> dict[str, Any]:
        """As plain data; severities by name."""
        found = asdict(self)
        for item in found["findings"]:
            item["severity"] = Severity(item["severity"]).name.lower()
        return {"format": 1, "refused": self.refused, "grave": sorted(self.grave()), **found}
