"""Prometheus: scrapes the metrics that the other services declare."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra import sizing
from infra.refusal import Violation, repeated
from infra.services import alertmanager, links, prometheus_rules, web_config
from infra.services.context import (
    AUTHORITY,
    OBSERVABILITY_NETWORK,
    Context,
    external_endpoint,
    limits,
)
from infra.services.definition import Contract, Definition, Stage, http_login
from infra.settings import Settings
from infra.settings.observability import Exporters, Prometheus
from infra.spec import (
    APP_NETWORK,
    CONFIG_DIR,
    Endpoint,
    File,
    HealthCheck,
    Logs,
    Port,
    Service,
    Volume,
)
from infra.templating import render
from infra.units import format_duration

NAME = "prometheus"
USERS = ("admin", "grafana", "alloy", "tempo")


def endpoint(context: Context, user: str) -> Endpoint:
    """The endpoint for one of USERS."""
    external = context.settings.of(Prometheus).external
    if external:
        return external_endpoint(external)
    return Endpoint(
        host=NAME,
        port=9090,
        network=OBSERVABILITY_NETWORK,
        username=user,
        password=context.secret(NAME, user),
    )


def build(context: Context, services: Sequence[Service]) -> Service:
    """Prometheus over all services that offer metrics."""
    settings = context.settings.of(Prometheus)
    passwords = {user: context.secret(NAME, user) for user in USERS}
    scraped = [service for service in services if service.metrics]
    watching_nodes = asks_kubelets(context)
    namespaces = context.runtime.namespaces
    jobs = [_job(service) for service in scraped]
    expected = sorted({job["service"] for job in jobs if job["role"] == "service"})
    volume = Volume(name="prometheus-data", path="/prometheus", size=settings.disk)
    others = [(service.name, item) for service in services for item in service.volumes]
    volumes = [*others, (NAME, volume)]
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
            # Samples that name their trace.
            "--enable-feature=exemplar-storage",
            # From the collector, which takes applications' metrics over OTLP.
            "--web.enable-remote-write-receiver",
            f"--web.external-url={url(context)}/",
            "--web.route-prefix=/",
            f"--storage.tsdb.retention.size={sizing.prometheus_retention_size(settings.disk)}B",
            # An Alertmanager that was not there the first time hears of an alert this much later.
            "--rules.alert.resend-delay=30s",
            f"--log.level={settings.log_level}",
        ),
        files=(
            File(
                path=f"{CONFIG_DIR}/prometheus.yml",
                content=render(
                    "prometheus/prometheus.yml.j2",
                    interval=format_duration(settings.scrape_interval),
                    environment=context.settings.environment,
                    alertmanager=_alertmanager(context),
                    instance=context.settings.instance,
                    jobs=jobs,
                    targets=settings.targets,
                    remote_write=settings.remote_write,
                    config_dir=CONFIG_DIR,
                    authority=AUTHORITY,
                    kubelets=watching_nodes,
                    verify_kubelets=context.settings.kubernetes.verify_kubelets,
                    namespaces=namespaces,
                ),
                live=True,
            ),
            *prometheus_rules.files(context, expected, volumes),
            File(path=f"{CONFIG_DIR}/web.yml", content=web_config.config(passwords), live=True),
            File(path=f"{CONFIG_DIR}/admin-password", content=passwords["admin"], live=True),
            File(
                path=f"{CONFIG_DIR}/client.yml",
                content=render("prometheus/client.yml.j2", config_dir=CONFIG_DIR),
            ),
            *_logins(context, scraped),
            *_authority(context, scraped),
            *_remote_passwords(settings),
        ),
        reload=("sh", "-c", "kill -HUP 1"),
        env=sizing.go_runtime(settings.memory),
        node_metrics=watching_nodes,
        pod_discovery_namespaces=namespaces,
        volumes=(volume,),
        ports=(
            Port(name="http", container=9090, host=context.host_port(settings.port), scheme="http"),
        ),
        # It sends an alert that nobody took only half a minute later.
        after=(alertmanager.NAME,),
        # The application's own containers join the app network to be scraped; it has no other use.
        connects_to=(*sorted(networks), APP_NETWORK),
        network=OBSERVABILITY_NETWORK,
        # The application's targets may be anywhere. Where there are none, it asks nobody outside.
        reaches_out=bool(settings.targets or settings.remote_write or watching_nodes or namespaces),
        host_gateway=True,
        readiness=HealthCheck(
            command=(
                "promtool",
                "check",
                "ready",
                "--url=http://127.0.0.1:9090",
                f"--http.config.file={CONFIG_DIR}/client.yml",
            ),
            interval=5,
        ),
        stop_grace=60,
        logs=Logs(format="logfmt"),
        checks={
            "targets": ",".join(sorted(target.name for target in settings.targets)),
            "interval": str(settings.scrape_interval),
            "jobs": ",".join(
                sorted(
                    [
                        NAME,
                        *(service.name for service in scraped),
                        *(("kubelet", "containers") if watching_nodes else ()),
                    ]
                )
            ),
            "containers": str(context.settings.of(Exporters).containers.enabled).lower(),
            "alertmanager": str(context.deploys(alertmanager.NAME)).lower(),
        },
        credentials=passwords,
    )


def url(context: Context) -> str:
    """Where people open it."""
    settings = context.settings.of(Prometheus)
    return links.external_url(context, NAME, settings.port, settings.external_url)


def asks_kubelets(context: Context) -> bool:
    """True if the kubelets are asked for the containers' metrics; on Docker cAdvisor is."""
    return context.runtime.kubelets and context.settings.of(Exporters).containers.enabled


