"""Files of any form that `make env` renders from an application's environment."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from infra.services.context import OWN
from infra.templating import TEMPLATES, render
from ops import console
from ops.paths import ROOT, STATE
from ops.stacks import private

_RECORD = STATE / "rendered.json"


def check(outputs: Mapping[str, Any], *, force: bool) -> None:
    """Raises Failed rather than let a file be overwritten that somebody else wrote or changed."""
    written = _written()
    for item in outputs.get("files", ()):
        path = ROOT / item["path"]
        if not _ignored(path):
            raise console.Failed(
                f"{item['path']} would hold secrets, but git does not ignore it; nothing was"
                " changed",
                f"add it to .gitignore: echo '/{item['path']}' >> .gitignore",
            )
        mine = not path.exists() or written.get(item["path"]) == _digest(path)
        if not force and not mine:
            raise console.Failed(
                f"{item['path']} exists, but is not as `make env` wrote it; nothing was changed",
                "move it away, or overwrite it: python -m ops env --force",
            )


def write(outputs: Mapping[str, Any], networks: Mapping[str, str]) -> None:
    """Renders each file, readable only by its owner."""
    written = _written()
    for item in outputs.get("files", ()):
        path = ROOT / item["path"]
        text = _render(item["template"], _environment(outputs, item["application"]), networks)
        path.parent.mkdir(parents=True, exist_ok=True)
        private.write(path, text)
        written[item["path"]] = _digest(path)
        console.out.print(f"Wrote {item['path']} from templates/{item['template']} (0600).")
    if outputs.get("files"):
        private.write(_RECORD, json.dumps(written, indent=2))


def _environment(outputs: Mapping[str, Any], application: str) -> Mapping[str, str]:
    own = outputs if application == OWN else outputs["applications"][application]
    found: Mapping[str, str] = own["environment"]
    return found


def _render(template: str, environment: Mapping[str, str], networks: Mapping[str, str]) -> str:
    if not (TEMPLATES / template).is_file():
        raise console.Failed(
            f"groundwork:contract.files: templates/{template} does not exist",
            "write it, or correct the path",
        )
    try:
        return render(template, environment={**environment, **networks})
    except (TemplateError, TypeError) as error:
        raise console.Failed(
            f"templates/{template} cannot be rendered: {error}",
            "use variables of docs/connecting.md, each with a filter, such as"
            " {{ environment.DATABASE_URL | yaml }}",
        ) from None


def _ignored(path: Path) -> bool:
    """True if git ignores a path, or there is no git tree."""
    try:
        done = subprocess.run(
            ["git", "check-ignore", "-q", str(path)], cwd=ROOT, capture_output=True, check=False
        )
    except FileNotFoundError:
        return True
    return done.returncode != 1


def _written() -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(_RECORD.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
