"""The command line: its frame, and how known failures end."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec

import typer
from docker.errors import DockerException

from infra.refusal import PreflightError
from ops import console

P = ParamSpec("P")
app = typer.Typer(
    help="Groundwork's commands; `make help` lists the short forms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def main(
    stack: Annotated[
        str | None, typer.Option(envvar="STACK", help="The stack; `dev`, if not set.")
    ] = None,
) -> None:
    """Groundwork's commands; `make help` lists the short forms."""
    if stack is not None:
        os.environ["STACK"] = stack


def command(function: Callable[P, None]) -> Callable[P, None]:
    """A command whose known failures end with a message and status 1 instead of a stack trace."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except console.Failed as error:
            console.fail(error)
        except PreflightError as refused:
            console.fail(console.Failed(str(refused)))
        except (DockerException, OSError) as error:
            console.fail(
                console.Failed(
                    f"{type(error).__name__}: {error}",
                    "check that Docker or the cluster answers, then run the same command again",
                )
            )
        except KeyboardInterrupt:
            console.fail(
                console.Failed("interrupted", "run the same command again: it continues from here")
            )

    return app.command(name=function.__name__.strip("_").replace("_", "-"))(wrapped)