def _alertmanager(context: Context) -> str | None:
    if not context.deploys(alertmanager.NAME):
        return None
    at = alertmanager.endpoint(context, "prometheus")
    return f"{at.host}:{at.port}"


def _authority(context: Context, scraped: Sequence[Service]) -> Iterator[File]:
    if any(metrics.tls for service in scraped for metrics in service.metrics):
        yield File(path=AUTHORITY, content=context.authority.certificate)


def _logins(context: Context, scraped: Sequence[Service]) -> Iterator[File]:
    """The credentials that Prometheus scrapes with."""
    for service in scraped:
        for index, metrics in enumerate(service.metrics):
            if secret := metrics.bearer or metrics.password:
                yield File(path=_login_path(service, index), content=secret, live=True)
    if context.deploys(alertmanager.NAME):
        yield File(
            path=f"{CONFIG_DIR}/alertmanager-password",
            content=context.secret(alertmanager.NAME, "prometheus"),
            live=True,
        )


def _remote_passwords(settings: Prometheus) -> Iterator[File]:
    for item in settings.remote_write:
        if item.password:
            path = f"{CONFIG_DIR}/remote-{item.name}"
            yield File(path=path, content=item.password, live=True)


def _login_path(service: Service, index: int) -> str:
    return f"{CONFIG_DIR}/login-{service.name}-{index}"


def _job(service: Service) -> Mapping[str, Any]:
    return {
        "name": service.name,
        "service": next((metrics.of for metrics in service.metrics if metrics.of), service.name),
        "role": "exporter" if service.kind in ("exporter", "containers") else "service",
        "containers": service.kind == "containers",
        "endpoints": [
            {
                "port": metrics.port,
                "address": f"{service.name}:{metrics.port}",
                "path": metrics.path,
                "tls": metrics.tls,
                "token_file": _login_path(service, index) if metrics.bearer else None,
                "username": metrics.username,
                "password_file": _login_path(service, index) if metrics.password else None,
            }
            for index, metrics in enumerate(service.metrics)
        ],
    }


def _administration(context: Context) -> Contract:
    return http_login("PROMETHEUS", endpoint(context, "admin"), NAME)


def _validate(stack: Settings) -> Iterator[Violation]:
    targets = stack.of(Prometheus).targets
    for name in repeated([target.name for target in targets]):
        yield Violation(
            key="groundwork:prometheus.targets",
            reason=f"target `{name}` is declared twice",
            fix="rename one of them",
        )
    yield from prometheus_rules.problems(stack)
    remote = stack.of(Prometheus).remote_write
    for name in repeated([item.name for item in remote]):
        yield Violation(
            key="groundwork:prometheus.remoteWrite",
            reason=f"`{name}` is declared twice",
            fix="rename one of them",
        )
    for index, item in enumerate(remote):
        if item.username and not item.password:
            yield Violation(
                key=f"groundwork:prometheus.remoteWrite.{index}.password",
                reason="a user name without a password opens nothing",
                fix="set it with `--secret`, or remove the user name",
            )


def _addresses(stack: Settings) -> Iterator[tuple[str, str]]:
    for target in stack.of(Prometheus).targets:
        yield f"prometheus.targets ({target.name})", target.address
    for item in stack.of(Prometheus).remote_write:
        yield f"prometheus.remoteWrite ({item.name})", item.url


DEFINITION = Definition(
    name=NAME,
    stage=Stage.SCRAPER,
    settings=Prometheus,
    description="Metrics.",
    image=NAME,
    build=lambda context, services: [build(context, services)],
    external_needs=(),
    exposable=True,
    addresses=_addresses,
    validate=_validate,
    administration=_administration,
)
