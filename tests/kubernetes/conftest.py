"""A real cluster and a platform in it: the one that GROUNDWORK_TEST_CONTEXT names, else one from
packages that lives as long as the tests.

Without Pulumi's plug-in Helm installs the very values that Pulumi would; what is declared through
Pulumi the mocks cover.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from infra import outputs, secret, validation
from infra.identity import Identity
from infra.images import local_tag
from infra.secret import Keyring
from infra.services.context import Context
from infra.services.platform import build as build_platform
from infra.services.registry import settings_model
from infra.settings import Settings
from infra.spec import Platform
from infra.targets.kubernetes.plan import Plan
from infra.targets.kubernetes.plan import build as build_plan
from infra.versions import RECIPES
from ops.stacks import generated
from tests.kubernetes.cluster import lifecycle
from tests.kubernetes.cluster import tools as cluster_tools
from tests.kubernetes.cluster.lifecycle import Cluster
from tests.kubernetes.installer import ROOT, Installer
from tests.live.stubs import Stubs
from tests.support import nested
from tests.support.waiting import wait_until

_STACK = "live"
# The platform is broken after its life was gone through, and uninstalled in the course of that.
_ORDER = (
    "test_cluster",
    "test_chart",
    "test_refusals",
    "test_platform",
    "test_backup",
    "test_fault_injection",
    "test_tls",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Brings the modules into the order above; within one the order is that of the file."""
    items.sort(key=lambda item: _ORDER.index(item.path.stem) if item.path.stem in _ORDER else -1)


def make_settings(**keys: Any) -> Settings:
    """Settings as a stack file would give them, with the names that `load` fills in."""
    settings = settings_model().model_validate(keys, by_alias=True, by_name=False)
    assert validation.check(settings) == []
    cluster = settings.kubernetes
    namespace = cluster.namespace or f"groundwork-{_STACK}"
    return settings.model_copy(
        update={
            "environment": settings.environment or _STACK,
            "kubernetes": cluster.model_copy(update={"namespace": namespace}),
        }
    )


@dataclass
class Deployment:
    """A platform of the tests' own in a namespace of its own."""

    installer: Installer
    keys: dict[str, Any]
    seconds: float = 0
    _folder: Path = field(default_factory=Path)

    @property
    def settings(self) -> Settings:
        return make_settings(**self.keys)

    @property
    def platform(self) -> Platform:
        return build_platform(self.settings)

    @property
    def identity(self) -> Identity:
        keyring = Keyring(self.settings.master_secret)
        return Identity(
            project="groundwork",
            stack=_STACK,
            instance=self.settings.instance,
            master=keyring.fingerprint,
        )

    @property
    def namespace(self) -> str:
        return self.settings.namespace

    def plan(self) -> Plan:
        return build_plan(self.settings, self.identity, self.platform, {})

    def outputs(self) -> dict[str, Any]:
        """What the Pulumi program would export, secrets revealed."""
        found = outputs.build(
            self.settings,
            self.platform,
            Context(self.settings, Keyring(self.settings.master_secret)),
            self.identity,
            [],
        )
        revealed: dict[str, Any] = secret.revealed(found)
        return revealed

    def health(self, *arguments: str, record: bool = False) -> subprocess.CompletedProcess[str]:
        """The health checks as `make health` runs them, or some of them."""
        path = self._folder / "outputs.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.outputs()))
        path_variable = f"{self.installer.tools}{os.pathsep}{os.environ['PATH']}"
        environment = {
            **os.environ,
            "GROUNDWORK_OUTPUTS": str(path),
            "PATH": path_variable,
            "PYTHONPATH": str(ROOT),
        }
        if not record:
            environment.pop("GROUNDWORK_OUTCOMES", None)
        return nested.run(*arguments, cwd=ROOT, env=environment)

    def pods(
        self, service: str | None = None, *, namespace: str | None = None
    ) -> dict[str, dict[str, Any]]:
        """Name to object of the pods that serve, of one service or of all."""
        selector = "app.kubernetes.io/component=server" + (
            f",app.kubernetes.io/instance={service}" if service else ""
        )
        found = self.installer.get(
            "pods", "--namespace", namespace or self.namespace, "--selector", selector
        )["items"]
        return {
            pod["metadata"]["name"]: pod
            for pod in found
            if "deletionTimestamp" not in pod["metadata"]
        }

    def execute(self, pod: str, script: str, *, namespace: str | None = None) -> str:
        """What a script prints in a pod."""
        return self.installer.kubectl(
            "--namespace", namespace or self.namespace, "exec", pod, "--", "sh", "-ec", script
        ).strip()

    def sql(self, statement: str) -> str:
        """A statement's result, as the superuser in the application's database."""
        login = (
            "PGPASSWORD=$(cat /etc/groundwork/superuser-password) psql -X -q -At -v ON_ERROR_STOP=1"
            " -h 127.0.0.1 -U postgres -d app"
        )
        return self.execute("postgres-0", f'{login} -c "{statement}"')

    def wait_ready(
        self, service: str, seconds: float = 120, *, namespace: str | None = None
    ) -> None:
        """Returns when a service's pods are there and ready."""
        wait_until(
            lambda: [
                pod["status"].get("containerStatuses") or [{"ready": False}]
                for pod in self.pods(service, namespace=namespace).values()
            ],
            until=lambda statuses: statuses and all(status[0]["ready"] for status in statuses),
            timeout=seconds,
            interval=0.3,
            reason=f"{service} is ready",
        )

    def remove(self) -> None:
        """The namespaces with all that is in them, and what they leave on a node that is this
        machine.
        """
        for namespace in self.plan().namespaces:
            self.installer.kubectl(
                "delete", "namespace", namespace.name, "--ignore-not-found", "--timeout=120s"
            )
            shutil.rmtree(f"/var/lib/groundwork/{namespace.name}", ignore_errors=True)


