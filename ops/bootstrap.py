"""Creates the virtual environment from the hashed pins. Standard library only: it runs before
anything is installed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)


def main() -> int:
    """Exit status 0 when the environment is ready."""
    locks = [ROOT / "requirements" / "runtime.txt"]
    if "--dev" in sys.argv:
        locks.append(ROOT / "requirements" / "dev.txt")
    if sys.version_info < OLDEST:
        print(
            f"groundwork: Python {sys.version.split()[0]} is too old; 3.11 or newer is required."
            " Fix: make PYTHON=python3.11 …",
            file=sys.stderr,
        )
        return 1
    # A larger set satisfies a smaller wish, so the dev set is remembered under both.
    stamps = [VENV / f".groundwork-{lock.stem}" for lock in locks]
    wanted = [_stamp(lock) for lock in locks]
    if all(
        stamp.exists() and stamp.read_text() == value
        for stamp, value in zip(stamps, wanted, strict=True)
    ):
        return 0
    began = time.monotonic()
    print("python: creating .venv from the lock files …", file=sys.stderr, flush=True)
    try:
        _make(locks)
    except subprocess.CalledProcessError as error:
        print(
            f"groundwork: `{' '.join(map(str, error.cmd[:6]))} …` failed; see its output above."
            " Run make again to continue.",
            file=sys.stderr,
        )
        return 1
    for stamp, value in zip(stamps, wanted, strict=True):
        stamp.write_text(value)
    print(f"python: .venv is ready ({time.monotonic() - began:.0f} s)", file=sys.stderr)
    return 0


def _stamp(lock: Path) -> str:
    return hashlib.sha256(
        lock.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode()
    ).hexdigest()


def _make(locks: list[Path]) -> None:
    python = VENV / "bin" / "python"
    if not _works(python):
        shutil.rmtree(VENV, ignore_errors=True)
        if not _works(Path(sys.executable), "-c", "import ensurepip"):
            _install_venv_package()
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    pip: list[str | Path] = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    install: list[str | Path] = ["install", "--require-hashes", "-r"]
    subprocess.run([*pip, *install, ROOT / "requirements" / "bootstrap.txt"], check=True)
    for lock in locks:
        # It reads no pip.conf: where that names the only index, pip does the work.
        uv: list[str | Path] = [VENV / "bin" / "uv", "pip", *install, lock, "--quiet", "--python"]
        if subprocess.run([*uv, python], capture_output=True, check=False).returncode != 0:
            subprocess.run([*pip, *install, lock], check=True)
    # The program and the commands are packages of this tree; nothing is fetched for that.
    subprocess.run(
        [*pip, "install", "--no-build-isolation", "--no-deps", "--no-index", "-e", ROOT], check=True
    )


def _works(python: Path, *arguments: str) -> bool:
    command: list[str | Path] = [python, *(arguments or ("-m", "pip", "--version"))]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _install_venv_package() -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(
            "groundwork: this Python has no venv module. Fix: install your distribution's"
            " python3-venv package.",
            file=sys.stderr,
        )
        raise SystemExit(1)
    print("python: installing python3-venv …", file=sys.stderr, flush=True)
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3-venv"], check=True
    )


if __name__ == "__main__":
    sys.exit(main())
