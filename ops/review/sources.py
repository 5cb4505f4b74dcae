"""Where the description of before comes from: the stack's state, or another commit."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from infra.description import describe
from infra.refusal import PreflightError
from ops import console
from ops.build import toolchain
from ops.paths import ROOT
from ops.review import steps
from ops.stacks import state
from ops.stacks.stack import Stack, target_of


class Unavailable(Exception):
    """It cannot be had here; the text says why."""


def file_of(stack: str) -> dict[str, Any]:
    """The content of a stack's file. Raises Unavailable if there is none, or it cannot be read."""
    path = ROOT / f"Pulumi.{stack}.yaml"
    if not path.exists():
        raise Unavailable(f"the stack `{stack}` has no file {path.name}")
    return _loaded(path.read_text(), path.name)


def _loaded(text: str, name: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise Unavailable(f"{name} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise Unavailable(f"{name} is no mapping of keys")
    return content


def open_existing(stack: str) -> Stack:
    """The stack with tools that are here or can be downloaded. Raises Unavailable."""
    found = toolchain.find(target_of(stack))
    missing = [name for name, place in found.items() if place is None]
    if missing:
        raise Unavailable(f"{', '.join(missing)} is not on this machine (`make up` builds it)")
    try:
        tools = toolchain.ensure(target_of(stack))
        encrypted = "encryptionsalt" in file_of(stack)
        return Stack(stack, tools, state.backend(tools, stack=stack, encrypted=encrypted))
    except console.Failed as failed:
        raise Unavailable(failed.what) from None


def deployed(stack: Stack) -> dict[str, Any]:
    """The description that the last deploy has published. Raises Unavailable."""
    try:
        outputs = stack.outputs()
    except console.Failed as failed:
        raise Unavailable(failed.what) from None
    found = outputs.get("description")
    if not isinstance(found, dict):
        raise Unavailable("it was deployed by a version that published no description")
    return found


def of_revision(revision: str, stack: str) -> tuple[dict[str, Any] | None, str]:
    """The description by a commit's own code, None if it has no such stack; and what could not be
    compared. Raises Unavailable.
    """
    text = _git("show", f"{revision}:Pulumi.{stack}.yaml")
    if text is None:
        if _git("rev-parse", "--verify", f"{revision}^{{commit}}") is None:
            raise Unavailable(f"there is no revision `{revision}` here (a shallow clone?)")
        return None, ""
    with _tree(revision) as tree:
        done = subprocess.run(
            [sys.executable, "-m", "ops", "--stack", stack, "describe"],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout)
        return found, ""
    try:
        return describe(_loaded(text, f"Pulumi.{stack}.yaml"), stack), (
            f"the code of {revision}, which describes nothing itself: only settings are compared"
        )
    except PreflightError:
        raise Unavailable(f"the stack's file in {revision} is refused") from None


def changed_stacks(revision: str) -> list[str]:
    """Every stack of this tree and of a commit: which of them change is seen by comparing them."""
    here = {path.name for path in ROOT.glob("Pulumi.*.yaml")}
    listed = _git("ls-tree", "--name-only", revision) or ""
    there = {name for name in listed.splitlines() if name.startswith("Pulumi.")}
    names = {name.removeprefix("Pulumi.").removesuffix(".yaml") for name in here | there}
    return sorted(name for name in names if name != "yaml" and name)


@contextmanager
def _tree(revision: str) -> Iterator[Path]:
    """The files of a commit, in a folder that goes."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "tree"
        if _git("worktree", "add", "--detach", str(place), revision) is None:
            raise Unavailable(f"the files of `{revision}` cannot be had from git")
        try:
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*arguments: str) -> str | None:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else None


def plan_of(stack: Stack) -> tuple[Mapping[str, int], str]:
    """Pulumi's own preview: the number of operations, and the diff as text. Raises PreviewFailed
    with its messages.
    """
    done = stack.pulumi("preview", "--json", "--stack", stack.name)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = {}
    if done.returncode != 0:
        messages = [
            str(item.get("message", ""))
            for item in found.get("diagnostics") or ()
            if item.get("severity") == "error"
        ]
        raise PreviewFailed("\n".join(messages) or done.stderr or done.stdout)
    return steps.operations(found), steps.diff(found)


class PreviewFailed(Exception):
    """Pulumi's preview failed; the text is its messages."""
