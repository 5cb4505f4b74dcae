"""Measures a deployed stack: memory at rest, and how long what people wait for takes. It asserts nothing."""

import time
from collections.abc import Callable
from typing import Any

import docker
from rich.table import Table

from infra.units import MIB
from ops import console, engine, recovery
from ops.stack import Stack

_REPEATS = 3


def run(stack: Stack) -> None:
    """Prints both tables. The stack must be deployed and unchanged."""
    engine.ensure()
    outputs = stack.outputs()
    _memory(stack, outputs["services"])
    _times(stack)


def _memory(stack: Stack, services: dict[str, object]) -> None:
    table = Table(title="memory at rest, MiB (without the page cache)", title_justify="left")
    for column in ("container", "used", "limit"):
        table.add_column(column, justify="right" if column != "container" else "left")
    total = 0.0
    client = docker.from_env()
    try:
        for container in sorted(client.containers.list(filters=recovery.owner_filter(stack)), key=lambda item: str(item.name)):
            stats: dict[str, Any] = container.stats(stream=False)  # type: ignore[assignment]
            memory = stats["memory_stats"]
            details = memory.get("stats") or {}
            used = (memory["usage"] - details.get("total_inactive_file", details.get("inactive_file", 0))) / MIB
            total += used
            table.add_row(str(container.name), f"{used:.0f}", f"{memory['limit'] / MIB:.0f}")
    finally:
        client.close()
    table.add_row(f"together ({len(services)} services and their jobs)", f"{total:.0f}", "")
    console.out.print(table)


def _times(stack: Stack) -> None:
    table = Table(title=f"seconds with nothing to change, best and worst of {_REPEATS}", title_justify="left")
    for column in ("command", "best", "worst"):
        table.add_column(column, justify="right" if column != "command" else "left")
    name = ("--stack", stack.name)
    commands = (
        ("pulumi preview", ("preview", *name)),
        ("pulumi up --skip-preview", ("up", "--yes", "--skip-preview", *name)),
        ("pulumi up --skip-preview --refresh", ("up", "--yes", "--skip-preview", "--refresh", *name)),
    )
    for title, arguments in commands:
        times = sorted(_timed(lambda arguments=arguments: stack.ask(*arguments)) for _ in range(_REPEATS))  # type: ignore[misc]
        table.add_row(title, f"{times[0]:.1f}", f"{times[-1]:.1f}")
    console.out.print(table)


def _timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began
