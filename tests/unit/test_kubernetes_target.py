"""What the Kubernetes target declares, recorded by Pulumi's mocks."""

from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest

from infra.targets.kubernetes.plan import Plan
from infra.targets.kubernetes.resources import KubernetesTarget
from tests.unit.conftest import make_settings
from tests.unit.test_releases import CLUSTER, SCALED, make

# Pulumi's test decorator leaves its event loop open.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

RELEASE, SECRET, NAMESPACE = (
    "kubernetes:helm.sh/v3:Release",
    "kubernetes:core/v1:Secret",
    "kubernetes:core/v1:Namespace",
)
CUSTOM, PROVIDER = "kubernetes:postgresql.cnpg.io/v1:Cluster", "pulumi:providers:kubernetes"
# How a secret travels to the engine (pulumi.runtime.rpc).
_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
KUBECONFIG = "/home/somebody/.kube/config"


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Keeps every declared resource's inputs and provider, in the order in which they were made."""

    resources: list[tuple[str, str, dict[str, Any], str]] = field(default_factory=list)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append((args.typ, args.name, dict(args.inputs), args.provider or ""))
        return f"id-of-{args.name}", dict(args.inputs)

    def call(
        self, args: pulumi.runtime.MockCallArgs
    ) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(args.token)

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        return {name: inputs for typ, name, inputs, _ in self.resources if typ == kind}


def declare(
    monkeypatch: pytest.MonkeyPatch, **keys: Any
) -> tuple[Plan, Recorder, dict[str, pulumi.ResourceOptions]]:
    """Declares the platform under mocks; also the options given to each resource, which mocks do
    not show.
    """
    recorder, options = Recorder(), dict[str, pulumi.ResourceOptions]()
    pulumi.runtime.set_mocks(recorder, project="groundwork", stack="dev")
    kept = pulumi.CustomResource.__init__

    def init(
        self: Any, t: str, name: str, props: Any = None, opts: Any = None, *rest: Any, **more: Any
    ) -> None:
        options[f"{t} {name}"] = opts
        kept(self, t, name, props, opts, *rest, **more)

    monkeypatch.setattr(pulumi.CustomResource, "__init__", init)
    plan = make(**keys)[1]

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> None:
        KubernetesTarget(make_settings(**{**CLUSTER, **keys}), KUBECONFIG).deploy(plan)

    run()
    return plan, recorder, options


def test_every_release_is_atomic_with_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """And by a relative path: an absolute one would differ from one machine to the next."""
    plan, recorder, _ = declare(monkeypatch)
    found = recorder.of(RELEASE)
    assert set(found) == {release.name for release in plan.releases}
    for release in plan.releases:
        inputs = found[release.name]
        assert (inputs["name"], inputs["namespace"], inputs["chart"]) == (
            release.name,
            release.namespace,
            "../charts/service",
        )
        assert inputs["atomic"] is True
        assert inputs["timeout"] == release.timeout > 60
        assert inputs["values"]["chartHash"]


def test_releases_depend_on_their_secrets_namespaces_and_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, _, options = declare(monkeypatch)
    for release in plan.releases:
        dependencies: Any = options[f"{RELEASE} {release.name}"].depends_on or ()
        names = {resource._name for resource in dependencies}
        assert {secret.name for secret in release.secrets} <= names
        assert {namespace.name for namespace in plan.namespaces} <= names
        assert set(release.depends_on) <= names


def test_every_resource_names_its_provider_with_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strict mode: whatever kubectl points to at the moment, nothing lands there."""
    _, recorder, _ = declare(monkeypatch)
    providers = recorder.of(PROVIDER)
    assert set(providers) == {"cluster", "cluster-adopting"}
    assert all(
        (inputs["context"], inputs["kubeconfig"]) == ("test", KUBECONFIG)
        for inputs in providers.values()
    )
    for typ, name, _, provider in recorder.resources:
        if typ not in (PROVIDER, "pulumi:pulumi:Stack"):
            # Only releases are never taken over: Helm has its own record of them.
            assert ("cluster::" if typ == RELEASE else "cluster-adopting") in provider, name


@pytest.mark.parametrize("protect", [False, True])
def test_namespaces_outlive_the_stack(monkeypatch: pytest.MonkeyPatch, protect: bool) -> None:
    """Deleting one would delete its volumes."""
    plan, _, options = declare(monkeypatch, protect=protect)
    for namespace in plan.namespaces:
        found = options[f"{NAMESPACE} {namespace.name}"]
        assert found.retain_on_delete is True
        assert found.protect is protect


def test_secrets_hold_what_the_plan_says_as_secrets_of_pulumis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, recorder, _ = declare(monkeypatch, **SCALED)
    found = recorder.of(SECRET)
    wanted = {secret.name: secret for release in plan.releases for secret in release.secrets}
    assert set(found) == set(wanted)
    for name, secret in wanted.items():
        wrapped = found[name]["stringData"]
        assert wrapped[_SIGNATURE] == _SECRET, name
        assert wrapped["value"] == {key: value.reveal() for key, value in secret.data.items()}
        assert found[name]["type"] == secret.type


def test_an_operators_resource_is_waited_for_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    _, recorder, options = declare(monkeypatch, **SCALED)
    inputs = recorder.of(CUSTOM)["postgres-cluster"]
    assert inputs["metadata"]["name"] == "postgres"
    assert inputs["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Ready"
    assert options[f"{SECRET} postgres-superuser"].retain_on_delete is True
    assert options[f"{SECRET} redis-cache-secret"].retain_on_delete is False
    found = options[f"{CUSTOM} postgres-cluster"]
    assert found.retain_on_delete is True
    dependencies: Any = found.depends_on or ()
    assert "postgres-superuser" in {resource._name for resource in dependencies}
