"""What metrics and the schedule go by: one file, written by whichever process did something."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundwork_backup.config import Config, Repository

if TYPE_CHECKING:
    from groundwork_backup.manifests import Manifest
    from groundwork_backup.restic import Restic


def read(config: Config) -> dict[str, Any]:
    """The status; that of a stack which was never saved, if it is missing or unreadable."""
    try:
        found: dict[str, Any] = json.loads(_file(config).read_text())
    except (OSError, ValueError):
        found = {}
    return {"first_seen": time.time(), "stores": {}, "checks": {}, **found}


def begun(config: Config) -> None:
    """Remembers when the stack was first seen: the age of a backup counts from there."""
    write(_file(config), read(config))


def attempted(config: Config) -> None:
    """A backup begins."""
    write(_file(config), {**read(config), "attempted": time.time()})


def saved(config: Config, manifest: "Manifest") -> None:
    """A backup has ended."""
    now, known = time.time(), read(config)
    for item in manifest.stores:
        entry = known["stores"].setdefault(item.store, {})
        entry["failed"] = bool(item.error)
        if not item.error:
            entry |= {
                "at": now,
                "size": item.size,
                "added": sum(stream.added for stream in item.streams),
                "seconds": round(sum(stream.seconds for stream in item.streams), 2),
                "count": item.count,
            }
    write(_file(config), known)


def copied(config: Config, repository: Repository, *, good: bool) -> None:
    """A copy to another repository has ended; it ages as a store does."""
    known = read(config)
    entry = known["stores"].setdefault(copy_of(repository), {})
    entry |= {"failed": not good, **({"at": time.time()} if good else {})}
    write(_file(config), known)


def copy_of(repository: Repository) -> str:
    """The name under which a copy is measured."""
    return f"copy in {repository.name}"


def sized(config: Config, restic: "Restic") -> None:
    """The repository's size has changed."""
    write(_file(config), {**read(config), "repository_size": restic.size()})


def checked(config: Config, repository: str, *, good: bool) -> None:
    """A check of a repository has ended."""
    known = read(config)
    known["checks"][repository] = {"at": time.time(), "good": good}
    write(_file(config), known)


def checking(config: Config) -> None:
    """A check begins."""
    write(_file(config), {**read(config), "check_attempted": time.time()})


def drilled(config: Config, *, good: bool, seconds: float) -> None:
    """A drill has ended: what was saved last could be restored elsewhere, or not."""
    drill = {"at": time.time(), "good": good, "seconds": seconds}
    write(_file(config), {**read(config), "drill": drill})


def _file(config: Config) -> Path:
    return config.folder / "state" / "status.json"


def write(path: Path, content: Any) -> None:
    """Writes a file of the state, as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(content))
    scratch.replace(path)
