"""`make review`: what a change would do, for a person or as a comment on a pull request."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.description import describe
from infra.refusal import PreflightError, Violation
from ops import console
from ops.commands import interruptions
from ops.review import markdown as comment
from ops.review import sources
from ops.review.compare import compare, summary
from ops.review.findings import Delta, Finding, Review, Severity
from ops.review.sources import PreviewFailed, Unavailable
from ops.stacks.stack import Stack, stack_name

AGAINST = ("auto", "base", "state")


def collect(stacks: Sequence[str], *, base: str | None, against: str) -> list[Review]:
    """The reviews of named stacks, or of those that a revision differs in. Raises Failed."""
    if against not in AGAINST:
        raise console.Failed(f"`{against}` is none of {', '.join(AGAINST)}", "correct --against")
    if against == "base" and base is None:
        raise console.Failed("--against base needs a revision", "add --base origin/main")
    named = list(stacks) or (sources.changed_stacks(base) if base else [stack_name()])
    reviews = [review_of(name, base=base, against=against) for name in named]
    return [review for review in reviews if stacks or base is None or not review.empty]


def show(
    reviews: Sequence[Review], *, markdown: Path | None, json_file: Path | None, link: str
) -> None:
    """Writes or prints them; raises Failed if one would be refused or could not be reviewed."""
    text = comment.render(reviews, link=link)
    if json_file is not None:
        content = [review.as_json() for review in reviews]
        json_file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    if markdown is not None:
        markdown.write_text(text)
    else:
        console.out.print(text, markup=False)
    console.err.print(f"review: {summary(reviews)}", markup=False)
    refused = [review.stack for review in reviews if review.refused]
    if refused:
        raise console.Failed(
            f"{', '.join(refused)}: this change cannot be deployed; the reasons are in the review",
            "mend what it names, then run `make review` again",
        )


def review_of(name: str, *, base: str | None, against: str) -> Review:
    """One stack's review; what goes wrong is part of it."""
    try:
        after = describe(sources.file_of(name), name)
    except Unavailable as error:
        if base is not None and not str(error).endswith("mapping of keys"):
            return _without_file(name, base, str(error))
        return Review(stack=name, error=str(error))
    except PreflightError as refused:
        return Review(stack=name, findings=tuple(map(_refusal, refused.problems)))
    try:
        return _against(name, after, base=base, against=against)
    except Unavailable as error:
        return Review(stack=name, target=after["target"], error=str(error))


def _without_file(name: str, base: str, why: str) -> Review:
    try:
        before, _ = sources.of_revision(base, name)
    except Unavailable as error:
        return Review(stack=name, error=str(error))
    if before is None:
        return Review(stack=name, error=why)
    return Review(
        stack=name,
        compared_with=f"`{base}`",
        findings=(
            Finding(
                severity=Severity.CHANGE,
                subject=name,
                text=(
                    f"the file of `{name}` is removed; what it has deployed stays until `make"
                    f" down STACK={name}`"
                ),
            ),
        ),
        deleted=tuple(before["services"]),
    )


def _against(name: str, after: Mapping[str, Any], *, base: str | None, against: str) -> Review:
    unknown: list[str] = []
    stack: Stack | None = None
    before: dict[str, Any] | None = None
    compared_with = ""
    if against != "base":
        try:
            stack = sources.open_existing(name)
            before, compared_with = sources.deployed(stack), "what is deployed"
        except Unavailable as error:
            if against == "state":
                raise
            stack = None
            unknown.append(f"what is deployed ({error})")
    if before is None and base is not None:
        before, missing = sources.of_revision(base, name)
        unknown += [missing] if missing else []
        compared_with = f"`{base}`" if before else f"nothing: `{base}` has no such stack"
    review = compare(
        before,
        after,
        compared_with=compared_with or "nothing, so all looks new",
        seconds=interruptions.seconds(name),
    )
    review = replace(review, unknown=(*review.unknown, *unknown))
    return _with_plan(review, stack) if stack is not None else review


def _with_plan(review: Review, stack: Stack) -> Review:
    """The review with Pulumi's own preview, which asks the engine or the cluster."""
    try:
        plan, diff = sources.plan_of(stack)
    except PreviewFailed as failed:
        refusals = list(_refusals(str(failed)))
        if refusals:
            return replace(review, findings=(*refusals, *review.findings))
        lines = [line.strip() for line in str(failed).splitlines() if line.strip()]
        why = lines[-1] if lines else "pulumi printed nothing"
        return replace(review, error=f"the preview failed: {why}")
    return replace(review, plan=plan, diff=diff, totals=_with_capacity(review, stack))


def _with_capacity(review: Review, stack: Stack) -> dict[str, Delta]:
    from ops.sites import site

    capacity = site.of(stack).capacity()
    return {
        name: replace(delta, capacity=capacity.get(name)) for name, delta in review.totals.items()
    }


def _refusal(problem: Violation) -> Finding:
    return Finding(
        severity=Severity.REFUSED,
        subject=problem.key,
        text=f"`{problem.key}`: {problem.reason}",
        fix=problem.fix,
    )


def _refusals(text: str) -> Iterator[Finding]:
    """The program's own refusals among Pulumi's messages."""
    for found in re.finditer(r"^\s*- (.+?): (.+)\n\s+fix: (.+)$", text, re.M):
        key, reason, fix = found.groups()
        yield _refusal(Violation(key=key, reason=reason, fix=fix))


def description_text() -> str:
    """The description of the stack that STACK names, as JSON. Raises Failed or PreflightError."""
    try:
        return json.dumps(describe(sources.file_of(stack_name()), stack_name()), sort_keys=True)
    except Unavailable as error:
        raise console.Failed(str(error)) from None


def upgrade() -> None:
    """Prints what this version of Groundwork would change in the deployed stack."""
    name = stack_name()
    try:
        stack = sources.open_existing(name)
        before = sources.deployed(stack)
        after = describe(sources.file_of(name), name)
    except Unavailable as error:
        raise console.Failed(
            f"the stack `{name}` cannot be compared: {error}", f"make up STACK={name}"
        ) from None
    review = compare(
        before,
        after,
        compared_with=f"what version {before.get('version')} has deployed; this is"
        f" {after['version']}",
        seconds=interruptions.seconds(name),
    )
    console.out.print(comment.render([review]), markup=False)
    if review.refused:
        raise console.Failed("this version cannot be deployed onto the stack; see above")
