"""A cluster's API, asked by one client: a `kubectl` for each question takes most of a check's
time.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kubernetes import client, config, stream

LOG_LINES = 5000
_SECONDS = 30


class Cluster:
    """The cluster of a stack's `target` output."""

    def __init__(self, target: Mapping[str, str]) -> None:
        self._target = target
        self._api = self._connect()
        core, apps, batch = (
            client.CoreV1Api(self._api),
            client.AppsV1Api(self._api),
            client.BatchV1Api(self._api),
        )
        self._lists: dict[str, Callable[..., Any]] = {
            "pods": core.list_namespaced_pod,
            "services": core.list_namespaced_service,
            "configmaps": core.list_namespaced_config_map,
            "statefulsets": apps.list_namespaced_stateful_set,
            "deployments": apps.list_namespaced_deployment,
            "daemonsets": apps.list_namespaced_daemon_set,
            "jobs": batch.list_namespaced_job,
        }
        self._core = core

    def _connect(self) -> client.ApiClient:
        api: client.ApiClient = config.new_client_from_config(
            config_file=self._target["kubeconfig"] or None, context=self._target["context"]
        )
        return api

    def of(self, namespace: str, release: str, *kinds: str) -> list[dict[str, Any]]:
        """A release's objects of these kinds, as their manifests say them."""
        selector = f"app.kubernetes.io/instance={release}"
        listed = (self._lists[kind](namespace, label_selector=selector).items for kind in kinds)
        return [self._api.sanitize_for_serialization(item) for items in listed for item in items]

    def log(self, pod: Mapping[str, Any]) -> str:
        """The last lines of a pod's log."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        return str(
            self._core.read_namespaced_pod_log(
                name, namespace, tail_lines=LOG_LINES, container=_container(pod)
            )
        )

    def execute(self, pod: Mapping[str, Any], *command: str) -> str:
        """The output of a command in the pod's first container."""
        # The stream changes the client that it is given.
        api = self._connect()
        try:
            core = client.CoreV1Api(api)
            opened = stream.stream(
                core.connect_get_namespaced_pod_exec,
                pod["metadata"]["name"],
                pod["metadata"]["namespace"],
                container=_container(pod),
                command=list(command),
                stdout=True,
                stderr=True,
                stdin=False,
                tty=False,
                _preload_content=False,
            )
            try:
                opened.run_forever(timeout=_SECONDS)
                return str(opened.read_all())
            finally:
                opened.close()
                # Of a connection that the server has ended, closing leaves the socket open.
                opened.sock.shutdown()
        finally:
            api.close()

    def close(self) -> None:
        """Closes its connections, those that the client pools too."""
        self._api.close()
        self._api.rest_client.pool_manager.clear()


def _container(pod: Mapping[str, Any]) -> str:
    return str(pod["spec"]["containers"][0]["name"])
