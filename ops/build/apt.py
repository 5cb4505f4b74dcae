"""Packages of the host's own distribution, on Debian and Ubuntu."""

import os
import shutil
from collections.abc import Mapping, Sequence

from ops import console


def update(step: str, *, missing: str, fix: str) -> None:
    """Reads the package lists as root, as one step.

    Raises Failed with `missing` and `fix` if there is no apt-get or root, with `fix` if it fails.
    """
    _require(missing, fix)
    with console.step(step):
        console.run(["apt-get", "update", "-qq"], fix=fix)


def offers(package: str) -> bool:
    """True if this machine's package sources have a version of it."""
    return candidate(package) is not None


def candidate(package: str) -> str | None:
    """The version that would be installed; None if the package sources have none."""
    policy = console.run(["apt-cache", "policy", package])
    version = policy.partition("Candidate: ")[2].partition("\n")[0].strip()
    return version if version not in ("", "(none)") else None


def install(
    packages: Sequence[str],
    step: str,
    *,
    missing: str,
    fix: str,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Installs packages as root, as one step.

    Raises Failed with `missing` and `fix` if there is no apt-get or root, with `fix` if apt-get
    fails.
    """
    _require(missing, fix)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", **(environment or {})}
    with console.step(step):
        console.run(["apt-get", "update", "-qq"], env=env, fix=fix)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        console.run(command, env=env, fix=fix)


def _require(missing: str, fix: str) -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise console.Failed(missing, fix)
