"""The runtime of a cluster."""

from infra.settings import Settings
from infra.spec import Runtime


def runtime(settings: Settings) -> Runtime:
    """The stack's namespaces, and its nodes' logs as kubelets keep them."""
    return Runtime(
        domain=settings.namespace,
        log_folder="/var/log/pods",
        log_format="cri",
        namespaces=(settings.namespace, settings.host_namespace),
        kubelets=True,
    )
