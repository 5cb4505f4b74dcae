"""The closing table: what runs, where, how long it took, and what was left out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import docker
from docker.errors import NotFound
from rich.table import Table

from ops import console


def show(outputs: Mapping[str, Any], *, began: float | None = None) -> None:
    """Prints the table of services from a stack's outputs. `began` is when the deploy started (Unix time)."""
    table = Table(title=f"Groundwork `{outputs['identity']['groundwork.stack']}`", title_justify="left")
    for column in ("service", "state", "endpoint", "version", "memory", "cpus", "time to healthy"):
        table.add_column(column, overflow="fold")
    client = docker.from_env()
    try:
        waits = _waits(client, outputs, began)
        for name, service in outputs["services"].items():
            endpoints = [f"{end['scheme']}://{end['host']}:{end['port']}" for end in service["endpoints"].values()]
            limits = service["limits"]
            table.add_row(
                name, _state(client, service["container"]), "\n".join(endpoints) or "inside only", service["version"],
                limits["memory"], f"{limits['cpus']:g}", waits.get(service["container"], "unchanged"),
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


def anything_started(outputs: Mapping[str, Any], began: float) -> bool:
    """Whether any of the stack's containers was started since `began` (Unix time)."""
    client = docker.from_env()
    try:
        return bool(_waits(client, outputs, began))
    finally:
        client.close()


def _state(client: docker.DockerClient, container: str) -> str:
    try:
        state = client.containers.get(container).attrs["State"]
    except NotFound:
        return "[red]missing[/red]"
    health = (state.get("Health") or {}).get("Status")
    status = health or ("running" if state.get("Running") else state.get("Status"))
    return f"[green]{status}[/green]" if status in ("healthy", "running") else f"[red]{status}[/red]"


def _waits(client: docker.DockerClient, outputs: Mapping[str, Any], began: float | None) -> dict[str, str]:
    """Seconds from a container's start to its first healthy answer, for those started since `began`."""
    if began is None:
        return {}
    identity = outputs["identity"]
    labels = [f"groundwork.{key}={identity[f'groundwork.{key}']}" for key in ("stack", "instance")]
    started: dict[str, float] = {}
    waits: dict[str, str] = {}
    events = client.api.events(since=int(began), until=int(datetime.now().timestamp()) + 1, decode=True, filters={"label": labels, "type": "container"})
    for event in events:
        name, at = event["Actor"]["Attributes"]["name"], event["timeNano"] / 1e9
        if event["Action"] == "start":
            started[name] = at
            waits[name] = "started"
        elif event["Action"].startswith("health_status: healthy") and waits.get(name) == "started":
            waits[name] = f"{at - started[name]:.1f} s"
    return waits
