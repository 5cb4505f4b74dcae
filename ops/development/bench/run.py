"""`make bench`: the deployed stack, then the comparison with other tools."""

from collections.abc import Sequence
from pathlib import Path

from ops import console
from ops.development.bench import compare, deployed, report
from ops.sites import site
from ops.stacks.stack import open_stack


def run(*, peers: bool, counts: Sequence[int], repeats: int, write: Path | None) -> None:
    """Prints all tables; writes the comparison to a file if asked. The stack must be deployed and
    unchanged.
    """
    site.ensure_engine()
    stack = open_stack()
    place = site.of(stack)
    deployed.memory(place, stack.outputs())
    deployed.times(stack)
    if not peers:
        return
    if stack.clustered:
        raise console.Failed(
            "only Docker stacks can be compared: Compose and Terraform's Docker provider know no"
            " cluster",
            "make bench STACK=<a stack on Docker>",
        )
    figures = compare.Figures()
    compare.platform(stack, figures, repeats=repeats)
    compare.small(stack, figures, counts, repeats=repeats)
    report.show(figures)
    if write is not None:
        write.write_text(report.markdown(figures))
