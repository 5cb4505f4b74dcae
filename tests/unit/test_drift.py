"""Drift between the engine and the recorded state."""

from typing import Any

import pytest

from ops.sites import drift

SHOWN: dict[str, Any] = {
    "State": {"Running": True},
    "Image": "sha256:1",
    "HostConfig": {
        "Memory": 64 * 1024**2,
        "CpuQuota": 25000,
        "RestartPolicy": {"Name": "always"},
    },
    "NetworkSettings": {"Networks": {"a": {"NetworkID": "1"}}},
    "Mounts": [{"Name": "data"}],
}


INPUTS: dict[str, Any] = {
    "memory": 64,
    "cpuQuota": 25000,
    "restart": "always",
    "image": "sha256:1",
    "networksAdvanced": [{}],
    "mounts": [{"type": "volume", "source": "data"}],
}


def test_no_drift_where_the_engine_shows_what_is_recorded() -> None:
    assert not any(drift._container_differs(SHOWN, INPUTS))


def test_a_container_without_networks_does_not_drift() -> None:
    inputs = {key: value for key, value in INPUTS.items() if key != "networksAdvanced"}
    shown = {"NetworkSettings": {"Networks": {"none": {"NetworkID": "2"}}}}
    assert not any(drift._container_differs({**SHOWN, **shown}, inputs))


@pytest.mark.parametrize(
    "shown",
    [
        {"State": {"Running": False}},
        {"Image": "sha256:2"},
        {"HostConfig": {**SHOWN["HostConfig"], "Memory": 1}},
        {"HostConfig": {**SHOWN["HostConfig"], "CpuQuota": 1}},
        {"HostConfig": {**SHOWN["HostConfig"], "RestartPolicy": {"Name": "no"}}},
        {"NetworkSettings": {"Networks": {}}},
        {"Mounts": [{"Name": "other"}]},
    ],
    ids=[
        "stopped",
        "another image",
        "memory",
        "cores",
        "restart policy",
        "a network left",
        "another volume",
    ],
)
def test_drift_is_found(shown: dict[str, Any]) -> None:
    assert any(drift._container_differs({**SHOWN, **shown}, INPUTS))


def test_what_only_fills_volumes_need_not_run() -> None:
    shown = {**SHOWN, "State": {"Running": False}}
    assert not any(drift._container_differs(shown, {**INPUTS, "mustRun": False}))
