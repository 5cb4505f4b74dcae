"""A private copy of what `make up` generated for a stack.

Those keys are changes to a tracked file, which one `git checkout` discards; without the master
secret nothing can open the data. Secrets stay encrypted in the copy.
"""

from pathlib import Path
from typing import Any

import yaml

from infra.configuration import NAMESPACE
from ops.paths import STATE
from ops.stacks import private

_KEYS = tuple(f"{NAMESPACE}:{name}" for name in ("masterSecret", "instance", "images"))
_SALTS = ("encryptionsalt", "encryptedkey", "secretsprovider")


def _copy(stack: str) -> Path:
    """Outside the tree; one that an earlier version left beside the state is moved there."""
    path, old = private.folder() / f"{stack}.keys.yaml", STATE / f"{stack}.keys.yaml"
    if old.exists():
        if not path.exists():
            private.write(path, old.read_text())
        old.unlink()
    return path


def _read(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text()) if path.exists() else None
    return dict(loaded or {})


def keep(stack: str, file: Path) -> None:
    """Remembers the generated keys of a stack's file, if it has them."""
    content = _read(file)
    config = content.get("config") or {}
    if not all(key in config for key in _KEYS[:2]):
        return
    kept = {
        "config": {key: config[key] for key in _KEYS if key in config},
        **{key: content[key] for key in _SALTS if key in content},
    }
    text = yaml.safe_dump(kept, sort_keys=False)
    if not _copy(stack).exists() or _copy(stack).read_text() != text:
        private.write(_copy(stack), text)


def restore(stack: str, file: Path) -> bool:
    """Restores the remembered keys in a file that has neither secret nor instance; returns whether
    it did.

    The file is edited as text, so that comments stay.
    """
    kept, content = _read(_copy(stack)), _read(file)
    config = content.get("config") or {}
    if not kept or any(key in config for key in _KEYS[:2]):
        return False
    entries = {key: value for key, value in kept["config"].items() if key not in config}
    lines = ["  " + line for line in yaml.safe_dump(entries, sort_keys=False).splitlines()]
    text = file.read_text() if file.exists() else ""
    body = [line for line in text.splitlines() if line.strip() != "config: {}"]
    place = next((number for number, line in enumerate(body) if line.rstrip() == "config:"), None)
    if place is None:
        body, place = ["config:", *body], 0
    body[place + 1 : place + 1] = lines
    body += [f"{key}: {kept[key]}" for key in _SALTS if key in kept and key not in content]
    file.write_text("\n".join(body) + "\n")
    return True


def forget(stack: str) -> None:
    """Removes the copy, once the data that it opened is gone."""
    _copy(stack).unlink(missing_ok=True)
