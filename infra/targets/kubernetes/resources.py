"""A plan of releases becomes Pulumi resources. The only module that imports pulumi_kubernetes."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from infra.settings import Settings
from infra.targets.kubernetes.plan import CHART, LEDGER, CustomObject, Namespace, Plan, Release
from infra.targets.kubernetes.values import SecretObject

# Several instances are made one after the other, each with an image to pull.
_OPERATOR_SECONDS = 900


class KubernetesTarget:
    """Declares one plan's resources. `releases` maps a service's name to its release."""

    def __init__(self, settings: Settings, kubeconfig: str) -> None:
        cluster = settings.kubernetes
        # A Secret that changes is changed in place; the release's checksum rolls the pods.
        arguments: dict[str, Any] = {
            "context": cluster.context,
            "kubeconfig": kubeconfig,
            "enable_secret_mutable": True,
        }
        self._protect = settings.protect
        # An explicit context, and strict mode in Pulumi.yaml: whatever kubectl points to at the
        # moment, nothing lands there.
        self._provider = kubernetes.Provider(
            "cluster", cluster_identifier=cluster.context, **arguments
        )
        # What holds data outlives `destroy`, and what a killed run made is in no state: the next
        # `up` takes it over. That the namespace is this stack's was checked before.
        self._adopting = kubernetes.Provider(
            "cluster-adopting",
            cluster_identifier=cluster.context,
            upsert_existing_objects=True,
            **arguments,
        )
        self.releases: dict[str, kubernetes.helm.v3.Release] = {}

    def deploy(self, plan: Plan) -> None:
        """Everything, in the order of `depends_on`."""
        namespaces = {item.name: self._namespace(item) for item in plan.namespaces}
        if plan.login:
            for name, space in namespaces.items():
                self._secret(plan.login, name, space, resource=f"{plan.login.name}-{name}")
        for release in plan.releases:
            space = namespaces[release.namespace]
            needed = [self.releases[name] for name in release.depends_on if name in self.releases]
            logins = release.custom is not None
            before = [
                *namespaces.values(),
                *needed,
                *(
                    self._secret(item, release.namespace, space, keep=logins)
                    for item in release.secrets
                ),
            ]
            if release.custom:
                before.append(self._custom(release.custom, release.namespace, before))
            self.releases[release.name] = self._release(release, before)
        home = plan.namespaces[0]
        self._record(plan.ledger, home.name, [namespaces[home.name], *self.releases.values()])

    def _namespace(self, item: Namespace) -> kubernetes.core.v1.Namespace:
        return kubernetes.core.v1.Namespace(
            item.name,
            metadata={
                "name": item.name,
                "labels": dict(item.labels),
                "annotations": dict(item.annotations),
            },
            # Deleting a namespace deletes its volumes: `destroy` forgets it, only `make purge`
            # deletes it.
            opts=pulumi.ResourceOptions(
                provider=self._adopting, retain_on_delete=True, protect=self._protect
            ),
        )

    def _record(
        self, versions: Mapping[str, str], namespace: str, after: Sequence[pulumi.Resource]
    ) -> kubernetes.core.v1.ConfigMap:
        """The record of versions, once they are ready: one that never was blocks no way back."""
        return kubernetes.core.v1.ConfigMap(
            LEDGER,
            metadata={"name": LEDGER, "namespace": namespace},
            data=dict(versions),
            opts=pulumi.ResourceOptions(
                provider=self._adopting, depends_on=list(after), retain_on_delete=True
            ),
        )

    def _secret(
        self,
        item: SecretObject,
        namespace: str,
        space: pulumi.Resource,
        *,
        resource: str | None = None,
        keep: bool = False,
    ) -> kubernetes.core.v1.Secret:
        return kubernetes.core.v1.Secret(
            resource or item.name,
            metadata={"name": item.name, "namespace": namespace},
            type=item.type,
            # The SDK makes the whole of it a secret of Pulumi's.
            string_data={key: value.reveal() for key, value in sorted(item.data.items())},
            # What an operator runs goes on after `destroy`, and needs its logins.
            opts=pulumi.ResourceOptions(
                provider=self._adopting,
                depends_on=[space],
                delete_before_replace=True,
                retain_on_delete=keep,
            ),
        )

    def _custom(
        self, item: CustomObject, namespace: str, before: Sequence[pulumi.Resource]
    ) -> kubernetes.apiextensions.CustomResource:
        return kubernetes.apiextensions.CustomResource(
            f"{item.name}-{item.kind.lower()}",
            api_version=item.api_version,
            kind=item.kind,
            metadata={
                "name": item.name,
                "namespace": namespace,
                "annotations": {
                    "pulumi.com/waitFor": "condition=Ready",
                    "pulumi.com/timeoutSeconds": str(_OPERATOR_SECONDS),
                },
            },
            spec=dict(item.spec),
            # It holds the data, as a volume does.
            opts=pulumi.ResourceOptions(
                provider=self._adopting,
                depends_on=list(before),
                retain_on_delete=True,
                protect=self._protect,
            ),
        )

    def _release(
        self, release: Release, before: Sequence[pulumi.Resource]
    ) -> kubernetes.helm.v3.Release:
        return kubernetes.helm.v3.Release(
            release.name,
            name=release.name,
            namespace=release.namespace,
            # Relative, or it would differ from one machine to the next.
            chart=f"../{CHART}",
            values=dict(release.values),
            atomic=True,
            cleanup_on_fail=True,
            timeout=release.timeout,
            max_history=3,
            opts=pulumi.ResourceOptions(
                provider=self._provider, depends_on=list(before), delete_before_replace=True
            ),
        )
