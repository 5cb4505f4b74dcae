"""Every check of pods is seen to fail: something is broken in the way that the check is there to
notice.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.conftest import Deployment
from tests.support.waiting import wait_until

Break = Callable[[Deployment], AbstractContextManager[None]]
EXPORTER = "redis-queue-exporter"


def patched(kind: str, patch: dict[str, Any], mend: dict[str, Any]) -> Break:
    """Changes an object of the exporter, and puts it back."""

    @contextmanager
    def make(deployed: Deployment) -> Iterator[None]:
        def apply(content: dict[str, Any]) -> None:
            deployed.installer.kubectl(
                "--namespace",
                deployed.namespace,
                "patch",
                kind,
                EXPORTER,
                "--type=merge",
                "--patch",
                json.dumps(content),
            )
            if kind == "deployment":
                deployed.installer.kubectl(
                    "--namespace",
                    deployed.namespace,
                    "rollout",
                    "status",
                    f"deployment/{EXPORTER}",
                    "--timeout=60s",
                )

        apply(patch)
        try:
            yield
        finally:
            apply(mend)
            deployed.wait_ready(EXPORTER)

    return make


@contextmanager
def unready(deployed: Deployment) -> Iterator[None]:
    """A new pod never becomes ready, and the former one stays beside it."""
    probe = {"exec": {"command": ["false"]}}
    patch = {
        "spec": {
            "template": {"spec": {"containers": [{"name": EXPORTER, "readinessProbe": probe}]}}
        }
    }
    deployed.installer.kubectl(
        "--namespace",
        deployed.namespace,
        "patch",
        "deployment",
        EXPORTER,
        "--type=strategic",
        "--patch",
        json.dumps(patch),
    )
    wait_until(
        lambda: [
            pod["status"].get("containerStatuses") for pod in deployed.pods(EXPORTER).values()
        ],
        until=lambda statuses: len(statuses) >= 2 and all(statuses),
        timeout=30,
        interval=0.3,
        reason="there is a second pod",
    )
    try:
        yield
    finally:
        deployed.installer.kubectl(
            "--namespace", deployed.namespace, "rollout", "undo", f"deployment/{EXPORTER}"
        )
        deployed.installer.kubectl(
            "--namespace",
            deployed.namespace,
            "rollout",
            "status",
            f"deployment/{EXPORTER}",
            "--timeout=60s",
        )


@contextmanager
def crashing(deployed: Deployment) -> Iterator[None]:
    """The container restarts while its stability is watched."""

    def crash() -> None:
        deployed.execute("redis-queue-0", "kill 1")

    crash()
    time.sleep(1)
    deployed.wait_ready("redis-queue")
    timer = threading.Timer(8, crash)
    timer.start()
    try:
        yield
    finally:
        timer.join()
        time.sleep(1)
        deployed.wait_ready("redis-queue")


@contextmanager
def careless(deployed: Deployment) -> Iterator[None]:
    """A ConfigMap of the release shows a password."""
    secret = deployed.outputs()["credentials"]["postgres"]["app"]
    metadata = {
        "name": "careless",
        "namespace": deployed.namespace,
        "labels": {"app.kubernetes.io/instance": EXPORTER},
    }
    deployed.installer.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"PASSWORD": secret},
        }
    )
    try:
        yield
    finally:
        deployed.installer.kubectl(
            "--namespace", deployed.namespace, "delete", "configmap", "careless"
        )


BREAKS: list[tuple[str, str, Break]] = [
    ("test_is_running_and_ready", EXPORTER, unready),
    ("test_is_stable", "redis-queue", crashing),
    (
        "test_is_inside_the_cluster_only",
        EXPORTER,
        patched("service", {"spec": {"type": "NodePort"}}, {"spec": {"type": "ClusterIP"}}),
    ),
    (
        "test_is_confined",
        EXPORTER,
        patched(
            "deployment",
            {"spec": {"template": {"spec": {"automountServiceAccountToken": True}}}},
            {"spec": {"template": {"spec": {"automountServiceAccountToken": False}}}},
        ),
    ),
    ("test_shows_no_secret", EXPORTER, careless),
]


@pytest.mark.parametrize(
    ("check", "service", "broken"), BREAKS, ids=[check for check, _, _ in BREAKS]
)
def test_check_notices(deployed: Deployment, check: str, service: str, broken: Break) -> None:
    """The check fails, by its own assertion, while something is broken."""
    with broken(deployed):
        done = deployed.health(f"tests/health/test_pods.py::{check}", "-k", f"[{service}]")
    assert done.returncode == 1, done.stdout
    assert re.search(
        rf"^FAILED tests/health/test_pods.py::{check}\[{service}\]", done.stdout, re.M
    ), done.stdout


def test_every_check_of_pods_is_broken_here() -> None:
    """A new check comes with a way to see it fail."""
    source = (Path(__file__).resolve().parents[1] / "health" / "test_pods.py").read_text()
    assert set(re.findall(r"^def (test_\w+)", source, re.M)) == {check for check, _, _ in BREAKS}
