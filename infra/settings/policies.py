"""Settings of the policies."""

from pydantic import Field

from infra.settings.common import Model
from infra.settings.text import Line, Name


class Relaxed(Model):
    """A policy that a stack need not hold to."""

    policy: Name = Field(description="The policy's name.")
    reason: Line = Field(
        min_length=10, description="Why; every preview, deploy and review prints it."
    )


class Policies(Model):
    """What every stack must hold to."""

    relaxed: tuple[Relaxed, ...] = Field(
        (), description="Policies that do not apply to this stack; see docs/reviews.md."
    )
