"""Prometheus: scrapes whatever the other services say they offer."""

import base64
import hashlib
from collections.abc import Sequence

import bcrypt

from infra import sizing
from infra.secret import Secret
from infra.services.context import CONFIG_DIR, OBSERVABILITY_NETWORK, Context, limits
from infra.spec import APP_NETWORK, Endpoint, File, HealthCheck, Port, Service, Volume
from infra.templating import render, render_secret
from infra.units import format_duration

NAME = "prometheus"
USERS = ("admin", "grafana")


def endpoint(context: Context, user: str) -> Endpoint:
    """How a client reaches Prometheus as one of USERS."""
    external = context.settings.prometheus.external
    if external:
        return Endpoint(
            host=external.host, port=external.port, network=None, tls=external.tls,
            username=external.username, password=external.password,
        )  # fmt: skip
    return Endpoint(host=NAME, port=9090, network=OBSERVABILITY_NETWORK, username=user, password=context.secret(NAME, user))


def build(context: Context, services: Sequence[Service]) -> Service:
    """Prometheus over all services that offer metrics."""
    settings = context.settings.prometheus
    passwords = {user: context.secret(NAME, user) for user in USERS}
    scraped = [service for service in services if service.metrics]
    token_files = tuple(
        File(path=_token_path(service, index), content=metrics.bearer) for service in scraped for index, metrics in enumerate(service.metrics) if metrics.bearer
    )
    networks = {service.home_network for service in scraped} - {OBSERVABILITY_NETWORK}
    return Service(
        name=NAME,
        kind="prometheus",
        image=context.image(NAME),
        limits=limits(settings),
        user="65534:0",
        entrypoint=("prometheus",),
        command=(
            f"--config.file={CONFIG_DIR}/prometheus.yml",
            f"--web.config.file={CONFIG_DIR}/web.yml",
            "--storage.tsdb.path=/prometheus",
            f"--storage.tsdb.retention.time={format_duration(settings.retention)}",
            f"--storage.tsdb.retention.size={sizing.prometheus_retention_size(settings.disk)}B",
        ),
        files=(
            File(
                path=f"{CONFIG_DIR}/prometheus.yml",
                content=render(
                    "prometheus/prometheus.yml.j2",
                    interval=format_duration(settings.scrape_interval),
                    jobs=[_job(context, service) for service in scraped], targets=settings.targets, config_dir=CONFIG_DIR,
                ),
            ),
            File(path=f"{CONFIG_DIR}/web.yml", content=_web_config(passwords)),
            File(path=f"{CONFIG_DIR}/admin-password", content=passwords["admin"]),
            File(path=f"{CONFIG_DIR}/client.yml", content=render("prometheus/client.yml.j2", config_dir=CONFIG_DIR)),
            *token_files,
        ),
        volumes=(Volume(name="prometheus-data", path="/prometheus", size=settings.disk),),
        ports=(Port(name="http", container=9090, host=context.host_port(settings.port), scheme="http"),),
        # The application's own containers join the app network to be scraped; it has no other use.
        reaches=(*sorted(networks), APP_NETWORK),
        network=OBSERVABILITY_NETWORK,
        host_gateway=True,
        readiness=HealthCheck(
            command=(
                "promtool", "check", "ready", "--url=http://127.0.0.1:9090", f"--http.config.file={CONFIG_DIR}/client.yml",
            ),
            interval=5,
        ),
        stop_grace=60,
        checks={
            "targets": ",".join(sorted(target.name for target in settings.targets)),
            "interval": str(settings.scrape_interval),
            "jobs": ",".join(sorted([NAME, *(service.name for service in scraped)])),
        },
        credentials=passwords,
    )  # fmt: skip


def _token_path(service: Service, index: int) -> str:
    return f"{CONFIG_DIR}/token-{service.name}-{index}"


def _job(context: Context, service: Service) -> dict[str, object]:
    return {
        "name": service.name,
        "endpoints": [
            {
                "members": context.members(service),
                "port": metrics.port,
                "address": f"{metrics.host or service.name}:{metrics.port}",
                "path": metrics.path,
                "token_file": _token_path(service, index) if metrics.bearer else None,
            }
            for index, metrics in enumerate(service.metrics)
        ],
    }


def _web_config(passwords: dict[str, Secret]) -> Secret:
    hashes = {user: _bcrypt(user, password) for user, password in passwords.items()}
    return render_secret("prometheus/web.yml.j2", hashes=hashes)


def _bcrypt(user: str, password: Secret) -> str:
    """A bcrypt hash with a derived salt: a random one would be a difference at every `up`.

    Cost 6 is enough for a password with 190 bits of entropy, and Prometheus hashes at each request.
    """
    # Any 21 characters of bcrypt's alphabet are a salt; the 22nd carries two bits only, and O has
    # the other four at zero.
    seed = base64.b64encode(hashlib.sha256(f"{user}:{password.reveal()}".encode()).digest(), altchars=b"./").decode()
    return bcrypt.hashpw(password.reveal().encode(), f"$2b$06${seed[:21]}O".encode()).decode()
