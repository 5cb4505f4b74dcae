"""What the Kubernetes target declares, recorded by Pulumi's mocks."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pulumi
import pytest

from infra.targets.kubernetes.plan import Plan
from infra.targets.kubernetes.resources import KubernetesTarget
from tests.support.releases import CLUSTER, SCALED, make
from tests.unit.conftest import make_settings

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


Declared = tuple[Plan, Recorder, dict[str, pulumi.ResourceOptions]]


def declare(monkeypatch: pytest.MonkeyPatch, **keys: Any) -> Declared:
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


@cache
def _declared() -> Declared:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return declare(monkeypatch)


@cache
def _scaled() -> Declared:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return declare(monkeypatch, **SCALED)


RELEASES = [release.name for release in make()[1].releases]


def test_every_release_of_the_plan_is_declared() -> None:
    plan, recorder, _ = _declared()
    assert set(recorder.of(RELEASE)) == {release.name for release in plan.releases}


@pytest.mark.parametrize("name", RELEASES)
class TestEveryRelease:
    """As Helm is given it."""

    def test_has_its_name_and_namespace_and_the_chart_by_a_relative_path(self, name: str) -> None:
        """An absolute one would differ from one machine to the next."""
        plan, recorder, _ = _declared()
        (release,) = (item for item in plan.releases if item.name == name)
        inputs = recorder.of(RELEASE)[name]
        assert (inputs["name"], inputs["namespace"], inputs["chart"]) == (
            release.name,
            release.namespace,
            "../charts/service",
        )
        assert inputs["values"]["chartHash"]

    def test_is_atomic_with_a_timeout(self, name: str) -> None:
        plan, recorder, _ = _declared()
        (release,) = (item for item in plan.releases if item.name == name)
        inputs = recorder.of(RELEASE)[name]
        assert inputs["atomic"] is True
        assert inputs["timeout"] == release.timeout > 60

    def test_depends_on_its_secrets_namespaces_and_needs(self, name: str) -> None:
        plan, _, options = _declared()
        (release,) = (item for item in plan.releases if item.name == name)
        dependencies: Any = options[f"{RELEASE} {name}"].depends_on or ()
        names = {resource._name for resource in dependencies}
        assert {secret.name for secret in release.secrets} <= names
        assert {namespace.name for namespace in plan.namespaces} <= names
        assert set(release.depends_on) <= names


def test_every_resource_names_its_provider_with_a_context() -> None:
    """Strict mode: whatever kubectl points to at the moment, nothing lands there."""
    _, recorder, _ = _declared()
    providers = recorder.of(PROVIDER)
    assert set(providers) == {"cluster", "cluster-adopting"}
    assert {
        name: (inputs["context"], inputs["kubeconfig"]) for name, inputs in providers.items()
    } == dict.fromkeys(providers, ("test", KUBECONFIG))
    # Only releases are never taken over: Helm has its own record of them.
    assert [
        (name, provider)
        for typ, name, _, provider in recorder.resources
        if typ not in (PROVIDER, "pulumi:pulumi:Stack")
        and ("cluster::" if typ == RELEASE else "cluster-adopting") not in provider
    ] == []


@pytest.mark.parametrize("protect", [False, True])
def test_namespaces_outlive_the_stack(monkeypatch: pytest.MonkeyPatch, protect: bool) -> None:
    """Deleting one would delete its volumes."""
    plan, _, options = declare(monkeypatch, protect=protect)
    assert plan.namespaces
    found = {item.name: options[f"{NAMESPACE} {item.name}"] for item in plan.namespaces}
    assert {
        name: (item.retain_on_delete, item.protect) for name, item in found.items()
    } == dict.fromkeys(found, (True, protect))


SECRETS = {
    secret.name: secret for release in make(**SCALED)[1].releases for secret in release.secrets
}


def test_every_secret_of_the_plan_is_declared() -> None:
    assert set(_scaled()[1].of(SECRET)) == set(SECRETS)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_holds_what_the_plan_says_as_a_secret_of_pulumis(name: str) -> None:
    found = _scaled()[1].of(SECRET)[name]
    assert found["stringData"][_SIGNATURE] == _SECRET
    assert found["stringData"]["value"] == {
        key: value.reveal() for key, value in SECRETS[name].data.items()
    }
    assert found["type"] == SECRETS[name].type


def test_an_operators_resource_is_waited_for_and_kept() -> None:
    _, recorder, options = _scaled()
    inputs = recorder.of(CUSTOM)["postgres-cluster"]
    assert inputs["metadata"]["name"] == "postgres"
    assert inputs["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Ready"
    assert options[f"{SECRET} postgres-superuser"].retain_on_delete is True
    assert options[f"{SECRET} redis-cache-secret"].retain_on_delete is False
    found = options[f"{CUSTOM} postgres-cluster"]
    assert found.retain_on_delete is True
    dependencies: Any = found.depends_on or ()
    assert "postgres-superuser" in {resource._name for resource in dependencies}
