"""A deployed stack: memory at rest, and the commands that people wait for."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rich.table import Table

from infra.units import MIB
from ops import console
from ops.sites.interface import Site
from ops.stacks.stack import Stack

_REPEATS = 3


def memory(place: Site, outputs: Mapping[str, Any]) -> None:
    """Prints each container's memory."""
    table = Table(title="memory at rest, MiB (without the page cache)", title_justify="left")
    for column in ("container", "used", "limit"):
        table.add_column(column, justify="right" if column != "container" else "left")
    total = 0.0
    for name, used, limit in sorted(place.memory(outputs)):
        total += used
        table.add_row(name, f"{used / MIB:.0f}", f"{limit / MIB:.0f}")
    table.add_row(
        f"together ({len(outputs['services'])} services and their jobs)", f"{total / MIB:.0f}", ""
    )
    console.out.print(table)


def times(stack: Stack) -> None:
    """Prints how long Pulumi's commands take. The stack must be deployed and unchanged."""
    table = Table(
        title=f"seconds with nothing to change, best and worst of {_REPEATS}", title_justify="left"
    )
    for column in ("command", "best", "worst"):
        table.add_column(column, justify="right" if column != "command" else "left")
    name = ("--stack", stack.name)
    commands = (
        ("pulumi preview", ("preview", *name)),
        ("pulumi up --skip-preview", ("up", "--yes", "--skip-preview", *name)),
        (
            "pulumi up --skip-preview --refresh",
            ("up", "--yes", "--skip-preview", "--refresh", *name),
        ),
    )
    for title, arguments in commands:
        times = sorted(_timed(partial(stack.ask, *arguments)) for _ in range(_REPEATS))
        table.add_row(title, f"{times[0]:.1f}", f"{times[-1]:.1f}")
    console.out.print(table)


def _timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began
