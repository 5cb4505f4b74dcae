"""Settings of the Kubernetes target."""

from typing import Literal, Self

from pydantic import Field, model_validator

from infra.settings.common import Flag, Model
from infra.settings.text import (
    Annotation,
    Cidr,
    DnsName,
    IngressHost,
    LabelKey,
    LabelValue,
    Line,
    Name,
    PullLogin,
)


class Toleration(Model):
    """A taint of nodes that does not keep the services away."""

    key: LabelKey = Field(description="The taint's key.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="Whether its value matters.")
    value: LabelValue | None = Field(None, description="The taint's value, with `Equal`.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="The taint's effect; any, if not set."
    )

    @model_validator(mode="after")
    def _value_with_equal_only(self) -> Self:
        if (self.operator == "Exists") == bool(self.value):
            raise ValueError(
                "with the operator Equal a value is required, with Exists there must be none"
            )
        return self


class Host(Model):
    """A name under which one service is reached from outside the cluster."""

    service: Name = Field(
        description="The service: one whose first port speaks HTTP, such as litellm or grafana."
    )
    host: IngressHost = Field(description="The host name.")
    tls_secret: DnsName | None = Field(None, description="Secret with its certificate.")
    plain_http: Flag = Field(
        False,
        description=(
            "Allow plain HTTP, without a certificate: passwords and keys cross the network"
            " unencrypted."
        ),
    )


class Ingress(Model):
    """Ingress from outside the cluster."""

    class_name: DnsName | None = Field(
        None, description="Ingress class; the cluster's default, if not set."
    )
    controller_namespace: Name | None = Field(
        None, description="Namespace of the ingress controller; network policies let it in."
    )
    annotations: dict[LabelKey, Annotation] = Field(
        default_factory=dict,
        description="Annotations of every ingress, such as cert-manager's issuer.",
    )
    hosts: tuple[Host, ...] = Field(
        (), description="Services that are reached from outside; none, if not set."
    )


class Kubernetes(Model):
    """The cluster, where the target is Kubernetes."""

    context: Line | None = Field(
        None,
        description=(
            "Context of the kubeconfig; required, so that no deploy lands in the wrong cluster."
        ),
    )
    kubeconfig: Line | None = Field(
        None, description="Path of the kubeconfig; KUBECONFIG or ~/.kube/config, if not set."
    )
    namespace: Name | None = Field(
        None, description="Namespace of the stack; `groundwork-<stack>`, if not set."
    )
    storage_class: DnsName | None = Field(
        None, description="Class of every volume; the cluster's default, if not set."
    )
    network_policies: Flag = Field(
        True,
        description=(
            "Allow exactly the declared connections; needs a network plug-in that enforces them."
        ),
    )
    client_namespaces: tuple[Name, ...] = Field(
        (), description="Other namespaces from which labelled clients may connect."
    )
    pull_secret: PullLogin | None = Field(
        None,
        description=(
            "Login of a private registry: the contents of a Docker `config.json`; set it with"
            " `--secret`."
        ),
    )
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Labels of the nodes that may run the services."
    )
    tolerations: tuple[Toleration, ...] = Field(
        (), description="Taints that do not keep the services away."
    )
    name_servers: tuple[Cidr, ...] = Field(
        ("169.254.0.0/16",),
        description=(
            "Ranges of name servers that are no pods of kube-system; with network policies pods ask"
            " these and no others."
        ),
    )
    verify_kubelets: Flag = Field(
        True,
        description=(
            "Check kubelets' certificates against the cluster's authority; `false` where they sign"
            " their own (kubeadm's default)."
        ),
    )
    ingress: Ingress = Field(
        default_factory=Ingress, description="What lets requests in from outside."
    )
