"""Grafana: data source and dashboards are provisioned as read-only files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.services import prometheus
from infra.services.context import CONFIG_DIR, OBSERVABILITY_NETWORK, Context, limits
from infra.spec import File, HealthCheck, Port, Service, Volume
from infra.templating import TEMPLATES, render, render_secret

NAME = "grafana"


def build(context: Context, services: Sequence[Service]) -> Service:
    """Grafana with its data sources, and dashboards of `services`."""
    settings = context.settings.grafana
    # Grafana takes it at its first start only, so it has no generation: change it in Grafana.
    admin = context.keyring.derive(NAME, "admin")
    return Service(
        name=NAME,
        kind="grafana",
        image=context.image(NAME),
        limits=limits(settings),
        user="472:0",
        env={
            "GF_SECURITY_ADMIN_PASSWORD__FILE": f"{CONFIG_DIR}/admin-password",
            "GF_SECURITY_SECRET_KEY__FILE": f"{CONFIG_DIR}/secret-key",
            "GF_PATHS_PROVISIONING": f"{CONFIG_DIR}/provisioning",
            "GF_AUTH_ANONYMOUS_ENABLED": "false",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
            "GF_SECURITY_DISABLE_GRAVATAR": "true",
        },
        files=(
            File(path=f"{CONFIG_DIR}/admin-password", content=admin),
            # It encrypts what Grafana's database keeps, so it has no generation.
            File(path=f"{CONFIG_DIR}/secret-key", content=context.keyring.derive(NAME, "secret-key")),
            *_provisioning(context),
        ),
        volumes=(Volume(name="grafana-data", path="/var/lib/grafana", size=settings.disk),),
        ports=(Port(name="http", container=3000, host=context.host_port(settings.port), scheme="http"),),
        network=OBSERVABILITY_NETWORK,
        egress=context.settings.prometheus.external is not None,
        readiness=HealthCheck(command=("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3000/api/health"), start_period=120),
        stop_grace=20,
        checks={"dashboards": ",".join(path.stem for path in _dashboards())},
        credentials={"admin": admin},
    )


def _dashboards() -> list[Path]:
    return sorted((TEMPLATES / NAME / "dashboards").glob("*.json"))


def _provisioning(context: Context) -> Iterator[File]:
    folder = f"{CONFIG_DIR}/provisioning"
    if context.settings.prometheus.usable:
        at = prometheus.endpoint(context, "grafana")
        yield File(
            path=f"{folder}/datasources/prometheus.yaml",
            content=render_secret("grafana/datasources.yaml.j2", url=at.url("http"), username=at.username, password=at.password),
        )
    yield File(
        path=f"{folder}/dashboards/groundwork.yaml",
        content=render("grafana/dashboards.yaml.j2", path=f"{CONFIG_DIR}/dashboards"),
    )
    for path in _dashboards():
        yield File(path=f"{CONFIG_DIR}/dashboards/{path.name}", content=path.read_text())
