"""Which engines are refused, by what they answer."""

from typing import Any

import pytest

from infra.targets.docker.engine_checks import check

_VERSION = {"Version": "29.9.3", "ApiVersion": "1.56", "MinAPIVersion": "1.40"}
_INFO = {
    "MemoryLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "CgroupDriver": "systemd",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin"],
}
_ROOTLESS = {"CgroupDriver": "none", "SecurityOptions": ["name=seccomp", "name=rootless"]}
_UNLIMITED = {"MemoryLimit": False, "CpuCfsQuota": False, "PidsLimit": False}


@pytest.mark.parametrize(
    ("version", "info"),
    [
        ({}, {}),
        ({"Version": "20.10.24+dfsg1", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}, {}),
        ({"Version": "26.1.5+dfsg1", "ApiVersion": "1.45", "MinAPIVersion": "1.24"}, {}),
        ({"Version": "dev", "ApiVersion": "1.99", "MinAPIVersion": "1.51"}, {}),
        ({}, {"SecurityOptions": ["name=rootless"]}),
        ({"Version": "", "ApiVersion": None, "MinAPIVersion": "x"}, {"SecurityOptions": None}),
    ],
    ids=["29", "20.10", "26", "the newest minimum", "rootless with limits", "odd answers"],
)
def test_these_are_accepted(version: dict[str, Any], info: dict[str, Any]) -> None:
    assert list(check({**_VERSION, **version}, {**_INFO, **info})) == []


@pytest.mark.parametrize(
    ("version", "info", "reason", "fix"),
    [
        (
            {"Version": "19.03.15", "ApiVersion": "1.40", "MinAPIVersion": "1.12"},
            {},
            "Docker 19.03.15 speaks API 1.40; API 1.41 (Docker 20.10) or newer is required",
            "install a current Docker",
        ),
        (
            {"Version": "33.0.0", "ApiVersion": "1.70", "MinAPIVersion": "1.52"},
            {},
            "Docker 33.0.0 speaks API 1.52 at least; Pulumi's Docker provider speaks 1.51 at most",
            '"min-api-version": "1.51"',
        ),
        (
            {},
            {**_UNLIMITED, **_ROOTLESS},
            "it does not enforce limits of memory, cpus, processes (cgroup driver none, rootless)",
            "Delegate=cpu cpuset io memory pids",
        ),
        (
            {},
            {**_ROOTLESS, "CgroupDriver": "systemd", "CpuCfsQuota": False},
            "it does not enforce limits of cpus (cgroup driver systemd, rootless)",
            "Delegate=",
        ),
        (
            {},
            {"MemoryLimit": False},
            "it does not enforce limits of memory (cgroup driver systemd), so one service",
            "cgroup_enable=memory",
        ),
    ],
    ids=["too old", "too new", "rootless", "rootless without cpu", "no memory controller"],
)
def test_these_are_refused(
    version: dict[str, Any], info: dict[str, Any], reason: str, fix: str
) -> None:
    (problem,) = check({**_VERSION, **version}, {**_INFO, **info})
    assert problem.key == "Docker engine"
    assert problem.reason.startswith(reason)
    assert fix in problem.fix
