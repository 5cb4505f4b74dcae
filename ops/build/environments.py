"""Python environments beside our own, made once from a lock file."""

import shutil
from hashlib import sha256
from pathlib import Path

from ops import console
from ops.paths import VENV_BIN, cache


def ensure(lock: Path, title: str) -> Path:
    """The Python of an environment with what a lock file pins; `title` names the step. Raises
    Failed if it cannot be made.
    """
    folder = cache() / f"{lock.stem}-{sha256(lock.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if (folder / ".complete").exists():
        return python
    fix = "check that PyPI is reachable, then run the same command again"
    with console.step(title):
        shutil.rmtree(folder, ignore_errors=True)
        uv = str(VENV_BIN / "uv")
        console.run([uv, "venv", "--quiet", "--python", VENV_BIN / "python", folder], fix=fix)
        install = ["pip", "install", "--quiet", "--require-hashes", "-r", str(lock)]
        console.run([uv, *install, "--python", str(python)], fix=fix)
        (folder / ".complete").touch()
    return python
