"""The interface of a site: operations on a Docker host or cluster that Pulumi does not
do itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ops.stacks.progress import Watch
from ops.stacks.stack import Stack

Resources = Sequence[Mapping[str, Any]]


class Site(Protocol):
    """A Docker host or a cluster."""

    def prepare(self, stack: Stack) -> None:
        """Before an `up`, once the stack has its keys: builds images, if they are built here."""

    def recover(self, stack: Stack, resources: Resources) -> None:
        """After a run that was killed: removes locks and unrecorded resources."""

    def repairs(self, resources: Resources) -> tuple[list[str], list[str]]:
        """(names of what differs from the state, arguments with which `pulumi up` repairs it)."""

    def facts(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Facts that a deploy follows from beside its files and state, for a stack with these
        outputs; none where `repairs` does not find every difference.
        """

    def watching(self, stack: Stack) -> AbstractContextManager[Watch]:
        """Watches how long each service takes to become healthy."""

    def show_failed(self, stack: Stack) -> None:
        """Prints the last lines of what is not healthy."""

    def diagnosis(self, stack: Stack) -> Iterator[tuple[str, str]]:
        """(file name, text) of states, logs and events, without a credential."""

    def identities(self, outputs: Mapping[str, Any]) -> dict[str, str]:
        """Service to an id that changes whenever its containers do."""

    def states(self, outputs: Mapping[str, Any]) -> dict[str, str]:
        """Service to its state in one word, such as healthy, running or missing."""

    def memory(self, outputs: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
        """(name, used, limit) of each container, in bytes, without the page cache."""

    def capacity(self) -> Mapping[str, float]:
        """Bytes of `memory` and `disk` and `cpus` that the host or the cluster has, as known."""

    def release(self, stack: Stack) -> None:
        """Before a destroy: releases what others hold."""

    def data(self, stack: Stack) -> list[str]:
        """Volumes and claims that `down` keeps and `purge` deletes."""

    def delete_data(self, stack: Stack) -> Iterator[str]:
        """Deletes it, one name at a time."""

    def unrecord(self, stack: Stack, service: str, major: int) -> None:
        """Forgets that versions of this major have opened a service's volume."""

    def inside(self, entry: Mapping[str, Any]) -> Sequence[str]:
        """The beginning of a command that runs in a service's container, with its input."""

    def follow(self, service: str, entry: Mapping[str, Any]) -> None:
        """Follows a service's log."""
