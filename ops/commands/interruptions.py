"""Announces which services an `up` will interrupt, and for about how long, judging by their last
starts.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.targets.docker.naming import FILES_ROLE
from ops import console
from ops.paths import ROOT, STATE
from ops.sites.interface import Resources
from ops.stacks import private
from ops.stacks.progress import Watch
from ops.stacks.stack import Stack, outputs_of
from ops.stacks.state import read_record

_CONTAINER = "docker:index/container:Container"
_REPLACED = frozenset({"replace", "create-replacement", "delete-replaced"})
# What a deploy follows from, beside the stack's file and state and what its site is.
_PROGRAM = ("infra", "templates", "images", "charts", "requirements")
_ENVIRONMENT = ("DOCKER_HOST", "DOCKER_CONTEXT", "KUBECONFIG")


def unchanged(stack: Stack, resources: Resources, facts: Mapping[str, Any]) -> bool:
    """True if a deploy would follow from what the last successful one has left: the same files,
    tools, state and facts about its site.
    """
    return _record(stack).get("inputs") == _inputs(stack, resources, facts)


def announce(stack: Stack, prefix: str) -> None:
    """Prints them, judging by a preview."""
    done = stack.pulumi("preview", "--json", "--suppress-outputs", "--stack", stack.name)
    if done.returncode != 0:
        # The `up` that follows is refused for the same reasons, and shows them.
        return
    names = sorted(set(replaced(json.loads(done.stdout), prefix)))
    if names:
        taken = seconds(stack.name)
        told = (f"{name} (about {taken[name]:.0f} s)" if name in taken else name for name in names)
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


def remember(stack: Stack, watch: Watch, resources: Resources, facts: Mapping[str, Any]) -> None:
    """Records what was deployed, and how long each started service took to become healthy."""
    known = seconds(stack.name)
    for name, service in outputs_of(resources)["services"].items():
        taken = watch.seconds(service["container"])
        if taken is not None:
            known[name] = round(taken, 1)
    inputs = _inputs(stack, resources, facts)
    private.write(_path(stack.name), json.dumps({"inputs": inputs, "seconds": known}))


def seconds(stack: str) -> dict[str, float]:
    """Service to the seconds that its last start took on this machine."""
    return dict(read_record(_path(stack)).get("seconds") or {})


def _path(stack: str) -> Path:
    return STATE / f"{stack}.deployed.json"


def _record(stack: Stack) -> dict[str, Any]:
    return read_record(_path(stack.name))


def _inputs(stack: Stack, resources: Resources, facts: Mapping[str, Any]) -> str:
    known = {
        "resources": list(resources),
        "facts": dict(facts),
        "tools": stack.tools.origin,
        "environment": {name: os.environ.get(name) for name in _ENVIRONMENT},
    }
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    digest.update(stack.file.read_bytes() if stack.file.exists() else b"")
    for folder in _PROGRAM:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()
