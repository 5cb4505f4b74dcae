"""Lanes: groups of live tests that run at the same time, each with a stack of its own.

A lane's number comes from GROUNDWORK_TEST_LANE and their shared folder from GROUNDWORK_TEST_LANES;
without them there is one lane, alone on the host.
"""

import os
from collections.abc import Mapping
from pathlib import Path

_FIRST_OFFSET, _LAST_OFFSET = 10000, 23000
_LANES = 8
_STEP = 211  # no two ports of the platform differ by a multiple of it
_INSTANCE = "groundwork.instance"
_ANONYMOUS = 64  # hexadecimal digits of a volume that nobody named


def offsets() -> range:
    """The port offsets that this lane may use: at none of them it shares a port with another."""
    return range(_FIRST_OFFSET + _STEP * _number(), _LAST_OFFSET, _STEP * _LANES)


def register(*instances: str | None) -> None:
    """Tells the other lanes that resources of these instances are this lane's."""
    folder = _folder()
    if folder is not None:
        for instance in filter(None, instances):
            (folder / f"{_number()}-{instance}").touch()


def concerns(name: str, labels: Mapping[str, str] | None, *, container: bool = False) -> bool:
    """False for what another lane may make or remove at any moment: a resource of its instances, an
    anonymous volume, a container that no stack declared.
    """
    folder = _folder()
    if folder is None:
        return True
    others = [
        path.name.partition("-")[2]
        for path in folder.iterdir()
        if not path.name.startswith(f"{_number()}-")
    ]
    labels = labels or {}
    if labels.get(_INSTANCE) in others or any(f"-{other}-" in name for other in others):
        return False
    return _INSTANCE in labels if container else len(name) != _ANONYMOUS


def _number() -> int:
    return int(os.environ.get("GROUNDWORK_TEST_LANE", "0"))


def _folder() -> Path | None:
    named = os.environ.get("GROUNDWORK_TEST_LANES")
    return Path(named) if named else None
