"""A cluster as the commands see it, through kubectl."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.configuration import NAMESPACE
from infra.units import parse_size
from ops import console
from ops.paths import ROOT
from ops.sites import forward, recovery
from ops.sites.interface import Resources
from ops.stacks.progress import Watch
from ops.stacks.stack import Stack

_RELEASE = "kubernetes:helm.sh/v3:Release"
_WORKLOADS = "statefulsets.apps,deployments.apps,daemonsets.apps"


@dataclass(frozen=True, slots=True)
class KubernetesSite:
    """The cluster that a stack's file names, and the namespaces of the stack in it."""

    target: Mapping[str, str]
    namespaces: tuple[str, str]

    @classmethod
    def of(cls, stack: Stack) -> "KubernetesSite":
        """From the stack's file. The program itself reports errors in it."""
        cluster = stack.config().get(f"{NAMESPACE}:kubernetes") or {}
        namespace = str(cluster.get("namespace") or f"groundwork-{stack.name}")
        kubeconfig = (
            str(ROOT / Path(cluster["kubeconfig"]).expanduser())
            if cluster.get("kubeconfig")
            else ""
        )
        target = {"context": str(cluster.get("context") or ""), "kubeconfig": kubeconfig}
        return cls(target, (namespace, f"{namespace}-host"))

    def prepare(self, stack: Stack) -> None:
        """Nodes pull their own images; this checks for kubectl before anything changes."""
        self._kubectl()

    def recover(self, stack: Stack, resources: Resources) -> None:
        """Removes a dead run's lock, and Helm's records of releases that it left half-done or
        finished unknown to Pulumi: Helm refuses to continue from there.

        The objects remain, and the same release adopts them.
        """
        interrupted = recovery.unlock(stack)
        if not stack.backend.local:
            return
        # Looked for without a lock too: the run that was to recover may have been killed itself.
        owned = self._seen(lambda: self._list("namespaces", ",".join(recovery.owner_labels(stack))))
        recorded = {str(item["inputs"]["name"]) for item in resources if item["type"] == _RELEASE}
        spaces = {item["metadata"]["name"] for item in owned}
        kept = self._list("secrets", "owner=helm") if spaces else []
        stuck = [
            item
            for item in kept
            if item["metadata"]["namespace"] in spaces
            and _stuck(item["metadata"]["labels"], recorded)
        ]
        for item in stuck:
            self._run(
                "--namespace",
                item["metadata"]["namespace"],
                "delete",
                "secret",
                item["metadata"]["name"],
            )
        if interrupted or stuck:
            # What was being created is made again, so nothing is pending any more.
            stack.ask(
                "refresh",
                "--yes",
                "--skip-preview",
                "--clear-pending-creates",
                "--stack",
                stack.name,
            )
        if stuck:
            console.out.print(
                f"recovery: discarded {len(stuck)} unfinished releases; this run installs them"
                " again"
            )

    def repairs(self, resources: Resources) -> tuple[list[str], list[str]]:
        """A release whose workload is gone is replaced: to Helm, and so to Pulumi, it still looks
        deployed.
        """
        releases = {
            str(item["inputs"]["name"]): item
            for item in resources
            if item["type"] == _RELEASE and not item.get("delete")
        }
        if not releases:
            return [], []
        there = {item["metadata"]["name"] for item in self._list(_WORKLOADS)}
        gone = sorted(
            name
            for name, item in releases.items()
            if name not in there and item["inputs"]["values"].get("workload") != "None"
        )
        return gone, [f"--replace={releases[name]['urn']}" for name in gone]

    def facts(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """None: Pulumi asks the cluster about every release."""
        return {}

    @contextmanager
    def watching(self, stack: Stack) -> Iterator[Watch]:
        """Measures afterwards, from each pod's own conditions."""
        watch = Watch()
        known = {item["metadata"]["uid"] for item in self._seen(self._pods)}
        yield watch
        for pod in self._seen(self._pods):
            service = pod["metadata"]["labels"].get("app.kubernetes.io/instance", "")
            if pod["metadata"]["uid"] not in known:
                for condition in pod["status"].get("conditions") or ():
                    if condition["status"] == "True" and condition["type"] in (
                        "PodScheduled",
                        "Ready",
                    ):
                        watch.at(
                            service,
                            _seconds(condition["lastTransitionTime"]),
                            healthy=condition["type"] == "Ready",
                        )

    def show_failed(self, stack: Stack) -> None:
        """Prints why pods are not ready, and their last lines; a job's pods remain after its
        release is rolled back.
        """
        for pod in self._seen(lambda: self._list("pods", "app.kubernetes.io/part-of=groundwork")):
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            statuses = pod["status"].get("containerStatuses") or []
            if pod["status"]["phase"] == "Succeeded" or (
                statuses and all(status["ready"] for status in statuses)
            ):
                continue
            waiting = [
                status["state"]["waiting"] for status in statuses if "waiting" in status["state"]
            ]
            unplaced = [
                item
                for item in pod["status"].get("conditions") or ()
                if item["type"] == "PodScheduled" and item["status"] != "True"
            ]
            why = (
                "; ".join(
                    f"{item['reason']}: {item.get('message', '')}" for item in (*waiting, *unplaced)
                )
                or pod["status"]["phase"]
            )
            console.err.print(
                f"\n[bold]{name}[/bold] in {namespace}: {console.plain(why)}; its last lines:"
            )
            done = subprocess.run(
                [*self._kubectl(), "--namespace", namespace, "logs", "--tail=15", name],
                capture_output=True,
                text=True,
                check=False,
            )
            for line in done.stdout.splitlines():
                console.err.print(f"    {line}", markup=False)

    def diagnosis(self, stack: Stack) -> Iterator[tuple[str, str]]:
        """Pods and events of the stack's namespaces, and each pod's last lines."""
        for namespace in self.namespaces:
            yield f"{namespace}-pods.txt", self._run("get", "pods", "-o", "wide", "-n", namespace)
            order = "--sort-by=.lastTimestamp"
            yield f"{namespace}-events.txt", self._run("get", "events", order, "-n", namespace)
        for pod in self._seen(lambda: self._list("pods", "app.kubernetes.io/part-of=groundwork")):
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            options = ("--all-containers", "--tail=500", "-n", namespace)
            yield f"{name}.log", self._run("logs", name, *options)

    def identities(self, outputs: Mapping[str, Any]) -> dict[str, str]:
        """The uids of each service's pods and the start of their containers."""
        found: dict[str, list[str]] = {name: [] for name in outputs["services"]}
        for pod in self._pods():
            statuses = pod["status"].get("containerStatuses") or [{}]
            began = statuses[0].get("state", {}).get("running", {}).get("startedAt", "")
            found.setdefault(pod["metadata"]["labels"]["app.kubernetes.io/instance"], []).append(
                f"{pod['metadata']['uid']} {began}"
            )
        return {name: " ".join(sorted(parts)) for name, parts in found.items()}

    def states(self, outputs: Mapping[str, Any]) -> dict[str, str]:
        """`healthy` if every pod is ready, otherwise how many are."""
        ready: dict[str, list[bool]] = {name: [] for name in outputs["services"]}
        for pod in self._pods():
            statuses = pod["status"].get("containerStatuses") or []
            ready.setdefault(pod["metadata"]["labels"]["app.kubernetes.io/instance"], []).append(
                bool(statuses) and statuses[0]["ready"]
            )
        return {name: _state(pods) for name, pods in ready.items()}

    def memory(self, outputs: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
        """From the kubelets' own summaries."""
        limits = {
            name: float(parse_size(service["limits"]["memory"]))
            for name, service in outputs["services"].items()
        }
        for node in json.loads(self._run("get", "nodes", "-o", "json"))["items"]:
            summary = json.loads(
                self._run(
                    "get", "--raw", f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"
                )
            )
            for pod in summary["pods"]:
                if pod["podRef"]["namespace"] in self.namespaces:
                    for container in pod.get("containers", []):
                        yield (
                            pod["podRef"]["name"],
                            container.get("memory", {}).get("workingSetBytes", 0),
                            limits.get(container["name"], 0),
                        )

    def capacity(self) -> Mapping[str, float]:
        """What the nodes can give to pods; their disks are not known."""
        from kubernetes.utils import quantity

        nodes = json.loads(self._run("get", "nodes", "-o", "json"))["items"]
        given = [node["status"]["allocatable"] for node in nodes]
        return {
            "memory": sum(float(quantity.parse_quantity(item["memory"])) for item in given),
            "cpus": sum(float(quantity.parse_quantity(item["cpu"])) for item in given),
        }

    def release(self, stack: Stack) -> None:
        """Nothing: an application's pods hold nothing of ours."""

    def data(self, stack: Stack) -> list[str]:
        """The stack's namespaces, with the volume claims in them."""
        owned = self._owned(stack)
        claims = [
            item
            for item in self._list("persistentvolumeclaims")
            if item["metadata"]["namespace"] in owned
        ]
        return [
            *(f"namespace {name}" for name in owned),
            *(f"volume claim {item['metadata']['name']}" for item in claims),
        ]

    def delete_data(self, stack: Stack) -> Iterator[str]:
        """Deletes the namespaces that carry this stack's labels, and with them the claims."""
        for name in self._owned(stack):
            self._run("delete", "namespace", name)
            yield f"namespace {name}"

    def unrecord(self, stack: Stack, service: str, major: int) -> None:
        """Nothing to do: the cluster's record has the last deploy's versions."""

    def inside(self, entry: Mapping[str, Any]) -> Sequence[str]:
        """`kubectl exec`."""
        name = entry["container"]
        where = ("--namespace", entry["namespace"], "exec", "--stdin", f"statefulset/{name}")
        return (*self._kubectl(), *where, "--container", name, "--")

    def follow(self, service: str, entry: Mapping[str, Any]) -> None:
        """`kubectl logs`."""
        selector = f"app.kubernetes.io/instance={service},app.kubernetes.io/component=server"
        subprocess.run(
            [
                *self._kubectl(),
                "--namespace",
                entry["namespace"],
                "logs",
                "--follow",
                "--tail=200",
                "--prefix",
                "--selector",
                selector,
            ],
            check=False,
        )

    def _owned(self, stack: Stack) -> list[str]:
        """The namespaces with this stack's labels: a name alone may belong to someone else."""
        return [
            str(item["metadata"]["name"])
            for item in self._list("namespaces", ",".join(recovery.owner_labels(stack)))
        ]

    def _seen(self, look: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """The result of a query; empty if the cluster does not answer, which the program reports
        better.
        """
        try:
            return look()
        except console.Failed:
            return []

    def _pods(self) -> list[dict[str, Any]]:
        found = self._list(
            "pods", "app.kubernetes.io/part-of=groundwork,app.kubernetes.io/component=server"
        )
        # What an operator runs to set up an instance has its labels too, and ends.
        return [
            pod
            for pod in found
            if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] != "Succeeded"
        ]

    def _list(self, what: str, selector: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            self._run("get", what, "--all-namespaces", f"--selector={selector}", "-o", "json")
        )["items"]
        return [
            item
            for item in found
            if item["metadata"].get("namespace", item["metadata"]["name"]) in self.namespaces
        ]

    def _kubectl(self) -> list[str]:
        return forward.kubectl(self.target)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._kubectl(), "--request-timeout=30s", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise console.Failed(
                f"kubectl {' '.join(arguments[:2])}:"
                f" {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}",
                f"check that `kubectl --context={self.target['context']} get nodes` works, and"
                " check groundwork:kubernetes in the stack's file",
            )
        return done.stdout


def _stuck(labels: Mapping[str, str], recorded: Set[str]) -> bool:
    """True if a Helm record, by its labels, is of a release that is half-done or unknown to the
    state.
    """
    return labels["status"].startswith("pending-") or labels["name"] not in recorded


def _state(pods: list[bool]) -> str:
    if not pods:
        return "missing"
    return "healthy" if all(pods) else f"{sum(pods)} of {len(pods)} ready"


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
