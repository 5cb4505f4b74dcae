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
    """A node taint that the services tolerate."""

    key: LabelKey = Field(description="The taint's key.")
    operator: Literal["Exists", "Equal"] = Field(
        "Equal", description="Whether the taint's value must match."
    )
    value: LabelValue | None = Field(None, description="The taint's value, with `Equal`.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="The taint's effect; any, if not set."
    )

    @model_validator(mode="after")
    def _value_with_equal_only(self) -> Self:
        if (self.operator == "Exists") == bool(self.value):
            raise ValueError("the operator Equal requires a value, and Exists allows none")
        return self


class Host(Model):
    """A name under which one service is reached from outside the cluster."""

    service: Name = Field(
        description="The service: one whose first port speaks HTTP, such as litellm or grafana."
    )
    host: IngressHost = Field(description="The host name.")
    tls_secret: DnsName | None = Field(None, description="Secret with its TLS certificate.")
    plain_http: Flag = Field(
        False,
        description=(
            "Allow plain HTTP, without a certificate: passwords and keys cross the network"
            " unencrypted."
        ),
    )


class Ingress(Model):
    """Access from outside the cluster."""

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
        (), description="Services reachable from outside the cluster; none, if not set."
    )


class Kubernetes(Model):
    """The cluster, if the target is Kubernetes."""

    context: Line | None = Field(
        None,
        description="Kubeconfig context; required, so that no deploy lands in the wrong cluster.",
    )
    kubeconfig: Line | None = Field(
        None, description="Path to the kubeconfig; KUBECONFIG or ~/.kube/config, if not set."
    )
    namespace: Name | None = Field(
        None, description="Namespace of the stack; `groundwork-<stack>`, if not set."
    )
    storage_class: DnsName | None = Field(
        None, description="Storage class of every volume; the cluster's default, if not set."
    )
    network_policies: Flag = Field(
        True,
        description=(
            "Allow only the declared connections; requires a CNI plugin that enforces network"
            " policies."
        ),
    )
    client_namespaces: tuple[Name, ...] = Field(
        (), description="Other namespaces from which labelled clients may connect."
    )
    pull_secret: PullLogin | None = Field(
        None,
        description=(
            "Login for a private registry: the contents of a Docker `config.json`; set it with"
            " `--secret`."
        ),
    )
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Labels of the nodes that may run the services."
    )
    tolerations: tuple[Toleration, ...] = Field(
        (), description="Taints that the services tolerate."
    )
    name_servers: tuple[Cidr, ...] = Field(
        ("169.254.0.0/16",),
        description=(
            "Address ranges of name servers outside kube-system; with network policies, pods may"
            " query only these and kube-system's."
        ),
    )
    verify_kubelets: Flag = Field(
        True,
        description=(
            "Verify the kubelets' certificates against the cluster's certificate authority;"
            " `false` if they are self-signed (kubeadm's default)."
        ),
    )
    ingress: Ingress = Field(
        default_factory=Ingress, description="Access from outside the cluster."
    )
