"""Reasons not to deploy to an engine, by its own answers. Pure: what an engine can do decides, not
the text of its version.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.refusal import Violation

OLDEST_API, OLDEST = (1, 41), "20.10"
"""The oldest API that is supported, and the Docker that brought it: earlier ones do not know
`host-gateway`, by which services reach this host.
"""

NEWEST_API = (1, 51)
"""The newest API that every client speaks: that of the provider's library, docker/docker 28.5.2."""

_KEY = "Docker engine"
_UPGRADE = "install a current Docker (https://docs.docker.com/engine/install/)"
_LIMITS = {
    "MemoryLimit": "memory",
    "CpuCfsQuota": "cpus",
    "PidsLimit": "processes",
}


def check(version: Mapping[str, Any], info: Mapping[str, Any]) -> Iterator[Violation]:
    """Violations of an engine that gives these answers to `GET /version` and `GET /info`."""
    yield from _api(version)
    yield from _limits(info)


def api(version: Mapping[str, Any]) -> tuple[int, ...]:
    """The newest API that an engine with this answer to `GET /version` speaks; empty if it does not
    say.
    """
    return _numbers(version.get("ApiVersion"))


def _api(version: Mapping[str, Any]) -> Iterator[Violation]:
    name = f"Docker {version.get('Version') or 'of unknown version'}"
    newest, oldest = api(version), _numbers(version.get("MinAPIVersion"))
    if newest and newest < OLDEST_API:
        yield Violation(
            key=_KEY,
            reason=(
                f"{name} speaks API {_text(newest)}; API {_text(OLDEST_API)} (Docker {OLDEST}) or"
                " newer is required, which lets containers reach this host by a name"
            ),
            fix=_UPGRADE,
        )
    if oldest and oldest > NEWEST_API:
        yield Violation(
            key=_KEY,
            reason=(
                f"{name} speaks API {_text(oldest)} at least; Pulumi's Docker provider speaks"
                f" {_text(NEWEST_API)} at most"
            ),
            fix=(
                "use a newer Groundwork; until then, let the engine accept the older API:"
                f' `"min-api-version": "{_text(NEWEST_API)}"` in /etc/docker/daemon.json'
            ),
        )


def _limits(info: Mapping[str, Any]) -> Iterator[Violation]:
    missing = [what for field, what in _LIMITS.items() if info.get(field) is False]
    if not missing:
        return
    rootless = any("name=rootless" in option for option in info.get("SecurityOptions") or ())
    yield Violation(
        key=_KEY,
        reason=(
            f"it does not enforce limits of {', '.join(missing)}"
            f" (cgroup driver {info.get('CgroupDriver') or 'unknown'}"
            f"{', rootless' if rootless else ''}), so one service could take all of the host's"
        ),
        fix=(
            "delegate the cgroup controllers to your user: a file"
            " /etc/systemd/system/user@.service.d/delegate.conf with `[Service]` and"
            " `Delegate=cpu cpuset io memory pids`, then `systemctl daemon-reload` and log in"
            " again (docs.docker.com, rootless mode, limiting resources)"
            if rootless
            else "enable the kernel's cgroup controllers: on Debian and Ubuntu boot with"
            " `cgroup_enable=memory swapaccount=1`"
        ),
    )


def _numbers(text: object) -> tuple[int, ...]:
    found = re.fullmatch(r"(\d+)\.(\d+)", str(text or ""))
    return tuple(map(int, found.groups())) if found else ()


def _text(api: tuple[int, ...]) -> str:
    return ".".join(map(str, api))
