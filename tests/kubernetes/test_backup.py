"""Backup and restore in a real cluster: the same program, exec'd in its pod, over the same data."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import pytest

from ops.sites.forward import Forwards
from tests.kubernetes.conftest import Deployment
from tests.live.clone import Clone, copy_tree
from tests.live.sentinels import Sentinels
from tests.support import lanes

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


@pytest.fixture
def on_docker(deployed: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A stack on this machine's engine, with the same master secret, filled and backed up."""
    engine = docker.from_env()
    clone = Clone(copy_tree(tmp_path_factory.mktemp("moves") / "clone"), engine, stack="moves")
    clone.configure_stores(
        postgres=deployed.keys["postgres"],
        applications=deployed.keys["applications"],
        minio=deployed.keys["minio"],
        alertmanager={"enabled": True},
        backup={"schedule": None},
    )
    try:
        secret = ("config", "set", "--secret", "groundwork:masterSecret", "--stack", clone.stack)
        clone.pulumi("stack", "init", clone.stack)
        assert clone.pulumi(*secret, deployed.keys["masterSecret"]).returncode == 0
        clone.ops("init")
        # Before anything is made that other lanes would take for a change of theirs.
        lanes.register(clone.instance)
        clone.ops("up")
        Sentinels(clone.outputs()).write()
        clone.ops("backup")
        yield clone
    finally:
        clone.remove_everything()
        engine.close()


def test_a_stack_moves_from_docker(deployed: Deployment, on_docker: Clone) -> None:
    """Its repository, carried into the cluster, fills the stores of another stack there."""
    saved = Sentinels(on_docker.outputs()).read()
    container = on_docker.docker.containers.get(on_docker.name("backup"))
    parts, _ = container.get_archive("/backup/repository")
    packed = base64.b64encode(b"".join(parts)).decode()
    unpack = ("exec", "-i", "backup-0", "--", "sh", "-ec")
    script = "mkdir -p /backup/carried && base64 -d | tar xf - -C /backup/carried"
    deployed.installer.kubectl("--namespace", deployed.namespace, *unpack, script, stdin=packed)
    known = json.loads(deployed.execute("backup-0", "cat /etc/groundwork/backup.json"))
    known["repositories"] = [{**known["repositories"][0], "url": "/backup/carried/repository"}]
    script = "cat > /backup/carried/backup.json"
    deployed.installer.kubectl(
        "--namespace", deployed.namespace, *unpack, script, stdin=json.dumps(known)
    )
    call = (
        "from pathlib import Path; from groundwork_backup import __main__ as main, config;"
        " known = config.load(Path('/backup/carried/backup.json')); config.load = lambda: known;"
        f" main.main(['restore', '--of={on_docker.instance}', '--replace=all'])"
    )
    deployed.execute("backup-0", f'python -c "{call}"')
    with reached(deployed) as sentinels:
        now = sentinels.read()
    # Silences that are there already stay.
    assert set(saved.pop("alertmanager")) <= set(now.pop("alertmanager"))
    assert now == saved
    deployed.execute("backup-0", "rm -rf /backup/carried")
