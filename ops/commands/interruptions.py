"""What an `up` will interrupt, and for about how long, judging by the last starts; and whether it
has anything to do at all.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.description import FORMAT
from infra.services import retention
from infra.targets.docker.naming import FILES_ROLE
from ops import console
from ops.paths import ROOT, STATE
from ops.review.compare import compare
from ops.review.findings import Severity
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
    tools, state and facts about its site. False where there are no facts, since then only Pulumi
    finds drift.
    """
    return bool(facts) and _record(stack).get("inputs") == _inputs(
        stack, resources, facts, _program()
    )


def announce(
    stack: Stack,
    prefix: str,
    resources: Resources,
    facts: Mapping[str, Any],
    after: Mapping[str, Any] | None,
) -> None:
    """Prints them: by the description `after` beside the deployed one, in milliseconds, as long as
    the program is that of the last deploy; else by a preview, which takes as long as a deploy.
    """
    known = outputs_of(resources).get("description") or {}
    if after and known.get("format") == FORMAT and _record(stack).get("program") == _program():
        found = {*described(known, after), *rebuilt(resources, facts)}
    else:
        done = stack.pulumi("preview", "--json", "--suppress-outputs", "--stack", stack.name)
        if done.returncode != 0:
            # The `up` that follows is refused for the same reasons, and shows them.
            return
        found = set(replaced(json.loads(done.stdout), prefix))
    if names := sorted(found):
        taken = seconds(stack.name)
        told = (f"{name} (about {taken[name]:.0f} s)" if name in taken else name for name in names)
        console.out.print(f"will be interrupted while being replaced: {', '.join(told)}")


def described(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """The services that are replaced, by two descriptions of a stack."""
    review = compare(before, after, compared_with="what is deployed")
    for finding in review.findings:
        if finding.severity == Severity.INTERRUPTION and finding.subject in after["services"]:
            yield finding.subject


def rebuilt(resources: Resources, facts: Mapping[str, Any]) -> Iterator[str]:
    """The services whose image has been built again under the same tag."""
    ids = facts.get("images", {})
    running = {
        resource["inputs"].get("name"): resource["inputs"].get("image")
        for resource in resources
        if resource["type"] == _CONTAINER
    }
    for name, service in outputs_of(resources).get("services", {}).items():
        image = ids.get(service["image"])
        if image and running.get(service["container"], image) != image:
            yield name


def replaced(preview: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """The services whose containers a preview replaces; jobs and sidecars have no clients."""
    for step in preview.get("steps") or ():
        kind, _, name = str(step.get("urn", "")).rpartition("::")
        if (
            step.get("op") in _REPLACED
            and kind.endswith(_CONTAINER)
            and not name.endswith(("-provision", retention.SUFFIX, f"-{FILES_ROLE}"))
        ):
            yield name.removeprefix(prefix)


def remember(stack: Stack, watch: Watch, resources: Resources, facts: Mapping[str, Any]) -> None:
    """Records what was deployed, and how long each started service took to become healthy."""
    known = seconds(stack.name)
    for name, service in outputs_of(resources)["services"].items():
        taken = watch.seconds(service["container"])
        if taken is not None:
            known[name] = round(taken, 1)
    program = _program()
    inputs = _inputs(stack, resources, facts, program)
    record = {"inputs": inputs, "program": program, "seconds": known}
    private.write(_path(stack.name), json.dumps(record))


def seconds(stack: str) -> dict[str, float]:
    """Service to the seconds that its last start took on this machine."""
    return dict(read_record(_path(stack)).get("seconds") or {})


def _path(stack: str) -> Path:
    return STATE / f"{stack}.deployed.json"


def _record(stack: Stack) -> dict[str, Any]:
    return read_record(_path(stack.name))


def _inputs(stack: Stack, resources: Resources, facts: Mapping[str, Any], program: str) -> str:
    known = {
        "resources": list(resources),
        "facts": dict(facts),
        "tools": stack.tools.origin,
        "environment": {name: os.environ.get(name) for name in _ENVIRONMENT},
        "program": program,
    }
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    digest.update(stack.file.read_bytes() if stack.file.exists() else b"")
    return digest.hexdigest()


def _program() -> str:
    digest = hashlib.sha256()
    for folder in _PROGRAM:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()
