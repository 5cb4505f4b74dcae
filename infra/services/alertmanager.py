"""Alertmanager: groups alerts, holds back those that follow from others, and notifies people."""

from collections.abc import Iterator, Sequence

from infra.refusal import Violation
from infra.secret import Secret
from infra.services import links, web_config
from infra.services.context import OBSERVABILITY_NETWORK, Context, limits
from infra.services.definition import Contract, Definition, Stage, http_login
from infra.settings import Settings
from infra.settings.alerting import Alertmanager
from infra.settings.observability import Prometheus
from infra.spec import (
    CONFIG_DIR,
    Endpoint,
    File,
    HealthCheck,
    Logs,
    Metrics,
    Port,
    Service,
    Store,
    Volume,
)
from infra.templating import render

NAME = "alertmanager"
USERS = ("admin", "prometheus", "loki")


def endpoint(context: Context, user: str) -> Endpoint:
    """The endpoint for one of USERS."""
    return Endpoint(
        host=NAME,
        port=9093,
        network=OBSERVABILITY_NETWORK,
        username=user,
        password=context.secret(NAME, user),
    )


def build(context: Context, _: Sequence[Service] = ()) -> Service:
    """Alertmanager with the stack's receivers."""
    settings = context.settings.of(Alertmanager)
    passwords = {user: context.secret(NAME, user) for user in USERS}
    return Service(
        name=NAME,
        kind="alertmanager",
        image=context.image(NAME),
        limits=limits(settings),
        user="65534:0",
        entrypoint=("alertmanager",),
        command=(
            f"--config.file={CONFIG_DIR}/alertmanager.yml",
            f"--web.config.file={CONFIG_DIR}/web.yml",
            "--storage.path=/alertmanager",
            f"--web.external-url={_url(context)}/",
            "--web.route-prefix=/",
            "--auto-gomemlimit.ratio=0.9",
            # One instance; it has nobody to agree with.
            "--cluster.listen-address=",
            f"--log.level={settings.log_level}",
        ),
        files=(
            File(
                path=f"{CONFIG_DIR}/alertmanager.yml",
                content=render(
                    "alertmanager/alertmanager.yml.j2",
                    settings=settings,
                    dir=CONFIG_DIR,
                    receivers=_by_severity(settings),
                    runbook=(context.settings.alerts.runbook_url or "").rstrip("/"),
                ),
                live=True,
            ),
            File(path=f"{CONFIG_DIR}/web.yml", content=web_config.config(passwords), live=True),
            File(path=f"{CONFIG_DIR}/admin-password", content=passwords["admin"], live=True),
            File(
                path=f"{CONFIG_DIR}/client.yml",
                content=render("prometheus/client.yml.j2", config_dir=CONFIG_DIR),
            ),
            *(
                File(path=f"{CONFIG_DIR}/{name}", content=content, live=True)
                for name, content in _secrets(context)
            ),
        ),
        reload=("sh", "-c", "kill -HUP 1"),
        volumes=(Volume(name="alertmanager-data", path="/alertmanager", size=settings.disk),),
        ports=(
            Port(name="http", container=9093, host=context.host_port(settings.port), scheme="http"),
        ),
        network=OBSERVABILITY_NETWORK,
        # Receivers may be anywhere.
        reaches_out=settings.has_receiver or settings.dead_mans_switch is not None,
        host_gateway=True,
        readiness=HealthCheck(
            command=(
                "amtool",
                "--alertmanager.url=http://127.0.0.1:9093",
                f"--http.config.file={CONFIG_DIR}/client.yml",
                "silence",
                "query",
            ),
            interval=5,
        ),
        metrics=(Metrics(port=9093, username="prometheus", password=passwords["prometheus"]),),
        logs=Logs(format="logfmt"),
        checks={
            "receivers": ",".join(_receivers(context)),
            "prometheus": str(context.settings.of(Prometheus).deployed).lower(),
        },
        credentials=passwords,
    )


def _receivers(context: Context) -> list[str]:
    settings = context.settings.of(Alertmanager)
    return [
        name for name in (*Alertmanager.receivers, "dead_mans_switch") if getattr(settings, name)
    ]


def _by_severity(settings: Alertmanager) -> dict[str, list[str]]:
    """For each severity the receivers that are told."""
    return {
        severity: [
            name
            for name in Alertmanager.receivers
            if (receiver := getattr(settings, name)) and severity in receiver.severities
        ]
        for severity in ("critical", "warning")
    }


def _url(context: Context) -> str:
    settings = context.settings.of(Alertmanager)
    return links.external_url(context, NAME, settings.port, settings.external_url)


def _secrets(context: Context) -> Iterator[tuple[str, Secret]]:
    settings = context.settings.of(Alertmanager)
    if settings.slack:
        yield "slack-url", settings.slack.webhook_url
    if settings.email and settings.email.password:
        yield "email-password", settings.email.password
    if settings.webhook:
        yield "webhook-url", settings.webhook.url
    if settings.pagerduty:
        yield "pagerduty-key", settings.pagerduty.routing_key
    if settings.opsgenie:
        yield "opsgenie-key", settings.opsgenie.api_key
    if settings.dead_mans_switch:
        yield "dead-mans-switch-url", settings.dead_mans_switch.url


def notes(context: Context) -> Iterator[str]:
    """Notes for the summary."""
    settings = context.settings.of(Alertmanager)
    if not settings.has_receiver:
        yield (
            "Nobody is notified of alerts, because no receiver is configured. Set"
            " groundwork:alertmanager.slack, .email, .pagerduty, .opsgenie or .webhook; until then"
            " alerts appear only in Alertmanager and Grafana."
        )
    elif not settings.dead_mans_switch:
        yield (
            "Nobody notices if alerting itself is down: set"
            " groundwork:alertmanager.deadMansSwitch to a URL that raises an alarm when the calls"
            " stop."
        )


def _validate(stack: Settings) -> Iterator[Violation]:
    email = stack.of(Alertmanager).email
    if email and bool(email.username) != bool(email.password):
        yield Violation(
            key=f"groundwork:alertmanager.email.{'password' if email.username else 'username'}",
            reason="a mail server login needs both a user name and a password, but only one is set",
            fix="set it too, or remove the other",
        )


def _administration(context: Context) -> Contract:
    return http_login("ALERTMANAGER", endpoint(context, "admin"), NAME)


def _stores(context: Context) -> Iterator[Store]:
    yield Store(name=NAME, kind="alertmanager", at=endpoint(context, "admin"))


DEFINITION = Definition(
    name=NAME,
    stage=Stage.MONITORING,
    settings=Alertmanager,
    description="Sends alerts to people.",
    image=NAME,
    build=lambda context, services: [build(context, services)],
    validate=_validate,
    administration=_administration,
    stores=_stores,
    notes=notes,
)
