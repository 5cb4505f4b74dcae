"""Installs a plan with Helm itself, where Pulumi's Kubernetes plug-in cannot be had: the same
chart, values, Secrets and order.
"""

import base64
import json
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.targets.kubernetes.plan import CHART, LEDGER, Namespace, Plan, Release, plain
from infra.targets.kubernetes.values import SecretObject

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Installer:
    """Helm and kubectl for one context of a kubeconfig."""

    tools: Path
    kubeconfig: Path
    context: str

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """kubectl's output; an assertion with its message if it fails, unless `check` is off."""
        command: list[str | Path] = [
            self.tools / "kubectl",
            f"--kubeconfig={self.kubeconfig}",
            f"--context={self.context}",
            *arguments,
        ]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, (
            f"kubectl {' '.join(arguments[:4])}: {done.stderr[-3000:]}"
        )
        return done.stdout if done.returncode == 0 else done.stderr

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object or a list of objects."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "-o", "json", *arguments))
        return found

    def helm(
        self, *arguments: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Helm's output; an assertion with its message if it fails, unless `check` is off."""
        command: list[str | Path] = [
            self.tools / "helm",
            *arguments,
            f"--kubeconfig={self.kubeconfig}",
            f"--kube-context={self.context}",
        ]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, input=stdin
        )
        assert not check or done.returncode == 0, (
            f"helm {' '.join(arguments[:4])}: {done.stderr[-3000:]}"
        )
        return done

    def apply(self, *objects: Mapping[str, Any]) -> str:
        """Server-side apply, as Pulumi's provider does."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self.kubectl(
            "apply",
            "--server-side",
            "--field-manager=groundwork-tests",
            "-f",
            "-",
            stdin=json.dumps(listed),
        )

    def install(self, plan: Plan) -> None:
        """Everything of a plan: what does not need each other at the same time, as
        Pulumi does it.
        """
        self.apply(*(namespace_object(item) for item in plan.namespaces))
        if plan.login:
            self.apply(*(secret_object(plan.login, item.name) for item in plan.namespaces))
        done: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(max_workers=16) as pool:
            for release in plan.releases:
                done[release.name] = pool.submit(
                    self._after,
                    release,
                    [done[name] for name in release.depends_on if name in done],
                )
        for future in done.values():
            future.result()
        self.apply(ledger_object(plan))

    def _after(self, release: Release, needed: Sequence[Future[None]]) -> None:
        for future in needed:
            future.result()
        self.release(release)

    def release(self, release: Release) -> None:
        """One release with its Secrets."""
        if release.secrets:
            self.apply(*(secret_object(item, release.namespace) for item in release.secrets))
        self.helm(
            "upgrade",
            "--install",
            release.name,
            CHART,
            "--namespace",
            release.namespace,
            "--rollback-on-failure",
            "--wait",
            f"--timeout={release.timeout}s",
            "--values=-",
            stdin=plain(release.values),
        )

    def template(self, release: Release) -> str:
        """What the chart makes of a release's values."""
        return self.helm(
            "template",
            release.name,
            CHART,
            "--namespace",
            release.namespace,
            "--values=-",
            stdin=plain(release.values),
        ).stdout


def namespace_object(namespace: Namespace) -> dict[str, Any]:
    metadata = {
        "name": namespace.name,
        "labels": dict(namespace.labels),
        "annotations": dict(namespace.annotations),
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def ledger_object(plan: Plan) -> dict[str, Any]:
    metadata = {"name": LEDGER, "namespace": plan.namespaces[0].name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": plan.ledger}


def secret_object(secret: SecretObject, namespace: str) -> dict[str, Any]:
    data = {
        key: base64.b64encode(value.reveal().encode()).decode()
        for key, value in secret.data.items()
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": secret.type,
        "metadata": {"name": secret.name, "namespace": namespace},
        "data": data,
    }
