"""Figures as a table for a terminal and as Markdown."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import docker
from rich.table import Table

from infra.units import GIB
from ops import console
from ops.development.bench.compare import Figures

_OURS = "Groundwork"


def show(figures: Figures) -> None:
    """Prints the comparison: the median in seconds, the range, and the ratio to Groundwork's."""
    tools = columns(figures)
    table = Table(
        title="seconds: median (range), x times as long with Groundwork", title_justify="left"
    )
    table.add_column("operation")
    for tool in tools:
        table.add_column(tool, justify="right")
    for row in rows(figures, tools):
        table.add_row(*row)
    console.out.print(table)


def columns(figures: Figures) -> list[str]:
    """The tools, Groundwork first."""
    found = {tool for seconds in figures.seconds.values() for tool in seconds}
    return sorted(found, key=lambda tool: (tool != _OURS, tool))


def rows(figures: Figures, tools: Sequence[str]) -> Iterator[list[str]]:
    """A row an operation; a tool that has no such operation has a dash."""
    for operation, seconds in figures.seconds.items():
        own = seconds.get(_OURS)
        yield [operation, *(_cell(seconds.get(tool), own, tool) for tool in tools)]


def _cell(seconds: Sequence[float] | None, own: Sequence[float] | None, tool: str) -> str:
    if not seconds:
        return "-"
    shown = f"{median(seconds):.1f}"
    if len(seconds) > 1:
        shown += f" ({min(seconds):.1f}-{max(seconds):.1f})"
    return shown if tool == _OURS or not own else f"{shown} x{median(own) / median(seconds):.2f}"


def markdown(figures: Figures) -> str:
    """The comparison as a section of a document, with the machine's facts."""
    tools = columns(figures)
    lines = [
        "| operation | " + " | ".join(tools) + " |",
        "| --- |" + " ---: |" * len(tools),
        *("| " + " | ".join(row) + " |" for row in rows(figures, tools)),
    ]
    facts = "; ".join(f"{key} {value}" for key, value in machine().items())
    return f"Measured on {datetime.now(UTC):%Y-%m-%d}: {facts}.\n\n" + "\n".join(lines) + "\n"


def machine() -> Mapping[str, str]:
    """Facts about this machine."""
    client = docker.from_env()
    try:
        info = client.info()
    finally:
        client.close()
    return {
        "cores": str(info["NCPU"]),
        "memory": f"{info['MemTotal'] / GIB:.0f} GiB",
        "Docker": str(info["ServerVersion"]),
        "storage": str(info["Driver"]),
        "kernel": platform.release(),
        "processor": _processor(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
