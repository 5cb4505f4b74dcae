"""Backup and restore in a real cluster: the same program, exec'd in its pod, over the same data."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ops.sites.forward import Forwards
from tests.kubernetes.conftest import Deployment
from tests.live.sentinels import Sentinels

_PROGRAM = "python -m groundwork_backup"
_STORES = ("postgres", "redis-cache", "redis-queue", "minio", "alertmanager")


@contextmanager
def reached(deployed: Deployment) -> Iterator[Sentinels]:
    """The stores through forwards to the pods of now, as `make forward` gives them."""
    outputs = deployed.outputs()
    forwards = Forwards(outputs["target"])
    addresses = {
        f"127.0.0.1:{end['port']}": f"127.0.0.1:"
        f"{forwards.local_port(service['namespace'], name, end['servicePort'])}"
        for name, service in outputs["services"].items()
        if name in _STORES
        for end in service["endpoints"].values()
    }
    try:
        yield Sentinels({**outputs, **_readdressed(outputs, addresses)})
    finally:
        forwards.close()


@pytest.fixture(autouse=True)
def kubectl(deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster's own, first on the PATH."""
    monkeypatch.setenv("PATH", f"{deployed.installer.tools}:/usr/bin:/bin")


@pytest.fixture
def sentinels(deployed: Deployment, kubectl: None) -> Iterator[Sentinels]:
    """The stores of the running pods."""
    with reached(deployed) as stores:
        yield stores


def _readdressed(outputs: dict[str, Any], addresses: dict[str, str]) -> dict[str, Any]:
    def new(value: str) -> str:
        for published, local in addresses.items():
            value = value.replace(published, local)
        return value

    return {
        role: {name: new(value) for name, value in outputs[role].items()}
        for role in ("environment", "administration")
    }


def test_damage_is_undone_in_every_store(deployed: Deployment, sentinels: Sentinels) -> None:
    """Postgres, both Redis instances through the network policies, MinIO's versions, silences."""
    sentinels.write()
    saved = sentinels.read()
    told = deployed.execute("backup-0", f"{_PROGRAM} run")
    assert "FAILED" not in told
    sentinels.damage()
    damaged = sentinels.read()
    assert {store for store in saved if damaged[store] != saved[store]} == set(saved) - {
        "alertmanager"
    }
    deployed.execute("backup-0", f"{_PROGRAM} restore --replace all")
    assert sentinels.read() == saved


def test_stores_whose_volumes_are_lost_come_back(deployed: Deployment) -> None:
    """Their releases and claims are gone; installed again they start empty, and a restore that
    replaces nothing fills them.
    """
    with reached(deployed) as sentinels:
        saved = sentinels.read()
    deployed.execute("backup-0", f"{_PROGRAM} run")
    releases = [item for item in deployed.plan().releases if item.name in _STORES]
    for release in releases:
        deployed.installer.helm("uninstall", release.name, "--namespace", release.namespace)
    where = ("--namespace", deployed.namespace)
    claims = deployed.installer.get("persistentvolumeclaims", *where)["items"]
    lost = [
        claim["metadata"]["name"]
        for claim in claims
        if claim["metadata"]["name"].partition("-data-")[0] in _STORES
    ]
    assert len(lost) == len(_STORES)
    deployed.installer.kubectl(*where, "delete", "persistentvolumeclaims", *lost, "--timeout=90s")
    deployed.installer.install(deployed.plan())
    deployed.execute("backup-0", f"{_PROGRAM} restore")
    with reached(deployed) as sentinels:
        assert sentinels.read() == saved


def test_backups_outlive_their_pod(deployed: Deployment, sentinels: Sentinels) -> None:
    before = deployed.execute("backup-0", f"{_PROGRAM} list")
    assert before
    deployed.installer.kubectl(
        "--namespace", deployed.namespace, "delete", "pod", "backup-0", "--timeout=90s"
    )
    deployed.wait_ready("backup")
    assert deployed.execute("backup-0", f"{_PROGRAM} list") == before
    done = deployed.health("tests/health/test_backup.py")
    assert done.returncode == 0, done.stdout[-3000:]
