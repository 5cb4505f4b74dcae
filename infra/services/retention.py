"""Where the disk holds less than the retention, the oldest data goes, and none that is new is
refused.

Neither Loki nor Tempo deletes by size, but both read their retention again while they run: a
sidecar looks how old the data is that fits, and writes that.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from infra import sizing
from infra.services.context import Context
from infra.spec import CONFIG_DIR, UPKEEP_SECONDS, File, HealthCheck, Limits, Service, Sidecar
from infra.templating import render
from infra.units import MIB

PATH = f"{CONFIG_DIR}/retention/overrides.yaml"
"""The file with the retention that applies."""

SUFFIX = "-retention"
"""What the sidecar's name adds to its service's."""

_PLACEHOLDER = "RETENTION"
_READY = "/dev/shm/groundwork-kept"  # noqa: S108 - inside the container


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a service keeps and for how long.

    `retention` is in seconds and never exceeded. `parts` is shell code, run in the `folder` of the
    data, that prints seconds since 1970 and bytes of each part of it. `limits` makes the overrides
    of the one `tenant` from a retention.
    """

    retention: int
    folder: str
    parts: str
    tenant: str
    limits: Callable[[str], Mapping[str, Any]]

    def overrides(self, period: str) -> str:
        """The content of PATH."""
        return json.dumps({"overrides": {self.tenant: self.limits(period)}})


def kept_by_size(context: Context, service: Service, kept: Kept) -> Service:
    """A service on one volume, with the sidecar."""
    (volume,) = service.volumes
    script = render(
        "retention/keep.sh.j2",
        room=sizing.kept(volume.size),
        least=sizing.LEAST_KEPT,
        longest=kept.retention,
        folder=kept.folder,
        parts=kept.parts,
        content=kept.overrides(_PLACEHOLDER),
        placeholder=_PLACEHOLDER,
        path=PATH,
        ready=_READY,
        interval=UPKEEP_SECONDS,
    )
    own = service.image.built
    sidecar = Sidecar(
        name=f"{service.name}{SUFFIX}",
        # The official images of Loki and Tempo have no shell. Redis' is small, and mostly there.
        image=service.image if own else context.image("redis"),
        volume=None if own else "/data",
        command=("sh", "-u", "-c", script),
        readiness=HealthCheck(command=("test", "-e", _READY), interval=1, start_period=30),
        # The entries of a hundred thousand files, which the kernel keeps, count as its own.
        limits=Limits(memory=64 * MIB, cpus=0.1),
    )
    first = File(path=PATH, content=kept.overrides(f"{kept.retention}s"), shared=True)
    return replace(service, files=(*service.files, first), sidecars=(sidecar,))
