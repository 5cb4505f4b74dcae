"""The commands behind `make`."""

# ruff: noqa: PT028 - `test` is a command here

import os
from pathlib import Path
from typing import Annotated

import typer

from infra import consent
from ops import console, data, reviews, utf8
from ops.cli import app, command

__all__ = ["data", "reviews"]


@command
def up(
    reviewed: Annotated[
        Path | None,
        typer.Option(help="Refuse what this file, from `review --json`, does not name."),
    ] = None,
    empty: Annotated[
        str | None,
        typer.Option(
            envvar=consent.EMPTY,
            help="Services that may start empty although their volume is gone.",
        ),
    ] = None,
    health: Annotated[
        bool, typer.Option(help="Verify at the end; if not, run `make health` later.")
    ] = True,
) -> None:
    """Set up the prerequisites, deploy the stack, verify that it is healthy."""
    from ops.commands import deploy

    if empty is not None:
        # The program reads it too, which plain `pulumi up` runs without this command.
        os.environ[consent.EMPTY] = empty
    deploy.up(reviewed=reviewed, verify=health)


@command
def diagnose(folder: Annotated[Path, typer.Argument(help="Where to write.")]) -> None:
    """Write states, logs and events of what is deployed into a folder."""
    from ops.commands import deploy

    deploy.diagnose(folder)


@command
def init() -> None:
    """Create the stack and its generated keys without deploying anything."""
    from ops.commands import deploy

    deploy.initialise()


@command
def preview() -> None:
    """Show what `up` would change."""
    from ops.commands import deploy

    deploy.preview()


@command
def health() -> None:
    """Verify that the deployed stack works."""
    from ops.commands import deploy

    deploy.verify()


@command
def forward() -> None:
    """Forward a cluster's endpoints to this machine until interrupted."""
    from ops.sites import forward as forwards
    from ops.stacks.stack import open_stack

    outputs = open_stack().outputs()
    if outputs["target"]["kind"] != "kubernetes":
        raise console.Failed(
            "this stack is on a Docker host, where its ports are already published",
            "`make env` writes them to .env",
        )
    forwards.everything(outputs)


@command
def env(
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that this command did not write.")
    ] = False,
) -> None:
    """Write the application's environment to .env and the administrators' to .env.admin (0600)."""
    from ops.commands import dotenv
    from ops.stacks.stack import open_stack

    dotenv.write(open_stack(), force=force)


@command
def logs(service: Annotated[str, typer.Argument(help="The service, such as postgres.")]) -> None:
    """Follow a service's log."""
    from ops.sites import site
    from ops.stacks.stack import open_stack

    stack = open_stack()
    services = stack.outputs()["services"]
    if service not in services:
        raise console.Failed(
            f"there is no service `{service}` in this stack",
            f"make logs S=<one of {', '.join(services)}>",
        )
    site.of(stack).follow(service, services[service])


@command
def down() -> None:
    """Remove the stack's containers and networks; keep its data."""
    from ops.commands import deploy

    deploy.down()


@command
def purge(
    confirm: Annotated[
        str | None, typer.Option(help="The stack's name, to skip the prompt.")
    ] = None,
) -> None:
    """Delete the stack and its data, after asking for the stack's name."""
    from ops.commands import deploy

    deploy.purge(confirmation=confirm)


@command
def shellenv() -> None:
    """Print shell code to `eval` for using plain `pulumi` here."""
    import shlex

    # What is printed is for a shell; what is told is for a person.
    console.out = console.err
    from ops.stacks.stack import open_stack

    stack = open_stack()
    for name, value in sorted(stack.environment.items()):
        if os.environ.get(name) != value and name != "PULUMI_CONFIG_PASSPHRASE":
            typer.echo(f"export {name}={shlex.quote(value)}")


@command
def bench(
    peers: Annotated[bool, typer.Option(help="Measure Compose and Terraform beside it.")] = True,
    small: Annotated[
        list[int] | None, typer.Option(help="Also measure this many small services.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each comparison.")] = 3,
    write: Annotated[
        Path | None, typer.Option(help="Write the comparison to this file, as Markdown.")
    ] = None,
) -> None:
    """Measure speed and memory of the deployed stack, and the same containers by other tools."""
    from ops.development.bench import compare, run

    counts = compare.SMALL if small is None else small
    run.run(peers=peers, counts=counts, repeats=repeats, write=write)


@command
def test(
    live: Annotated[bool, typer.Option(help=("Include the tests that deploy for real."))] = True,
) -> None:
    """Run lint, type checks and all tests."""
    from ops.development import testing

    testing.run(live=live)


@command
def test_live() -> None:
    """Run only the tests that deploy on Docker."""
    from ops.development import testing

    testing.live()


@command
def test_kubernetes() -> None:
    """Test only the chart and the platform on a real cluster."""
    from ops.development import testing

    testing.kubernetes()


@command
def lint() -> None:
    """Run only lint and type checks."""
    from ops.development import testing

    testing.lint()


@command
def docs() -> None:
    """Generate the references of settings, metrics and the chart's values."""
    from ops.development import (
        chart_reference,
        environment_reference,
        metrics_reference,
        reference,
    )

    reference.write()
    chart_reference.write()
    metrics_reference.write()
    environment_reference.write()


@command
def pictures(
    minutes: Annotated[int, typer.Option(min=1, help="Minutes of data to draw.")] = 15,
) -> None:
    """Draw the dashboards from the deployed stack's live data, for the README."""
    from ops.development import dashboard_images as drawing
    from ops.stacks.stack import open_stack

    drawing.draw(open_stack().outputs()["administration"], minutes=minutes)


@command
def lock() -> None:
    """Re-resolve the dependencies, with hashes."""
    from ops.development import lockfiles

    lockfiles.resolve()


if __name__ == "__main__":
    utf8.ensure()
    app()
