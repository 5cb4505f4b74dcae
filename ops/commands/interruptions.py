"""Announces which services an `up` will interrupt, and for about how long, judging by their last
starts.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.targets.docker.naming import FILES_ROLE
from ops import console
from ops.paths import ROOT, STATE
from ops.stacks.progress import Watch
from ops.stacks.stack import Stack
from ops.stacks.state import read_record, write_private

_CONTAINER = "docker:index/container:Container"
_REPLACED = frozenset({"replace", "create-replacement", "delete-replaced"})
# What a deploy follows from, beside the engine's own state.
_PROGRAM = ("infra", "templates", "images", "charts")


def announce(stack: Stack, prefix: str) -> None:
    """Prints them. If nothing has changed since the last successful `up`, nothing is computed."""
    if _record(stack).get("inputs") == _inputs(stack):
        return
    done = stack.pulumi("preview", "--json", "--suppress-outputs", "--stack", stack.name)
    if done.returncode != 0:
        # The `up` that follows is refused for the same reasons, and shows them.
        return
    names = sorted(set(replaced(json.loads(done.stdout), prefix)))
    if names:
        seconds = _record(stack).get("seconds") or {}
        told = (
            f"{name} (about {seconds[name]:.0f} s)" if name in seconds else name for name in names
        )
        console.out.print(f"will be interrupted while being replaced: {', '.join(told)}")


def replaced(preview: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """The services whose containers a preview replaces; provisioning jobs have no clients."""
    for step in preview.get("steps") or ():
        kind, _, name = str(step.get("urn", "")).rpartition("::")
        if (
            step.get("op") in _REPLACED
            and kind.endswith(_CONTAINER)
            and not name.endswith(("-provision", f"-{FILES_ROLE}"))
        ):
            yield name.removeprefix(prefix)


def remember(stack: Stack, watch: Watch, outputs: Mapping[str, Any]) -> None:
    """Records what was deployed, and how long each started service took to become healthy."""
    seconds = dict(_record(stack).get("seconds") or {})
    for name, service in outputs["services"].items():
        taken = watch.seconds(service["container"])
        if taken is not None:
            seconds[name] = round(taken, 1)
    write_private(_path(stack), json.dumps({"inputs": _inputs(stack), "seconds": seconds}))


def _path(stack: Stack) -> Path:
    return STATE / f"{stack.name}.deployed.json"


def _record(stack: Stack) -> dict[str, Any]:
    return read_record(_path(stack))


def _inputs(stack: Stack) -> str:
    digest = hashlib.sha256(stack.file.read_bytes() if stack.file.exists() else b"")
    for folder in _PROGRAM:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()
