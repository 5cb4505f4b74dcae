"""What the commands know of a stack's target: its plug-in, and what runs there."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.targets.docker.naming import JOB_GAVE_UP
from ops import console
from ops.build import downloads, toolchain
from ops.sites import docker as docker_site
from ops.sites import kubernetes as kubernetes_site
from ops.stacks import stack


def test_a_plug_in_that_cannot_be_had_is_said_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No package carries the Kubernetes plug-in: without a download the command ends with what to
    do.
    """
    monkeypatch.setattr(downloads, "fetch", lambda *_: False)
    monkeypatch.setattr(toolchain, "_pulumi_home", lambda: tmp_path)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setenv("GROUNDWORK_CACHE", str(tmp_path))
    with pytest.raises(
        console.Failed, match=r"kubernetes plugin 4\.34\.2 is not installed"
    ) as raised:
        toolchain._plugin("kubernetes")
    assert "PATH" in raised.value.fix
    assert "make test-kubernetes" in raised.value.fix


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ("config: {groundwork:target: kubernetes}", "kubernetes"),
        ("config: {}", "docker"),
        ("config: {groundwork:target: nomad}", "docker"),
    ],
)
def test_the_target_is_known_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, target: str
) -> None:
    """A wrong one is refused later, with the other keys."""
    monkeypatch.setattr(stack, "ROOT", tmp_path)
    (tmp_path / "Pulumi.x.yaml").write_text(content)
    assert stack.target_of("x") == target


@pytest.mark.parametrize(
    ("pods", "state"), [([], "missing"), ([True, True], "healthy"), ([True, False], "1 of 2 ready")]
)
def test_the_state_of_a_service_of_pods(pods: list[bool], state: str) -> None:
    assert kubernetes_site._state(pods) == state


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        ({}, "missing"),
        ({"State": "exited", "Status": "Exited (1) 2 minutes ago"}, "exited"),
        ({"State": "running", "Status": "Up 3 minutes"}, "running"),
        ({"State": "running", "Status": "Up 3 minutes (healthy)"}, "healthy"),
        ({"State": "running", "Status": "Up 2 seconds (health: starting)"}, "starting"),
    ],
)
def test_the_state_of_a_container(shown: dict[str, str], state: str) -> None:
    assert docker_site._state(shown) == state


@pytest.mark.parametrize(
    ("labels", "stuck"),
    [
        ({"name": "redis", "status": "deployed"}, False),
        ({"name": "redis", "status": "superseded"}, False),
        ({"name": "redis", "status": "pending-upgrade"}, True),
        ({"name": "minio", "status": "pending-install"}, True),
        ({"name": "minio", "status": "deployed"}, True),
    ],
)
def test_a_release_is_stuck_where_the_state_does_not_know_it_or_helm_has_not_finished(
    labels: dict[str, str], stuck: bool
) -> None:
    assert kubernetes_site._stuck(labels, {"redis"}) is stuck


def test_a_clusters_capacity_is_what_its_nodes_give_to_pods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = {"status": {"allocatable": {"memory": "8Gi", "cpu": "1500m"}}}
    answers = json.dumps({"items": [node, node]})
    site = kubernetes_site.KubernetesSite({"context": "c", "kubeconfig": ""}, ("a", "a-host"))
    monkeypatch.setattr(kubernetes_site.KubernetesSite, "_run", lambda *_: answers)
    assert site.capacity() == {"memory": 16 * 1024**3, "cpus": 3.0}


def event(container: str, action: str, status: int = 1) -> dict[str, Any]:
    return {
        "Action": action,
        "Actor": {"ID": container, "Attributes": {"exitCode": str(status)}},
    }


@pytest.mark.parametrize(
    ("events", "ended"),
    [
        ([event("a", "create"), *[event("a", "die")] * 5], []),
        ([event("a", "create"), *[event("a", "die")] * 6], ["a"]),
        ([event("a", "create"), *[event("a", "die")] * 9], ["a"]),
        (
            [
                event("a", "create"),
                event("b", "create"),
                *[event("a", "die"), event("b", "die")] * 4,
            ],
            [],
        ),
        ([*[event("old", "die")] * 9], []),
        (
            [
                event("a", "create"),
                *[event("a", "die")] * 4,
                event("a", "health_status: healthy"),
                *[event("a", "die")] * 9,
            ],
            [],
        ),
        ([event("job", "die", JOB_GAVE_UP)], ["job"]),
    ],
    ids=[
        "now and then",
        "again and again",
        "once only",
        "several",
        "one of an earlier deploy",
        "one that was healthy meanwhile",
        "a job that gave up",
    ],
)
def test_a_deploy_does_not_wait_for_what_ends_whenever_it_starts(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]], ended: list[str]
) -> None:
    found: list[str] = []
    monkeypatch.setattr(docker_site, "_end_wait", found.append)
    patience = docker_site._Patience()
    for item in events:
        patience.see(item)
    assert found == ended
