"""The site of a stack, chosen by its target."""

from collections.abc import Mapping
from typing import Any

from ops.build import images
from ops.sites.interface import Site
from ops.stacks.stack import Stack, open_stack, stack_name, target_of


def of(stack: Stack) -> Site:
    """The site of a stack's target."""
    if stack.clustered:
        from ops.sites.kubernetes import KubernetesSite

        return KubernetesSite.of(stack)
    from ops.sites.docker import DockerSite

    return DockerSite()


def begin(declared: Mapping[str, Any]) -> None:
    """Begins what a deploy needs besides tools, as far as it is known without them."""
    if target_of(stack_name()) == "docker":
        images.begin(declared)


def ensure_engine() -> None:
    """Ensures that a Docker engine answers, if the stack that STACK names runs on one."""
    if target_of(stack_name()) == "docker":
        from ops.sites import engine

        engine.ensure()


def open_target() -> Stack:
    """The stack that STACK names, with a Docker engine started where that is its target."""
    ensure_engine()
    return open_stack()
