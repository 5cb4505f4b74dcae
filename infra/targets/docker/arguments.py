"""Parts of a container's description, in the provider's words."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_docker as docker

from infra.secret import Secret
from infra.spec import File, Limits
from infra.units import MIB

_CPU_PERIOD = 100_000
# Of one CPU, and what a kernel takes at least (docs.docker.com, resource constraints).
_CPU_SHARES, _LEAST_SHARES = 1024, 2


def tmpfs(folders: Mapping[str, int], user: str) -> dict[str, str] | None:
    """Folders in memory that the container's own user may write to, but from which nothing may be
    executed.
    """
    uid, _, gid = user.partition(":")
    return {
        path: f"rw,noexec,nosuid,nodev,size={size},uid={uid},gid={gid},mode=0770"
        for path, size in sorted(folders.items())
    } or None


def ulimits(wanted: int | None, allowed: int | None) -> list[docker.ContainerUlimitArgs]:
    """No core dumps, which would contain the process's memory; as many descriptors as wanted, up to
    the host's limit.
    """
    limits = [docker.ContainerUlimitArgs(name="core", soft=0, hard=0)]
    if wanted is not None and allowed is not None:
        number = min(wanted, allowed)
        limits.append(docker.ContainerUlimitArgs(name="nofile", soft=number, hard=number))
    return limits


def limits(of: Limits) -> dict[str, Any]:
    """Memory and cores, as the provider reads them back."""
    memory = of.memory // MIB
    # Without memory_swap the provider finds a difference at every `up`; and `cpus` it reads back as
    # "1.0" for "1" and "0.1" for "0.05", so the same limit is given as a quota.
    return {
        "memory": memory,
        "memory_swap": memory,
        "cpu_period": _CPU_PERIOD,
        "cpu_quota": round(of.cpus * _CPU_PERIOD),
        # Where there are too few for all, as while everything starts: in proportion to the limits.
        "cpu_shares": max(_LEAST_SHARES, round(of.cpus * _CPU_SHARES)),
    }


def upload(item: File) -> docker.ContainerUploadArgs:
    """A file that the provider places."""
    return docker.ContainerUploadArgs(
        file=item.path, content=text(item.content), permissions=item.mode
    )


def envs(env: Mapping[str, str | Secret]) -> list[pulumi.Input[str]]:
    """Variables, ordered by name."""
    return [
        (
            pulumi.Output.concat(f"{name}=", text(value))
            if isinstance(value, Secret)
            else f"{name}={value}"
        )
        for name, value in sorted(env.items())
    ]


def text(value: str | Secret) -> pulumi.Input[str]:
    """Text that Pulumi keeps secret if it is."""
    return pulumi.Output.secret(value.reveal()) if isinstance(value, Secret) else value
