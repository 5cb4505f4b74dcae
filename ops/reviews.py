"""The commands of reviews: previews of pull requests, comments, drift, upgrades."""

from pathlib import Path
from typing import Annotated

import typer

from ops.cli import command


@command
def review(
    stacks: Annotated[
        list[str] | None,
        typer.Argument(help="Stacks; those that change if `--base` is given, else STACK."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Revision to compare with, such as origin/main.")
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            help="`state` (what is deployed; required), `base` (the revision; needs no access),"
            " or `auto` (the state if it can be read)."
        ),
    ] = "auto",
    markdown: Annotated[
        Path | None, typer.Option(help="Write the comment to this file instead of printing it.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the reviews as JSON.")] = None,
    link: Annotated[str, typer.Option(help="Where the whole text is, if it is cut.")] = "",
) -> None:
    """Say what a change would do before it happens: data, clients, resources, secrets, policies."""
    from ops.commands import review as reviewing

    found = reviewing.collect(stacks or [], base=base, against=against)
    reviewing.show(found, markdown=markdown, json_file=json, link=link)


@command
def describe() -> None:
    """Print the stack's description as JSON: plain data without a secret."""
    from ops.commands import review as reviewing

    typer.echo(reviewing.description_text())


@command
def comment(
    file: Annotated[Path, typer.Argument(help="The comment's text, from `review --markdown`.")],
) -> None:
    """Put a review on the pull request that CI runs for: one comment, updated in place."""
    from ops.review import publish

    publish.comment(file.read_text())


@command
def drift(
    issue: Annotated[
        bool, typer.Option("--issue", help="Open, update or close the stack's issue of drift.")
    ] = False,
) -> None:
    """Compare the stack's state with what runs; status 1 if they differ."""
    from ops.commands import drift as drifting

    drifting.run(issue=issue)


@command
def upgrade_check() -> None:
    """Say what this version of Groundwork would change in the deployed stack, stores first."""
    from ops.commands import review as reviewing

    reviewing.upgrade()
