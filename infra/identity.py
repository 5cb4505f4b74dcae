"""Ownership of resources: labels that never change, and names that cannot collide."""

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "groundwork."


def name_prefix(stack: str, instance: str | None) -> str:
    """The prefix of a stack's names on a host."""
    return f"gw-{stack}-{instance}-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One stack of one clone. Two clones, or two stacks, on one host differ in it."""

    project: str
    stack: str
    instance: str
    master: str

    def name(self, part: str) -> str:
        """The name on the host of a container, network or volume."""
        return f"{name_prefix(self.stack, self.instance)}{part}"

    @property
    def labels(self) -> dict[str, str]:
        """Identity only: a label that could change would replace a volume at every `up`."""
        return {
            f"{PREFIX}instance": self.instance,
            f"{PREFIX}master": self.master,
            f"{PREFIX}project": self.project,
            f"{PREFIX}stack": self.stack,
        }

    def owns(self, labels: Mapping[str, str]) -> bool:
        """True if a resource with these labels is this stack's, made with this master secret."""
        return all(labels.get(key) == value for key, value in self.labels.items())

    def same_stack(self, labels: Mapping[str, str]) -> bool:
        """True if a resource is this stack's, made with any master secret."""
        return all(
            labels.get(key) == value
            for key, value in self.labels.items()
            if key != f"{PREFIX}master"
        )
