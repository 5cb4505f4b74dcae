"""The program's view of its own state; only a local backend can be read."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.identity import Identity

_VOLUME = "docker:index/volume:Volume"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the state is known to record: `nothing` at all, or these `volumes`."""

    nothing: bool = False
    volumes: frozenset[str] = frozenset()


def recorded(identity: Identity) -> Recorded:
    """What the stack's state records; nothing is known of a backend that is not local."""
    url = urlsplit(os.environ.get("PULUMI_BACKEND_URL", ""))
    if url.scheme != "file":
        return Recorded()
    file = (
        Path(unquote(url.path)).expanduser()
        / ".pulumi"
        / "stacks"
        / identity.project
        / f"{identity.stack}.json"
    )
    try:
        latest = json.loads(file.read_text())["checkpoint"]["latest"] or {}
        resources = latest.get("resources") or ()
        return Recorded(
            # While `up` runs the stack itself is a resource already.
            nothing=all(item.get("type") == "pulumi:pulumi:Stack" for item in resources),
            volumes=frozenset(
                str(item["id"])
                for item in resources
                if item.get("type") == _VOLUME and "id" in item and not item.get("delete")
            ),
        )
    except FileNotFoundError:
        return Recorded(nothing=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Recorded()
