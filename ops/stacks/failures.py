"""Explanations of failed deploys: the resource, the reason and the fix."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ops import console

_COLOUR = re.compile(r"<\{%.*?%\}>|\x1b\[[0-9;]*m")
# Where in the provider's own code it happened is of no use to whoever deploys.
_PROVIDER = re.compile(r"^sdk-v2/\S+: sdk\.helper_schema: |: provider=\S+$")
_REFUSED = "Refused before anything was changed"
# What the engine's, the provider's or the cluster's words mean; the first that fits counts.
_MEANINGS: tuple[tuple[str, str, str], ...] = (
    (
        r"no space left on device|disk quota exceeded",
        "the disk is full",
        "free up space (`docker system df` shows what Docker uses), then run `{again}`",
    ),
    (
        r"port is already allocated|address already in use",
        "its port is taken",
        (
            "stop what uses it (`ss -ltnp`), set another port or groundwork:portOffset, then run"
            " `{again}`"
        ),
    ),
    (
        r"is already in use by container|network with name \S+ already exists",
        "its name is taken by a resource that the state does not record",
        (
            "run `{again}`: it finds and removes resources with this stack's labels, and keeps"
            " the volumes"
        ),
    ),
    (
        r"non-overlapping|address pools have been fully subnetted",
        "the engine has no address range left for a network",
        "remove unused networks (`docker network prune`), then run `{again}`",
    ),
    (
        (
            r"pull access denied|manifest unknown|no such host|unable to (find|pull)|failed to"
            r" pull|ImagePullBackOff|ErrImagePull"
        ),
        "its image cannot be pulled",
        (
            "check that the registry is reachable and that groundwork:images names the right one,"
            " then run `{again}`"
        ),
    ),
    (
        r"cannot connect to the docker daemon|connection refused|EOF$",
        "the engine or the cluster stopped answering",
        "start it, then run `{again}`",
    ),
    (
        r"no such container",
        "it failed several times in a row; its last lines are above",
        "mend what they name, then run `{again}`",
    ),
    (
        (
            r"unhealthy|healthy|container exited|exited immediately|timed? ?out|deadline"
            r" exceeded|waiting for"
        ),
        "it did not become ready in time; its last lines are above",
        "`make logs S={service}` shows more; once the cause is fixed, run `{again}`",
    ),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A resource that failed, and the error message for it."""

    resource: str
    message: str


def read(log: Path) -> list[Failure]:
    """The errors in a Pulumi event log, one per resource, in order."""
    found: dict[str, Failure] = {}
    for line in log.read_text().splitlines() if log.exists() else ():
        try:
            event = json.loads(line).get("diagnosticEvent") or {}
        except ValueError:
            continue
        if event.get("severity") == "error":
            resource = str(event.get("urn") or "").rpartition("::")[2]
            message = "\n".join(_lines(str(event.get("message") or "")))
            # The stack's own error only says that the update failed, unless the program itself
            # refused.
            if message and (
                (resource and not resource.startswith("groundwork-")) or _REFUSED in message
            ):
                found.setdefault(resource, Failure(resource, message))
    return list(found.values())


def _lines(message: str) -> Iterator[str]:
    for line in _COLOUR.sub("", message).splitlines():
        if line.strip() and not re.match(r"\s*(\d+ errors? occurred:|error: )?\s*$", line):
            yield _PROVIDER.sub("", line.strip().removeprefix("error: ").removeprefix("* "))


def explain(failures: list[Failure], *, prefix: str, again: str) -> console.Failed:
    """The explanation of a failed deploy. `prefix` is the prefix of the stack's names."""
    refused = next((item for item in failures if _REFUSED in item.message), None)
    if refused is not None:
        return console.Failed(
            "the deploy was refused before anything was changed; the reasons are above",
            f"correct the keys they name, then run `{again}`",
        )
    if not failures:
        return console.Failed(
            "the deploy failed; the messages are above",
            f"run `{again}` again: it continues from here",
        )
    told, fixes = [], []
    for failure in failures:
        service = failure.resource.removeprefix(prefix)
        meaning, fix = _meaning(failure.message)
        first = failure.message.splitlines()[0][:300]
        told.append(f"{service}: {meaning}\n      ({first})" if meaning else f"{service}: {first}")
        fixes.append(fix.format(service=service.removesuffix("-provision"), again=again))
    return console.Failed(
        "the deploy failed:\n    " + "\n    ".join(told), "; ".join(dict.fromkeys(fixes))
    )


def _meaning(message: str) -> tuple[str | None, str]:
    for pattern, meaning, fix in _MEANINGS:
        if re.search(pattern, message, re.I):
            return meaning, fix
    return None, "once the cause is fixed, run `{again}`: it continues from here"
