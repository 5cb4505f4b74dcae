"""The site of a stack, chosen by its target."""

from ops.sites.interface import Site
from ops.stacks.stack import Stack, stack_name, target_of


def of(stack: Stack) -> Site:
    """The site of a stack's target."""
    if stack.clustered:
        from ops.sites.kubernetes import KubernetesSite

        return KubernetesSite.of(stack)
    from ops.sites.docker import DockerSite

    return DockerSite()


def ensure_engine() -> None:
    """Ensures that a Docker engine answers, if the stack that STACK names runs on one."""
    if target_of(stack_name()) == "docker":
        from ops.sites import engine

        engine.ensure()
