"""The summary: what runs, where, how long it took, and what was left out."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from ops import console
from ops.sites.interface import Site
from ops.stacks.progress import Watch


def show(place: Site, outputs: Mapping[str, Any], watch: Watch | None = None) -> None:
    """Prints the table of services from a stack's outputs, with the times that a deploy's watch
    recorded.
    """
    table = Table(
        title=f"Groundwork `{outputs['identity']['groundwork.stack']}`", title_justify="left"
    )
    for column in ("service", "state", "endpoint", "image", "memory", "cpus", "time to healthy"):
        table.add_column(column, overflow="fold")
    states = place.states(outputs)
    for name, service in outputs["services"].items():
        limits = service["limits"]
        table.add_row(
            name,
            _colour(states[name]),
            "\n".join(_addresses(name, service)) or "internal only",
            service["image"].partition("@")[0],
            limits["memory"],
            f"{limits['cpus']:g}",
            _wait(watch, service["container"]),
        )
    console.out.print(table)
    if outputs["target"]["kind"] == "kubernetes":
        console.out.print(
            "These addresses are inside the cluster; `make forward` makes them available on this"
            " machine, on the ports in .env."
        )
    images = outputs["images"]
    console.out.print(
        f"Images: {images}. Credentials: `make env` writes the application's to .env; to see them"
        " all: `pulumi stack output credentials --show-secrets`."
    )
    for item in outputs["leftOut"]:
        console.out.print(f"  left out: {item['service']}: {item['reason']}")
    for note in outputs["notes"]:
        console.out.print(f"  note: {note}")


def _addresses(name: str, service: Mapping[str, Any]) -> list[str]:
    """The endpoint column: on this machine, or inside the cluster."""
    ends = service["endpoints"].values()
    if "namespace" in service:
        return [
            f"{end['scheme']}://{name}.{service['namespace']}:{end['servicePort']}" for end in ends
        ]
    return [f"{end['scheme']}://{end['host']}:{end['port']}" for end in ends]


def _colour(state: str) -> str:
    return f"[green]{state}[/green]" if state in ("healthy", "running") else f"[red]{state}[/red]"


def _wait(watch: Watch | None, container: str) -> str:
    if watch is None or container not in watch.started:
        return "unchanged"
    seconds = watch.seconds(container)
    return "started" if seconds is None else f"{seconds:.1f} s"
