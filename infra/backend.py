"""The program's view of its own state; only a local backend can be read."""

import json
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.identity import Identity


def records_nothing(identity: Identity) -> bool:
    """True if the stack's state is known to record no resource; False for a backend that is not
    local.
    """
    url = urlsplit(os.environ.get("PULUMI_BACKEND_URL", ""))
    if url.scheme != "file":
        return False
    file = (
        Path(unquote(url.path)).expanduser()
        / ".pulumi"
        / "stacks"
        / identity.project
        / f"{identity.stack}.json"
    )
    try:
        latest = json.loads(file.read_text())["checkpoint"]["latest"] or {}
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
    # While `up` runs the stack itself is a resource already.
    return all(
        resource.get("type") == "pulumi:pulumi:Stack" for resource in latest.get("resources") or ()
    )
