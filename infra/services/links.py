"""The addresses at which people open the services that links in alerts and dashboards lead to."""

from ipaddress import ip_address

from infra.services.context import Context
from infra.settings import Settings
from infra.settings.observability import Grafana


def external_url(context: Context, name: str, port: int, configured: str | None) -> str:
    """The configured URL; otherwise an ingress's host, or the port on the host (in a cluster, that
    of `make forward`). Without a slash at its end.
    """
    if configured:
        return configured.rstrip("/")
    settings = context.settings
    for host in settings.kubernetes.ingress.hosts if settings.clustered else ():
        if host.service == name:
            return f"{'http' if host.plain_http else 'https'}://{host.host}"
    return f"http://{host_address(settings)}:{context.host_port(port)}"


def host_address(settings: Settings) -> str:
    """Where a client on this host reaches published ports."""
    bound = settings.bind_address
    return "127.0.0.1" if ip_address(bound).is_unspecified else bound


def grafana_url(context: Context) -> str | None:
    """Where people open Grafana, if it is deployed."""
    if not context.deploys("grafana"):
        return None
    settings = context.settings.of(Grafana)
    return external_url(context, "grafana", settings.port, settings.external_url)
