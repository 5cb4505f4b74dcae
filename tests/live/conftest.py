"""Platforms of the tests' own: a copy of the tree, an instance of its own, free ports, a local
backend.

Nothing is touched that these tests did not make: every look-up goes by the copy's instance.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from ops.build import environments
from tests.live.clone import ROOT, SOURCE, Clone, copy_tree, free_offset
from tests.live.sentinels import Sentinels
from tests.live.several import configured
from tests.live.stubs import Stubs
from tests.support import lanes

VENDOR_KEY = "a-key-of-the-vendor-of-tracing"
BACKUP_UID = 65532
"""The user that backups are made as."""

# The checkers need no stack, the life of the shared stack ends with its purge, all else happens in
# between.
_ORDER = (
    "test_config_validation",
    "test_images",
    "test_rules",
    "test_retention",
    "test_refusals",
    "test_applications",
    "test_frameworks",
    "test_tls",
    "test_review",
    "test_observability",
    "test_isolation",
    "test_measured",
    "test_fault_injection",
    "test_mirror",
    "test_backup",
    "test_chaos",
    "test_migrate",
    "test_upgrades",
    "test_machines",
    "test_lifecycle",
    "test_engine",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Brings the modules into the order above; within one the order is that of the file."""
    items.sort(key=lambda item: _ORDER.index(item.path.stem) if item.path.stem in _ORDER else -1)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The Docker engine."""
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def stubs(engine: docker.DockerClient) -> Iterator[Stubs]:
    """Two model providers, the first of which always fails, and an application with metrics; on
    the host.
    """
    gateway = (
        engine.networks.get("bridge").attrs["IPAM"]["Config"][0].get("Gateway") or "172.17.0.1"
    )
    with Stubs(gateway) as running:
        yield running


@pytest.fixture(scope="session")
def clone(
    tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient, stubs: Stubs
) -> Iterator[Clone]:
    """The stack that most live tests share, before its first deploy."""
    made = Clone(copy_tree(tmp_path_factory.mktemp("clone")), engine)
    made.configure(
        target="docker",
        images=SOURCE,
        portOffset=free_offset(),
        postgres={"vectors": {"dimensions": 64}, "disk": "2GiB", "audit": "ddl"},
        minio={
            "disk": "2GiB",
            "audit": True,
            "buckets": [
                {"name": "documents", "expireAfter": "365d"},
                {"name": "exports", "versioning": True},
            ],
        },
        applications=[{"name": "ledger"}],
        prometheus={
            "scrapeInterval": "2s",
            "targets": [{"name": "shop", "address": f"host.docker.internal:{stubs.metrics_port}"}],
        },
    )
    try:
        yield made
    finally:
        made.remove_everything()


@pytest.fixture(scope="session")
def deployed(clone: Clone, stubs: Stubs, request: pytest.FixtureRequest) -> Clone:
    """The shared stack after its first `up`, with the two stub providers behind LiteLLM."""
    clone.ops("init")
    lanes.register(clone.instance)
    clone.set_keys(
        secrets={
            "litellm.providers.openrouter.apiKey": "stub-key-of-openrouter",
            "litellm.providers.openai.apiKey": "stub-key-of-openai",
            "alertmanager.webhook.url": f"{stubs.alerts.url}/alerts",
            "alertmanager.slack.webhookUrl": f"{stubs.alerts.url}/slack",
            "alertmanager.pagerduty.routingKey": "stub-key-of-pagerduty-0123456789",
            "alertmanager.opsgenie.apiKey": "stub-key-of-opsgenie-0123456789",
            "alertmanager.deadMansSwitch.url": f"{stubs.alerts.url}/still-alive",
            "alloy.forwardTraces[0].headers.x-vendor-key": VENDOR_KEY,
            "alloy.forwardLogs[0].headers.x-vendor-key": VENDOR_KEY,
            "prometheus.remoteWrite[0].password": VENDOR_KEY,
        },
        plain={
            "litellm.providers.openrouter.baseUrl": _provider(stubs.failing_port),
            "litellm.providers.openai.baseUrl": _provider(stubs.working_port),
            "alertmanager.email.to": "ops@example.org",
            "alertmanager.email.sender": "alerts@example.org",
            "alertmanager.email.host": stubs.mail.host,
            "alertmanager.email.tls": "false",
            "alertmanager.email.severities[0]": "critical",
            "alertmanager.pagerduty.url": f"{stubs.alerts.url}/pagerduty",
            "alertmanager.pagerduty.severities[0]": "critical",
            "alertmanager.opsgenie.url": f"{stubs.alerts.url}/opsgenie/",
            "alertmanager.opsgenie.severities[0]": "warning",
            "alerts.thresholds.loggedErrorsPerMinute": "20",
            "prometheus.remoteWrite[0].name": "vendor",
            "prometheus.remoteWrite[0].url": f"{stubs.metrics.url}/write",
            "alloy.forwardLogs[0].name": "vendor",
            "alloy.forwardLogs[0].endpoint": stubs.traces.url,
            "alloy.forwardTraces[0].name": "vendor",
            "alloy.forwardTraces[0].endpoint": stubs.traces.url,
        },
    )
    # The life of a stack begins as a person's does; for other tests it need only be there.
    clone.watched = any(item.path.stem == "test_lifecycle" for item in request.session.items)
    clone.first_up = clone.ops("up").stdout
    clone.watched = False
    return clone


def _provider(port: int) -> str:
    return f"http://host.docker.internal:{port}/v1"


@pytest.fixture(scope="session")
def several(
    engine: docker.DockerClient, stubs: Stubs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clone]:
    """A stack with several applications and models, deployed."""
    clone = Clone(copy_tree(tmp_path_factory.mktemp("several") / "clone"), engine, stack="several")
    configured(clone, stubs)
    try:
        clone.ops("up")
        yield clone
    finally:
        clone.remove_everything()


@pytest.fixture(scope="session")
def framework_python() -> Path:
    """The Python that has them."""
    lock = ROOT / "requirements" / "frameworks.txt"
    return environments.ensure(lock, "tests: installing frameworks (about 250 MB, once)")


@pytest.fixture(scope="session")
def framework_node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of tests/frameworks/node; skipped where there is no Node."""
    if shutil.which("npm") is None:
        pytest.skip("there is no Node here: Drizzle, Prisma and winston are not tried")
    manifest = ROOT / "tests" / "frameworks" / "node"
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(manifest / name, folder)
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the clone, as a mounted disk would be."""
    path = tmp_path_factory.mktemp("elsewhere") / "repository"
    path.mkdir()
    # The folders above are pytest's own, for one user only.
    for parent in (path.parent, path.parent.parent, path.parent.parent.parent):
        parent.chmod(0o755)
    os.chown(path, BACKUP_UID, BACKUP_UID)
    return path


@pytest.fixture(scope="session")
def safe(
    engine: docker.DockerClient, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clone]:
    """A stack with its stores filled, and nothing saved yet."""
    clone = Clone(copy_tree(tmp_path_factory.mktemp("safe") / "clone"), engine, stack="safe")
    clone.configure_stores(
        alertmanager={"enabled": True},
        backup={
            "repository": {"path": str(repository)},
            "schedule": None,
            "keep": {"last": 3},
            "cpus": 2,
        },
    )
    clone.ops("init")
    # A drill's resources, whose instance is not known before, have it in their names.
    lanes.register(clone.instance, "drill")
    try:
        clone.ops("up")
        Sentinels(clone.outputs()).write()
        yield clone
    finally:
        clone.remove_everything()
