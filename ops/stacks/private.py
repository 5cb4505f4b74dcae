"""Private files: written atomically, readable only by their owner."""

import hashlib
import os
import tempfile
from pathlib import Path

from ops.paths import ROOT, data


def folder() -> Path:
    """The folder of this tree's passphrases and keys, outside it: what cleans or deletes the tree
    leaves what opens its data.
    """
    name = f"{ROOT.name}-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]}"
    found = data() / name
    found.mkdir(parents=True, exist_ok=True, mode=0o700)
    return found


def write(path: Path, text: str) -> None:
    """Writes a file atomically, readable only by its owner, whatever the umask."""
    descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    # The new name is durable only once the folder is.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
