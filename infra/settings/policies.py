"""Settings of policies and reviews."""

from typing import Annotated

from pydantic import Field

from infra.settings.common import Because, Model
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


Price = Annotated[
    float,
    Field(strict=True, allow_inf_nan=False, ge=0, le=1_000_000),
    Because("it is an amount of money, and nothing here costs a million a month"),
]


class Prices(Model):
    """What resources cost in a month."""

    memory_gib: Price = Field(0.0, description="Price of a GiB of memory for a month.")
    core: Price = Field(0.0, description="Price of a core for a month.")
    disk_gib: Price = Field(0.0, description="Price of a GiB of disk for a month.")
    currency: Line = Field("USD", max_length=12, description="Currency of the prices.")
