"""The closing table: what runs, where, how long it took, and what was left out."""

from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import NotFound
from rich.table import Table

from ops import console
from ops.progress import Watch


def show(outputs: Mapping[str, Any], watch: Watch | None = None) -> None:
    """Prints the table of services from a stack's outputs, with the times that a deploy's watch saw."""
    table = Table(title=f"Groundwork `{outputs['identity']['groundwork.stack']}`", title_justify="left")
    for column in ("service", "state", "endpoint", "image", "memory", "cpus", "time to healthy"):
        table.add_column(column, overflow="fold")
    client = docker.from_env()
    try:
        for name, service in outputs["services"].items():
            endpoints = [f"{end['scheme']}://{end['host']}:{end['port']}" for end in service["endpoints"].values()]
            limits = service["limits"]
            table.add_row(
                name, _state(client, service["container"]), "\n".join(endpoints) or "inside only", service["image"].partition("@")[0],
                limits["memory"], f"{limits['cpus']:g}", _wait(watch, service["container"]),
            )  # fmt: skip
    finally:
        client.close()
    console.out.print(table)
    images = outputs["images"]
    console.out.print(
        f"Images: {images}. Credentials: `make env` writes the application's to .env; all of them: `pulumi stack output credentials --show-secrets`."
    )
    for item in outputs["leftOut"]:
        console.out.print(f"  left out: {item['service']}: {item['reason']}")
    for note in outputs["notes"]:
        console.out.print(f"  note: {note}")


def _state(client: docker.DockerClient, container: str) -> str:
    try:
        state = client.containers.get(container).attrs["State"]
    except NotFound:
        return "[red]missing[/red]"
    health = (state.get("Health") or {}).get("Status")
    status = health or ("running" if state.get("Running") else state.get("Status"))
    return f"[green]{status}[/green]" if status in ("healthy", "running") else f"[red]{status}[/red]"


def _wait(watch: Watch | None, container: str) -> str:
    if watch is None or container not in watch.started:
        return "unchanged"
    seconds = watch.seconds(container)
    return "started" if seconds is None else f"{seconds:.1f} s"
