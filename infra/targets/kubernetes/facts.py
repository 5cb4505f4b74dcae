"""Reads facts from a cluster's API. It changes nothing."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from infra.consent import Consent
from infra.refusal import PreflightError, Violation
from infra.settings import Settings
from infra.targets.kubernetes.plan import LEDGER
from infra.targets.kubernetes.values import VERSION_LABEL

_ROOT = Path(__file__).resolve().parents[3]
_SECONDS = 10
_KEY = "groundwork:kubernetes"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node: what pods may request of it (bytes, cores), and its taints."""

    name: str
    memory: int
    cpus: float
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """Facts about a cluster. `namespaces` holds the metadata of the stack's own, where they exist;
    `ledger` is its record of versions, `ready` the versions of its stores that are ready now,
    `consent` what is allowed this time.
    """

    version: str
    namespaces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    storage_classes: Mapping[str, bool] = field(default_factory=dict)
    ingress_classes: frozenset[str] = frozenset()
    api_groups: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()
    ledger: Mapping[str, str] = field(default_factory=dict)
    ready: Mapping[str, str] = field(default_factory=dict)
    consent: Consent = field(default_factory=Consent)


def read_facts(settings: Settings, consent: Consent) -> ClusterFacts:
    """Everything that the checks ask about. Raises PreflightError for an unknown context or a
    cluster that does not answer.
    """
    api = connect(settings)
    try:
        spaces = {
            name: _found(api, f"/api/v1/namespaces/{name}")
            for name in (settings.namespace, settings.host_namespace)
        }
        return ClusterFacts(
            version=str(_get(api, "/version")["gitVersion"]),
            namespaces={name: found["metadata"] for name, found in spaces.items() if found},
            nodes=tuple(_node(item) for item in _items(api, "/api/v1/nodes")),
            storage_classes={
                item["metadata"]["name"]: _is_default(item)
                for item in _items(api, "/apis/storage.k8s.io/v1/storageclasses")
            },
            ingress_classes=frozenset(
                item["metadata"]["name"]
                for item in _items(api, "/apis/networking.k8s.io/v1/ingressclasses")
            ),
            api_groups=frozenset(item["name"] for item in _get(api, "/apis")["groups"]),
            claims=frozenset(
                item["metadata"]["name"]
                for item in _items(
                    api, f"/api/v1/namespaces/{settings.namespace}/persistentvolumeclaims"
                )
            ),
            ledger=_found(api, f"/api/v1/namespaces/{settings.namespace}/configmaps/{LEDGER}").get(
                "data", {}
            ),
            ready=dict(
                _ready(_items(api, f"/apis/apps/v1/namespaces/{settings.namespace}/statefulsets"))
            ),
            consent=consent,
        )
    except ApiException as error:
        reason = f"the cluster denied read access: {error.status} {error.reason}"
        fix = "use a context whose user may read nodes, namespaces, storage classes and claims"
        raise PreflightError([Violation(key=f"{_KEY}.context", reason=reason, fix=fix)]) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise PreflightError([_unreachable(settings, error)]) from None
    finally:
        api.close()


def kubeconfig(settings: Settings) -> str:
    """The kubeconfig in use: the configured one, KUBECONFIG's, or the default one."""
    named = settings.kubernetes.kubeconfig
    if named:
        return str(_ROOT / Path(named).expanduser())
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def connect(settings: Settings) -> client.ApiClient:
    """A client for the configured context. Raises PreflightError if the kubeconfig has no such
    context.
    """
    cluster = settings.kubernetes
    try:
        contexts, _ = config.list_kube_config_contexts(config_file=kubeconfig(settings))
    except (ConfigException, yaml.YAMLError, OSError) as error:
        raise PreflightError([_unusable(error)]) from None
    known = [str(item["name"]) for item in contexts]
    if os.pathsep in kubeconfig(settings):
        reason = "KUBECONFIG names several files, but Pulumi's provider accepts only one"
        raise PreflightError(
            [
                Violation(
                    key=f"{_KEY}.kubeconfig",
                    reason=reason,
                    fix="set it to the file with this cluster",
                )
            ]
        )
    if cluster.context not in known:
        reason = (
            f"the kubeconfig has no context `{cluster.context}`"
            if cluster.context
            else "the target is Kubernetes, but no context is set"
        )
        raise PreflightError(
            [
                Violation(
                    key=f"{_KEY}.context",
                    reason=reason,
                    fix=f"set it to one of: {', '.join(known) or '(none)'}",
                )
            ]
        )
    try:
        api: client.ApiClient = config.new_client_from_config(
            config_file=kubeconfig(settings), context=cluster.context
        )
    except (ConfigException, OSError) as error:
        raise PreflightError([_unusable(error)]) from None
    # One short try: a person waits for the answer.
    api.rest_client.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(total=0)
    return api


def _unusable(error: Exception) -> Violation:
    reason = f"no usable kubeconfig: {str(error).splitlines()[0]}"
    return Violation(
        key=f"{_KEY}.kubeconfig",
        reason=reason,
        fix="set it, or KUBECONFIG, to the kubeconfig of your cluster",
    )


def _unreachable(settings: Settings, error: Exception) -> Violation:
    reason = getattr(error, "reason", None) or error
    return Violation(
        key=f"{_KEY}.context",
        reason=(
            f"the cluster of the context `{settings.kubernetes.context}` does not answer"
            f" ({type(reason).__name__})"
        ),
        fix=(
            f"check that `kubectl --context={settings.kubernetes.context} get nodes` works, or set"
            " another context"
        ),
    )


def _get(api: client.ApiClient, path: str) -> dict[str, Any]:
    request = api.param_serialize(
        "GET", path, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"]
    )
    response = api.call_api(*request, _request_timeout=_SECONDS)
    response.read()
    if response.status != 200:
        raise ApiException(status=response.status, reason=response.reason)
    found: dict[str, Any] = json.loads(response.data or b"{}")
    return found


def _items(api: client.ApiClient, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = _get(api, path)["items"]
    return items


def _found(api: client.ApiClient, path: str) -> dict[str, Any]:
    """An object, empty if there is none."""
    try:
        return _get(api, path)
    except ApiException as error:
        if error.status == 404:
            return {}
        raise


def _ready(sets: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Name and version of those whose replicas are all ready with their present template."""
    for item in sets:
        status, wanted = item.get("status", {}), item["spec"].get("replicas", 1)
        labels = item["metadata"].get("labels") or {}
        if status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == wanted > 0:
            yield item["metadata"]["name"], labels.get(VERSION_LABEL, "")


def _is_default(item: Mapping[str, Any]) -> bool:
    return (item["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"


def _node(item: Mapping[str, Any]) -> Node:
    from kubernetes.utils.quantity import parse_quantity

    allocatable = item["status"]["allocatable"]
    return Node(
        name=item["metadata"]["name"],
        labels=item["metadata"].get("labels") or {},
        memory=int(parse_quantity(allocatable["memory"])),
        cpus=float(parse_quantity(allocatable["cpu"])),
        taints=tuple(
            taint
            for taint in item["spec"].get("taints") or ()
            if taint["effect"] != "PreferNoSchedule"
        ),
    )
