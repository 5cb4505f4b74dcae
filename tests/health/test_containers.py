"""What holds for every container: running, stable, confined, on loopback, without secrets in sight."""

import json
import time
from datetime import datetime
from typing import Any

import pytest
from testinfra.host import Host

from infra.units import parse_size
from tests.health.conftest import Deployed

_WINDOW = 30  # seconds that a container must run without a restart before it counts as stable


def _inspect(host: Host, name: str) -> dict[str, Any]:
    found: dict[str, Any] = host.docker(name).inspect()
    return found


def _age(state: dict[str, Any]) -> float:
    started = datetime.fromisoformat(state["StartedAt"][:19] + "+00:00")
    return time.time() - started.timestamp()


def test_is_running_and_ready(host: Host, service: Deployed) -> None:
    """The container runs, and where its image can tell, its own readiness check agrees."""
    state = _inspect(host, service.container)["State"]
    assert state["Running"], state
    assert state.get("Health", {}).get("Status", "healthy") == "healthy", state.get("Health")


def test_is_stable(host: Host, service: Deployed) -> None:
    """From its start the container has run for 30 s without a restart or an OOM kill."""
    before = _inspect(host, service.container)
    assert before["State"]["Running"], before["State"]
    time.sleep(max(0.0, _WINDOW - _age(before["State"])))
    after = _inspect(host, service.container)
    assert after["State"]["Running"], after["State"]
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert after["RestartCount"] == before["RestartCount"]
    assert not after["State"]["OOMKilled"]
    assert not after["State"].get("Restarting")


def test_listens_on_loopback_only(host: Host, outputs: dict[str, Any], service: Deployed) -> None:
    """Every published port is on the stack's bind address, which is loopback unless asked otherwise."""
    ports = _inspect(host, service.container)["NetworkSettings"]["Ports"] or {}
    published = {binding["HostIp"] for bindings in ports.values() if bindings for binding in bindings}
    declared = {endpoint["host"] for endpoint in service.entry["endpoints"].values()}
    assert published == declared
    for endpoint in service.entry["endpoints"].values():
        listening = host.run(f"ss -Hltn 'sport = :{endpoint['port']}'").stdout.split()
        addresses = {word.rpartition(":")[0] for word in listening if word.endswith(f":{endpoint['port']}")}
        assert addresses == {outputs["bindAddress"]}


def test_is_confined(host: Host, service: Deployed) -> None:
    """No capabilities, no way to gain privileges, the declared limits, rotated logs, restarted after a crash."""
    config = _inspect(host, service.container)["HostConfig"]
    assert config["CapDrop"] == ["ALL"]
    assert not config["CapAdd"]
    assert not config["Privileged"]
    assert "no-new-privileges:true" in config["SecurityOpt"]
    assert config["Memory"] == parse_size(service.entry["limits"]["memory"])
    assert config["CpuQuota"] / config["CpuPeriod"] == pytest.approx(service.entry["limits"]["cpus"])
    assert config["RestartPolicy"]["Name"] == "unless-stopped"
    assert config["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}


def test_shows_no_secret(host: Host, outputs: dict[str, Any], service: Deployed) -> None:
    """No credential of the stack stands in `docker inspect` or in the container's log."""
    shown = json.dumps(_inspect(host, service.container)) + host.run(f"docker logs {service.container} 2>&1").stdout
    found = [f"{owner}: {purpose}" for owner, credentials in outputs["credentials"].items() for purpose, value in credentials.items() if value in shown]
    assert found == []
