"""`make drift`: where what runs differs from the stack's state."""

from ops import console
from ops.review import publish
from ops.sites import site
from ops.stacks.stack import Stack


def run(*, issue: bool) -> None:
    """Prints it; opens, updates or closes the stack's issue if asked. Raises Failed if there is
    any.
    """
    stack = site.open_target()
    found = find(stack)
    text = "\n".join(f"- {line}" for line in found)
    if issue:
        title = f"Drift: {stack.name}"
        done = publish.forge().issue(title, _issue(stack, text) if found else None)
        console.out.print(f"drift: issue `{title}`: {done}", markup=False)
    if found:
        raise console.Failed(
            f"`{stack.name}` differs from its state:\n{text}",
            f"`make up STACK={stack.name}` puts it right; `pulumi refresh` takes it as it is",
        )
    console.out.print(f"drift: none; `{stack.name}` is as it was deployed")


def find(stack: Stack) -> list[str]:
    """A line for each difference: what the site sees, and what Pulumi's refresh would change."""
    resources = stack.export()
    if not resources:
        raise console.Failed(
            f"the stack `{stack.name}` is not deployed", f"make up STACK={stack.name}"
        )
    names, _ = site.of(stack).repairs(resources)
    lines = [f"`{name}` is gone, stopped or changed" for name in names]
    arguments = ("refresh", "--preview-only", "--expect-no-changes", "--stack", stack.name)
    done = stack.pulumi(*arguments)
    if done.returncode != 0:
        changed = [line.strip() for line in done.stdout.splitlines() if _tells(line)]
        if not changed and "no changes were expected" not in done.stdout + done.stderr:
            raise stack.failure(arguments, done.stderr + done.stdout)
        lines += [f"refresh: {line}" for line in changed if not any(n in line for n in names)]
    return lines


def _tells(line: str) -> bool:
    """True for a line of a refresh's preview about one resource that differs."""
    return line.strip().startswith(("~ ", "- ", "+ ")) and ":" in line


def _issue(stack: Stack, text: str) -> str:
    return (
        f"What runs differs from the state of `{stack.name}`:\n\n{text}\n\n"
        f"`make up STACK={stack.name}` puts it right; `pulumi refresh` takes it as it is. This"
        " issue is closed by the next check that finds no difference.\n"
    )
