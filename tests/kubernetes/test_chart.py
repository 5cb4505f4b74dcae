"""The chart by itself: lint, what it renders, what its schema refuses, and that the API server
takes all of it.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.identity import Identity
from infra.targets.kubernetes.plan import CHART, chart_hash
from infra.targets.kubernetes.plan import build as build_plan
from tests.kubernetes.conftest import Deployment, changed
from tests.kubernetes.installer import ROOT, Installer, namespace_object, secret_object
from tests.support import notepad
from tests.support.waiting import wait_until
from tests.unit.conftest import make_platform, make_settings

EXAMPLES = sorted((ROOT / CHART / "ci").glob("*.yaml"))
# Services without an image from packages are rendered from the official ones; nothing is pulled.
SIZES: dict[str, dict[str, Any]] = {
    "dev": {"images": "registry"},
    "prod": {},
    "scaled": {
        "images": "registry",
        "postgres": {"replicas": 3},
        "qdrant": {"replicas": 3},
        "litellm": {"replicas": 2, "maxReplicas": 4},
    },
}


def helm(tools: Path, *arguments: str, values: dict[str, Any] | None = None) -> tuple[int, str]:
    """(exit status, output) of Helm without a cluster."""
    bare = Installer(tools, Path("/nonexistent"), "none")
    done = bare.helm(
        *arguments,
        *(["--values=-"] if values is not None else []),
        check=False,
        stdin=json.dumps(values),
    )
    return done.returncode, done.stdout + done.stderr


def test_there_are_examples_of_values() -> None:
    """Without any the next test would be skipped."""
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_lints_and_renders(tools: Path, example: Path) -> None:
    """Strict lint, and objects that are YAML, for each example of a values file."""
    status, text = helm(tools, "lint", CHART, "--strict", "--values", str(example))
    assert status == 0, text
    status, text = helm(tools, "template", "example", CHART, "--values", str(example))
    assert status == 0, text
    assert all(item["kind"] for item in yaml.safe_load_all(text) if item)


MINIMAL: dict[str, Any] = {
    "workload": "Deployment",
    "image": {"repository": "registry.example/app", "tag": "1.0"},
}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("workload",), "Pod", "workload"),
        (("replicaCount",), 0, "replicaCount"),
        (("replicas",), 2, "replicas"),
        (("image",), {"repository": "registry.example/app"}, "image"),
        (("image", "tag"), "latest", "tag"),
        (("image", "digest"), "sha256:short", "digest"),
        (("ports",), [{"name": "http", "port": 70000}], "port"),
        (("files",), [{"path": "relative", "content": ""}], "path"),
        (("volumes",), [{"name": "data", "path": "/data", "size": "1Gi"}], "volumes"),
        (("securityContext", "runAsUser"), 0, "runAsUser"),
        (("resources",), {"limits": {"memory": "a lot"}}, "memory"),
        (("jobs",), [{"name": "job"}], "script"),
        (("readiness", "interval"), "3s", "interval"),
        (("sidecars",), [{"name": "beside"}], "sidecars"),
        (("sharedFolders",), ["relative"], "sharedFolders"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_schema_refuses(tools: Path, path: tuple[str, ...], value: Any, message: str) -> None:
    """A wrong value is refused, and the message names its key."""
    values: dict[str, Any] = copy.deepcopy(MINIMAL)
    assert helm(tools, "template", "example", CHART, values=values)[0] == 0
    node = values
    for part in path[:-1]:
        node = node.setdefault(part, {})
    node[path[-1]] = value
    status, text = helm(tools, "template", "example", CHART, values=values)
    assert status != 0
    assert message in text


def rendered(tools: Path, **values: Any) -> dict[str, Any]:
    """Kind to object, of a release named `example`."""
    status, text = helm(tools, "template", "example", CHART, values={**MINIMAL, **values})
    assert status == 0, text
    return {item["kind"]: item for item in yaml.safe_load_all(text) if item}


def pod(objects: dict[str, Any]) -> Any:
    return objects["Deployment"]["spec"]["template"]["spec"]


def test_a_sidecar_is_ready_before_the_service_and_only_reads_its_data(tools: Path) -> None:
    """What it shares is a folder that both mount."""
    objects = rendered(
        tools,
        workload="StatefulSet",
        volumes=[{"name": "data", "path": "/data", "size": "1Gi"}],
        sharedFolders=["/shared"],
        sidecars=[
            {
                "name": "beside",
                "image": {"repository": "r/other", "tag": "2.0"},
                "command": ["sh", "-c", "sleep 9"],
                "ready": ["test", "-e", "/shared/done"],
                "resources": {"limits": {"memory": "32Mi"}},
            }
        ],
    )
    spec = objects["StatefulSet"]["spec"]["template"]["spec"]
    (sidecar,), (service,) = spec["initContainers"], spec["containers"]
    assert (sidecar["image"], sidecar["restartPolicy"]) == ("r/other:2.0", "Always")
    assert sidecar["startupProbe"]["exec"]["command"] == ["test", "-e", "/shared/done"]
    assert sidecar["securityContext"]["readOnlyRootFilesystem"]
    mounts, beside = (
        {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        for container in (service, sidecar)
    )
    assert mounts["/shared"] == beside["/shared"]
    assert beside["/data"].pop("readOnly")
    assert mounts["/data"] == beside["/data"]
    assert mounts["/shared"]["name"] in {volume["name"] for volume in spec["volumes"]}


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({"repository": "r/app", "tag": "1.0"}, "r/app:1.0"),
        (
            {"repository": "r:5000/app", "digest": f"sha256:{'0' * 64}"},
            f"r:5000/app@sha256:{'0' * 64}",
        ),
        (
            {"repository": "r/app", "tag": "1.0", "digest": f"sha256:{'0' * 64}"},
            f"r/app:1.0@sha256:{'0' * 64}",
        ),
    ],
    ids=["tag", "digest", "both"],
)
def test_an_image_is_named_by_its_parts(tools: Path, image: dict[str, str], reference: str) -> None:
    assert pod(rendered(tools, image=image))["containers"][0]["image"] == reference


def test_names_can_be_overridden(tools: Path) -> None:
    objects = rendered(
        tools, fullnameOverride="shop", nameOverride="store", ports=[{"name": "http", "port": 80}]
    )
    assert {item["metadata"]["name"] for item in objects.values()} <= {"shop", "shop-members"}
    assert objects["Deployment"]["metadata"]["labels"]["app.kubernetes.io/name"] == "store"
    assert objects["Deployment"]["metadata"]["labels"]["app.kubernetes.io/instance"] == "example"


@pytest.mark.parametrize(
    ("account", "name", "made"),
    [
        ({}, None, False),
        ({"create": True}, "example", True),
        ({"name": "mine"}, "mine", False),
        ({"create": True, "name": "mine"}, "mine", True),
    ],
    ids=["none", "made", "yours", "made by name"],
)
def test_the_account_of_the_pods(
    tools: Path, account: dict[str, Any], name: str | None, made: bool
) -> None:
    objects = rendered(tools, serviceAccount=account)
    assert pod(objects).get("serviceAccountName") == name
    assert ("ServiceAccount" in objects) == made
    assert pod(objects)["automountServiceAccountToken"] is False


def test_what_asks_the_cluster_does_so_by_the_account_that_it_is_given(tools: Path) -> None:
    objects = rendered(tools, nodeMetrics=True, serviceAccount={"name": "mine"})
    assert objects["ClusterRoleBinding"]["subjects"][0]["name"] == "mine"
    assert "ServiceAccount" not in objects
    assert pod(objects)["automountServiceAccountToken"] is True


def test_private_registries_have_their_logins(tools: Path) -> None:
    assert pod(rendered(tools, imagePullSecrets=[{"name": "login"}]))["imagePullSecrets"] == [
        {"name": "login"}
    ]


def test_a_new_version_of_the_chart_rolls_no_pods(tools: Path) -> None:
    labels = rendered(tools)["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(labels)


def test_a_release_without_a_test_has_none(tools: Path) -> None:
    assert "Pod" not in rendered(tools)
    assert (
        rendered(tools, test={"command": ["true"]})["Pod"]["metadata"]["annotations"][
            "helm.sh/hook"
        ]
        == "test"
    )


def _template(tools: Path, **values: Any) -> Any:
    return rendered(tools, **values)["Deployment"]["spec"]["template"]


def _of(key: str, content: str) -> dict[str, Any]:
    """Values in which one key has this content."""
    file = [{"path": "/etc/app", "content": content}]
    values: dict[str, Any] = {
        "files": file,
        "secretFiles": file,
        "secretEnv": {"KEY": content},
        "secret": {"name": "mine", "checksum": content},
    }
    return {key: values[key]}


@pytest.mark.parametrize("key", ["files", "secretFiles", "secretEnv", "secret"])
def test_a_changed_file_or_secret_rolls_the_pods(tools: Path, key: str) -> None:
    """The pod's template changes with the contents of its files and secrets, whoever made the
    Secret.
    """
    assert _template(tools, **_of(key, "a")) == _template(tools, **_of(key, "a"))
    assert _template(tools, **_of(key, "a")) != _template(tools, **_of(key, "b"))


def test_only_replicas_reach_the_ports_between_replicas(tools: Path) -> None:
    """What they say to each other asks for no key."""
    values = {
        **MINIMAL,
        "ports": [{"name": "http", "port": 80}],
        "peerPorts": [6335],
        "network": {"clientNamespaces": ["shop"]},
    }
    objects = [
        item
        for item in yaml.safe_load_all(helm(tools, "template", "example", CHART, values=values)[1])
        if item
    ]
    policy = next(item for item in objects if item["kind"] == "NetworkPolicy")
    opened = [
        rule
        for rule in policy["spec"]["ingress"]
        if 6335 in [port["port"] for port in rule["ports"]]
    ]
    assert [rule["from"] for rule in opened] == [
        [{"podSelector": {"matchLabels": policy["spec"]["podSelector"]["matchLabels"]}}]
    ]
    ports = {
        item["metadata"]["name"]: [port["port"] for port in item["spec"]["ports"]]
        for item in objects
        if item["kind"] == "Service"
    }
    assert ports == {"example": [80], "example-members": [80, 6335]}


def test_a_new_service_is_rendered_whole(tools: Path) -> None:
    """From its module alone: workload, volume, Service, policy, files and secrets by reference."""
    with notepad.added():
        keys: dict[str, Any] = {"target": "kubernetes", "kubernetes": {"context": "test"}}
        settings, platform = make_settings(**keys), make_platform(**keys)
        identity = Identity(
            project="groundwork", stack="dev", instance="abc123", master="feedfacefeed"
        )
        plan = build_plan(settings, identity, platform, {})
    release = next(item for item in plan.releases if item.name == "notepad")
    status, text = helm(tools, "template", "notepad", CHART, values=dict(release.values))
    assert status == 0, text
    kinds = {item["kind"]: item for item in yaml.safe_load_all(text) if item}
    assert {"StatefulSet", "Service", "NetworkPolicy", "ConfigMap"} <= set(kinds)
    pod = kinds["StatefulSet"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"].startswith("registry.example/notes/notepad:1.2.3@sha256:")


@pytest.fixture(scope="module")
def definitions(installer: Installer) -> Iterator[None]:
    """CloudNativePG's own definition of a cluster, for as long as this module runs; its operator
    does not run here.
    """
    from ops.build import golang
    from tests.kubernetes.cluster.tools import MODULES

    file = (
        golang.sources(MODULES / "cnpg", "github.com/cloudnative-pg/cloudnative-pg")
        / "config/crd/bases/postgresql.cnpg.io_clusters.yaml"
    )
    before = installer.kubectl("get", "--ignore-not-found", "crd", "clusters.postgresql.cnpg.io")
    installer.kubectl("apply", "--server-side", "-f", str(file))
    wait_until(
        lambda: installer.kubectl("get", "--raw", "/apis/postgresql.cnpg.io/v1", check=False),
        until=lambda resources: '"clusters"' in resources,
        timeout=30,
        reason="the definition is taken up",
    )
    yield
    if not before:
        installer.kubectl("delete", "-f", str(file))
        wait_until(
            lambda: installer.kubectl("api-versions"),
            until=lambda versions: "postgresql.cnpg.io" not in versions,
            timeout=120,
            reason="the definition is gone",
        )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.usefixtures("definitions")
def test_the_api_server_accepts_every_object(deployed: Deployment, size: str) -> None:
    """A server-side dry run of all objects of all services, and of each pod under the namespace's
    own standard.
    """
    keys = dict(SIZES[size])
    if size == "prod":
        stack_file = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
        keys = {
            key.removeprefix("groundwork:"): value
            for key, value in stack_file.items()
            if key.startswith("groundwork:")
        }
    keys["kubernetes"] = {**keys.get("kubernetes", {}), **deployed.keys["kubernetes"]}
    trial = Deployment(
        deployed.installer,
        {**{key: deployed.keys[key] for key in ("target", "masterSecret", "instance")}, **keys},
    )
    plan = trial.plan()
    assert len(plan.releases) >= 13
    kinds, refused = set[str](), dict[str, str]()
    for namespace in plan.namespaces:
        trial.installer.kubectl(
            "apply",
            "--server-side",
            "--dry-run=server",
            "--force-conflicts",
            "-f",
            "-",
            stdin=json.dumps(namespace_object(namespace)),
        )
    for release in plan.releases:
        objects = [item for item in yaml.safe_load_all(trial.installer.template(release)) if item]
        objects += [secret_object(item, release.namespace) for item in release.secrets]
        objects += [
            _pod(item, release.namespace) for item in objects if "template" in item.get("spec", {})
        ]
        if release.custom:
            metadata = {"name": release.custom.name, "namespace": release.namespace}
            objects.append(
                {
                    "apiVersion": release.custom.api_version,
                    "kind": release.custom.kind,
                    "metadata": metadata,
                    "spec": dict(release.custom.spec),
                }
            )
        for item in objects:
            # Another name, so that what is deployed does not stand in the way of what is tried.
            item["metadata"] = {
                **item["metadata"],
                "name": f"{item['metadata']['name']}-trial",
                "namespace": release.namespace,
            }
            kinds.add(item["kind"])
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        said = trial.installer.kubectl("create", "--dry-run=server", "-f", "-", stdin=listed)
        if said.count("created (server dry run)") != len(objects):
            refused[release.name] = said
    assert refused == {}
    assert {
        "StatefulSet",
        "Deployment",
        "DaemonSet",
        "Service",
        "ConfigMap",
        "Secret",
        "Job",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Pod",
    } <= kinds
    if size == "scaled":
        assert {"HorizontalPodAutoscaler", "Cluster"} <= kinds
    if size == "prod":
        assert "Ingress" in kinds


def _pod(workload: dict[str, Any], namespace: str) -> dict[str, Any]:
    """A pod of a workload: only pods are held against a namespace's security standard."""
    template = workload["spec"]["template"]
    claims = [
        {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "any"}}
        for claim in workload["spec"].get("volumeClaimTemplates", [])
    ]
    spec = {**template["spec"], "volumes": [*template["spec"].get("volumes", []), *claims]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **template["metadata"],
            "name": f"{workload['metadata']['name']}-pod",
            "namespace": namespace,
        },
        "spec": spec,
    }


def test_the_hash_of_the_chart_is_among_the_values(deployed: Deployment) -> None:
    """Helm releases are compared by their values, so an edited template would go unnoticed."""
    stored = json.loads(
        deployed.installer.helm(
            "get", "values", "redis-cache", "--namespace", deployed.namespace, "-o", "json"
        ).stdout
    )
    assert stored["chartHash"] == chart_hash()
    assert changed(deployed).plan().releases[0].values["chartHash"] == chart_hash()
