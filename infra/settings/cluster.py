"""Settings of the Kubernetes target."""

from typing import Annotated, Literal

from pydantic import Field

from infra.settings.common import Model, SecretValue

_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_HOST = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
Name = Annotated[str, Field(pattern=_NAME, max_length=58)]


class Toleration(Model):
    """A taint of nodes that does not keep the services away."""

    key: str = Field(min_length=1, description="The taint's key.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="Whether its value matters.")
    value: str | None = Field(None, description="The taint's value, with `Equal`.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(None, description="The taint's effect; any, if not set.")


class Host(Model):
    """A name under which one service is reached from outside the cluster."""

    service: Literal["litellm", "grafana", "prometheus", "minio", "qdrant", "clickhouse"] = Field(description="The service.")
    host: Annotated[str, Field(pattern=_HOST)] = Field(description="The host name.")
    tls_secret: Name | None = Field(None, description="Secret with its certificate; without one the ingress speaks plain HTTP.")


class Ingress(Model):
    """What lets requests in from outside the cluster."""

    class_name: str | None = Field(None, description="Ingress class; the cluster's default, if not set.")
    controller_namespace: Name | None = Field(None, description="Namespace of the ingress controller; network policies let it in.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of every ingress, such as cert-manager's issuer.")
    hosts: tuple[Host, ...] = Field((), description="Services that are reached from outside; none, if not set.")


class Kubernetes(Model):
    """The cluster, where the target is Kubernetes."""

    context: str | None = Field(None, min_length=1, description="Context of the kubeconfig; required, so that no deploy lands in the wrong cluster.")
    kubeconfig: str | None = Field(None, description="Path of the kubeconfig; KUBECONFIG or ~/.kube/config, if not set.")
    namespace: Name | None = Field(None, description="Namespace of the stack; `groundwork-<stack>`, if not set.")
    storage_class: str | None = Field(None, min_length=1, description="Class of every volume; the cluster's default, if not set.")
    network_policies: bool = Field(True, description="Allow exactly the declared connections; needs a network plug-in that enforces them.")
    client_namespaces: tuple[Name, ...] = Field((), description="Other namespaces from which labelled clients may connect.")
    pull_secret: SecretValue | None = Field(None, description="Login of a private registry: the contents of a Docker `config.json`; set it with `--secret`.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels of the nodes that may run the services.")
    tolerations: tuple[Toleration, ...] = Field((), description="Taints that do not keep the services away.")
    ingress: Ingress = Field(default_factory=Ingress, description="What lets requests in from outside.")
