"""A review as Markdown: one comment for all stacks, the gravest first."""

from collections.abc import Iterator, Mapping, Sequence

from infra.units import GIB
from ops.review.findings import Delta, Review, Severity

LIMIT = 65_536
"""Characters of a comment on GitHub (docs.github.com; GitLab's limit is a million)."""

MARKER = "<!-- groundwork review -->"
_MARKS = {
    Severity.REFUSED: "⛔ refused:",
    Severity.LOSS: "🔴",
    Severity.INTERRUPTION: "🟠",
}


def render(reviews: Sequence[Review], *, link: str = "", limit: int = LIMIT) -> str:
    """The comment. Diffs that do not fit are left out, with a link to where all of it is."""
    full = _render(reviews, diffs=True, cut="")
    if len(full) <= limit:
        return full
    where = f" [The whole text]({link})" if link else " `make review` shows it."
    cut = f"The diff is left out: with it the comment would exceed {limit:,} characters.{where}"
    short = _render(reviews, diffs=False, cut=cut)
    if len(short) <= limit:
        return short
    end = f"\n\n…{where}\n"
    return short[: limit - len(end)].rpartition("\n")[0] + end


def _render(reviews: Sequence[Review], *, diffs: bool, cut: str) -> str:
    parts = [MARKER, "## Groundwork review"]
    if not reviews:
        parts.append("No stack changes.")
    for review in reviews:
        parts += _stack(review, diffs=diffs)
    if cut:
        parts.append(cut)
    return "\n\n".join(parts) + "\n"


def _stack(review: Review, *, diffs: bool) -> Iterator[str]:
    where = f" on {review.target}" if review.target else ""
    yield f"### `{review.stack}`{where}: {headline(review)}"
    if review.error:
        yield f"⛔ {_line(review.error)}"
        return
    if review.compared_with:
        yield f"Compared with {review.compared_with}."
    for line in review.unknown:
        yield f"❔ Not compared: {_line(line)}."
    if review.empty:
        return
    grave = [item for severity in _MARKS for item in review.of(severity)]
    if grave:
        yield "**Data and clients**\n\n" + "\n".join(
            f"- {_MARKS[item.severity]} {_line(item.text)}"
            + (f" *Fix: {_line(item.fix)}.*" if item.fix else "")
            for item in grave
        )
    else:
        yield "**Data and clients**: nothing is lost, and nobody is cut off."
    others = [f"- {_line(item.text)}" for item in review.of(Severity.CHANGE)]
    if others:
        yield "\n".join(others)
    yield from _services(review)
    yield from _resources(review)
    yield from _versions(review)
    if review.rotated:
        yield "**Secrets**: " + ", ".join(f"`{name}`" for name in review.rotated)
    if review.relaxed:
        yield "**Policies**\n\n" + "\n".join(f"- ⚠ {_line(item)}" for item in review.relaxed)
    if review.plan is not None:
        yield "**Pulumi's plan**: " + _plan(review.plan)
    yield from _folded(review, diffs=diffs)


def headline(review: Review) -> str:
    """The review in a few words."""
    if review.error:
        return "could not be reviewed"
    if review.refused:
        return "would be refused"
    if review.empty:
        return "nothing changes"
    cut = sum(1 for _ in review.of(Severity.INTERRUPTION))
    lost = sum(1 for _ in review.of(Severity.LOSS))
    words = [
        f"{lost} irreversible" if lost else "",
        f"{cut} interrupted" if cut else "",
        f"{len(review.created)} new" if review.created else "",
    ]
    return ", ".join(filter(None, words)) or "a harmless change"


def _services(review: Review) -> Iterator[str]:
    rows = (("created", review.created), ("changed", review.changed), ("deleted", review.deleted))
    lines = [
        f"- {what}: " + ", ".join(f"`{name}`" for name in names) for what, names in rows if names
    ]
    if lines:
        yield "**Services**\n\n" + "\n".join(lines)


def _resources(review: Review) -> Iterator[str]:
    changed = any(delta.before != delta.after for delta in review.totals.values())
    if not changed and review.costs is None:
        return
    rows = [
        _row("memory", review.totals["memory"], GIB, "GiB"),
        _row("cores", review.totals["cpus"], 1, ""),
        _row("disk", review.totals["disk"], GIB, "GiB"),
    ]
    if review.costs is not None:
        rows.append(_row("cost a month", review.costs, 1, review.currency))
    head = "| limits | before | after | difference | available |"
    yield "\n".join([head, "| --- |" + " ---: |" * 4, *rows])


def _row(what: str, delta: Delta, unit: float, name: str) -> str:
    def shown(value: float) -> str:
        return f"{value / unit:,.2f}".rstrip("0").rstrip(".") + (f" {name}" if name else "")

    difference = delta.after - delta.before
    sign = "+" if difference > 0 else ""
    available = "" if delta.capacity is None else shown(delta.capacity)
    return (
        f"| {what} | {shown(delta.before)} | {shown(delta.after)} | {sign}{shown(difference)} |"
        f" {available} |"
    )


def _versions(review: Review) -> Iterator[str]:
    if review.versions:
        yield "| image | from | to | |\n| --- | --- | --- | --- |\n" + "\n".join(
            f"| `{name}` | {old} | {new} | {'⬆ store' if store else ''} |"
            for name, old, new, store in review.versions
        )


def _plan(plan: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(plan.items()) if count)


def _folded(review: Review, *, diffs: bool) -> Iterator[str]:
    if review.settings:
        rows = "\n".join(
            f"| `{key}` | {_cell(old)} | {_cell(new)} |" for key, old, new in review.settings
        )
        yield (
            f"<details><summary>Settings ({len(review.settings)})</summary>\n\n"
            f"| key | before | after |\n| --- | --- | --- |\n{rows}\n\n</details>"
        )
    if review.diff and diffs:
        fence = "`" * max(3, _longest_run(review.diff) + 1)
        yield (
            "<details><summary>Full diff</summary>\n\n"
            f"{fence}diff\n{review.diff.rstrip()}\n{fence}\n\n</details>"
        )


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest


def _line(text: str) -> str:
    """Text on one line, in which nothing but code is markup."""
    joined = " ".join(text.split())
    parts = joined.split("`")
    return "`".join(
        part if index % 2 else part.replace("<", "&lt;").replace("*", "\\*").replace("@", "@\u200b")
        for index, part in enumerate(parts)
    )


def _cell(text: str) -> str:
    shown = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{shown}`" if shown else ""