@pytest.fixture(scope="session")
def tools() -> Path:
    """Helm, kubectl and the programs of a cluster."""
    return cluster_tools.ensure()


@pytest.fixture(scope="session")
def cluster(tools: Path, say: Callable[[str], None]) -> Iterator[Cluster]:
    """The cluster that the environment names, or one that is made here and is gone afterwards."""
    named = os.environ.get("GROUNDWORK_TEST_CONTEXT")
    if named:
        yield Cluster(Path(os.environ["KUBECONFIG"]), named)
        return
    with lifecycle.running(
        tools, [local_tag(name, recipe) for name, recipe in RECIPES.items()]
    ) as made:
        say(f"cluster from cached binaries, seconds since its start: {made.describe()}")
        yield made


@pytest.fixture(scope="session")
def installer(cluster: Cluster, tools: Path) -> Installer:
    """Helm and kubectl for that cluster."""
    return Installer(tools, cluster.kubeconfig, cluster.context)


@pytest.fixture(scope="session")
def deployed(
    cluster: Cluster,
    installer: Installer,
    say: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """The shared platform after its first install: with stub providers where the cluster is our
    own, else without.
    """
    keys: dict[str, Any] = {
        "target": "kubernetes",
        "images": os.environ.get(
            "GROUNDWORK_TEST_IMAGES", "registry" if cluster.layout is None else "packages"
        ),
        "masterSecret": generated.generate(generated.MASTER_LENGTH),
        "instance": generated.instance_id(),
        "postgres": {"vectors": {"dimensions": 64}},
        "minio": {"buckets": [{"name": "documents", "expireAfter": "365d"}, {"name": "exports"}]},
        "prometheus": {"scrapeInterval": "2s"},
        "applications": [{"name": "ledger"}],
    }
    keys["kubernetes"] = {
        "context": cluster.context,
        "kubeconfig": str(cluster.kubeconfig),
        "namespace": f"groundwork-{keys['instance']}",
    }
    stubs = Stubs(cluster.layout.host_address) if cluster.layout else None
    if stubs and cluster.layout:
        stubs.__enter__()
        host = cluster.layout.host_address
        keys["litellm"] = {
            "providers": {
                "openrouter": {
                    "apiKey": "stub-key-of-openrouter",
                    "baseUrl": f"http://{host}:{stubs.failing_port}/v1",
                },
                "openai": {
                    "apiKey": "stub-key-of-openai",
                    "baseUrl": f"http://{host}:{stubs.working_port}/v1",
                },
            }
        }
        keys["prometheus"]["targets"] = [
            {"name": "shop", "address": f"{host}:{stubs.metrics_port}"}
        ]
    made = Deployment(installer, keys, _folder=tmp_path_factory.mktemp("kubernetes"))
    try:
        began = time.monotonic()
        made.installer.install(made.plan())
        made.seconds = time.monotonic() - began
        say(f"from a ready node to all services healthy: {made.seconds:.1f} s")
        yield made
    finally:
        # Our own cluster ends with everything in it.
        if cluster.layout is None:
            made.remove()
        if stubs:
            stubs.__exit__(None, None, None)


def changed(deployment: Deployment, **keys: Any) -> Deployment:
    """The same deployment with other settings."""
    return replace(deployment, keys={**deployment.keys, **keys})
