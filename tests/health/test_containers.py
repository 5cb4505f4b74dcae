"""Checks of every container: running, stable, confined, on loopback, without secrets in sight."""

import json
import os
import time
from datetime import datetime
from typing import Any

import pytest
from testinfra.host import Host

from infra.units import parse_size
from tests.health.conftest import Deployed
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.target("docker")

_STARTING_SECONDS = 60
# Seconds that a container must run without a restart before it counts as stable. Tests that deploy
# again and again look on for less, but for the first time.
_WINDOW = float(os.environ.get("GROUNDWORK_WATCH_SECONDS", "30"))


@pytest.fixture(scope="module")
def containers(host: Host, outputs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The engine's description of every container, read once: single queries would take most of
    these checks' time.

    A container that is missing makes the command fail and the others be shown all the same.
    """
    return _inspect(
        host,
        *(
            name
            for service in outputs["services"].values()
            for name in (service["container"], *service["sidecars"])
        ),
    )


def _inspect(host: Host, *names: str) -> dict[str, dict[str, Any]]:
    listed = json.loads(host.run(f"docker container inspect {' '.join(names)}").stdout or "[]")
    return {item["Name"].lstrip("/"): item for item in listed}


@pytest.fixture
def shown(containers: dict[str, dict[str, Any]], service: Deployed) -> dict[str, Any]:
    """The engine's description of one container."""
    assert service.container in containers, f"there is no container {service.container}"
    return containers[service.container]


@pytest.fixture(scope="module")
def listening(host: Host) -> set[str]:
    """Every TCP address that something on the host listens on."""
    return {line.split()[3] for line in host.check_output("ss -Hltn").splitlines()}


def _age(state: dict[str, Any]) -> float:
    started = datetime.fromisoformat(state["StartedAt"][:19] + "+00:00")
    return time.time() - started.timestamp()


def test_is_running_and_ready(host: Host, shown: dict[str, Any], service: Deployed) -> None:
    """The container runs, and where its image can tell, its own readiness check agrees; one that
    has just been started, such as by the engine's own start, is waited for.
    """

    def state() -> dict[str, Any]:
        found: dict[str, Any] = _inspect(host, service.container)[service.container]["State"]
        return found

    now = shown["State"]
    if _health(now) == "starting":
        now = wait_until(
            state,
            until=lambda found: _health(found) != "starting",
            timeout=patience(_STARTING_SECONDS),
            interval=1,
            reason=f"{service.name} has started",
        )
    assert now["Running"], now
    assert _health(now) == "healthy", now.get("Health")


def test_its_sidecars_are_ready_and_confined(
    containers: dict[str, dict[str, Any]], service: Deployed
) -> None:
    """What runs beside the service runs, too, talks to nobody and only reads the data."""
    wanted = {
        "health": "healthy",
        "network": "none",
        "drops": ["ALL"],
        "adds": None,
        "read-only root": True,
        "writes to volumes": ["/etc/groundwork"],
    }
    found = {name: _beside(containers[name]) for name in service.entry["sidecars"]}
    assert [(name, beside) for name, beside in found.items() if beside != wanted] == []


def _beside(shown: dict[str, Any]) -> dict[str, Any]:
    config = shown["HostConfig"]
    return {
        "health": _health(shown["State"]),
        "network": config["NetworkMode"],
        "drops": config["CapDrop"],
        "adds": config["CapAdd"],
        "read-only root": config["ReadonlyRootfs"],
        "writes to volumes": [item["Destination"] for item in shown["Mounts"] if item["RW"]],
    }


def _health(state: dict[str, Any]) -> str:
    return str((state.get("Health") or {}).get("Status", "healthy"))


@pytest.mark.watches
def test_is_stable(host: Host, shown: dict[str, Any], service: Deployed) -> None:
    """From its start the container has run for 30 s without a restart or an OOM kill."""
    assert shown["State"]["Running"], shown["State"]
    after = shown
    if _age(shown["State"]) < _WINDOW:
        time.sleep(_WINDOW - _age(shown["State"]))
        after = host.docker(service.container).inspect()
    assert after["State"]["Running"], after["State"]
    assert after["State"]["StartedAt"] == shown["State"]["StartedAt"]
    assert after["RestartCount"] == shown["RestartCount"]
    assert not after["State"]["OOMKilled"]
    assert not after["State"].get("Restarting")


def test_listens_on_loopback_only(
    outputs: dict[str, Any], listening: set[str], shown: dict[str, Any], service: Deployed
) -> None:
    """Every published port is on the stack's bind address, which is loopback unless asked
    otherwise.
    """
    ports = shown["NetworkSettings"]["Ports"] or {}
    published = {
        binding["HostIp"] for bindings in ports.values() if bindings for binding in bindings
    }
    declared = {endpoint["host"] for endpoint in service.entry["endpoints"].values()}
    assert published == declared
    numbers = [endpoint["port"] for endpoint in service.entry["endpoints"].values()]
    assert {
        number: {address for address in listening if address.endswith(f":{number}")}
        for number in numbers
    } == {number: {f"{outputs['bindAddress']}:{number}"} for number in numbers}


def test_is_confined(shown: dict[str, Any], service: Deployed) -> None:
    """No capabilities but declared ones, no way to gain privileges, the declared limits, no core
    dumps, rotated logs, restarted after a crash.
    """
    config = shown["HostConfig"]
    assert config["CapDrop"] == ["ALL"]
    assert [name.removeprefix("CAP_") for name in config["CapAdd"] or []] == service.entry[
        "capabilities"
    ]
    assert not config["Privileged"]
    assert "no-new-privileges:true" in config["SecurityOpt"]
    assert config["Memory"] == parse_size(service.entry["limits"]["memory"])
    assert config["CpuQuota"] / config["CpuPeriod"] == pytest.approx(
        service.entry["limits"]["cpus"]
    )
    assert config["RestartPolicy"]["Name"] == "always"
    assert config["ReadonlyRootfs"] == service.entry["readOnlyRoot"]
    assert {"Name": "core", "Hard": 0, "Soft": 0} in config["Ulimits"]
    rotation = config["LogConfig"]["Config"]
    assert (rotation["max-file"], rotation["max-size"]) == ("3", "10m")


def test_shows_no_secret(
    host: Host, outputs: dict[str, Any], shown: dict[str, Any], service: Deployed
) -> None:
    """No credential of the stack stands in `docker inspect` or in the last lines of the
    container's log.
    """
    text = json.dumps(shown) + host.run(f"docker logs --tail 5000 {service.container} 2>&1").stdout
    found = [
        f"{owner}: {purpose}"
        for owner, credentials in outputs["credentials"].items()
        for purpose, value in credentials.items()
        if value in text
    ]
    assert found == []
