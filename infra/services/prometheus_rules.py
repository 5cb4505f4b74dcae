"""The rules that Prometheus evaluates: those under templates/, the stack's thresholds, and files of
the user's.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from infra import sizing
from infra.refusal import Violation, repeated
from infra.services.context import Context
from infra.settings import Settings
from infra.settings.backup import Backup
from infra.settings.gateway import Litellm
from infra.settings.observability import Loki, Prometheus
from infra.spec import CONFIG_DIR, File, Volume
from infra.templating import TEMPLATES, render

_FOLDER = f"{CONFIG_DIR}/rules"


def files(
    context: Context, expected: Sequence[str], volumes: Sequence[tuple[str, Volume]]
) -> Iterator[File]:
    """All files of rules; `expected` are the services that must answer, `volumes` each with its
    service.
    """
    for path in rule_files():
        yield File(path=f"{_FOLDER}/{path.name}", content=path.read_text(), live=True)
    yield File(path=f"{_FOLDER}/thresholds.yml", content=thresholds(context.settings), live=True)
    yield File(
        path=f"{_FOLDER}/expected.yml",
        content=render("prometheus/expected.yml.j2", services=expected),
        live=True,
    )
    yield File(
        path=f"{_FOLDER}/volumes.yml",
        content=render(
            "prometheus/volumes.yml.j2",
            volumes=_volumes(context, volumes),
            used=dict(_used(context)),
        ),
        live=True,
    )
    for name in context.settings.alerts.rules:
        yield File(
            path=f"{_FOLDER}/{_own(name)}",
            content=(TEMPLATES / name).read_text(),
            live=True,
        )


def _own(name: str) -> str:
    return f"own-{name.replace('/', '-')}"


def _volumes(context: Context, volumes: Sequence[tuple[str, Volume]]) -> list[dict[str, object]]:
    """The size of each volume, if the target does not tell it; in a cluster the kubelets do."""
    if context.runtime.kubelets:
        return []
    return [
        {"service": service, "name": volume.name, "size": volume.size}
        for service, volume in volumes
    ]


def _used(context: Context) -> Iterator[tuple[str, str]]:
    """Service to what is in its volume, where the stack's settings are needed to tell: Loki counts
    what it writes, and keeps it for its retention; a repository may be elsewhere.
    """
    if context.runtime.kubelets:
        return
    retention = context.settings.of(Loki).retention
    # Where Prometheus forgets earlier, the rest is taken to be like what it knows.
    known = min(retention, context.settings.of(Prometheus).retention)
    scale = f" * {retention / known:.4g}" if known < retention else ""
    stored = "increase(loki_ingester_chunk_stored_bytes_total[{}s])"
    written = f"({stored.format(known)}{scale})"
    # What does not fit is deleted, but for the last day's.
    least = stored.format(sizing.LEAST_KEPT)
    held = f"clamp_min({least}, {sizing.kept(context.settings.of(Loki).disk)})"
    yield "loki", f"({written} < {held}) or {held}"
    if context.settings.of(Backup).repository is None:
        yield "backup", "groundwork_backup_repository_size_bytes"


def rule_files() -> list[Path]:
    """The files of recording and alerting rules that every stack has."""
    return sorted((TEMPLATES / "prometheus" / "rules").glob("*.yml"))


def thresholds(settings: Settings) -> str:
    """The stack's budgets and thresholds, as series that the alerts compare with."""
    gateway = settings.of(Litellm)
    return render(
        "prometheus/thresholds.yml.j2",
        budget=gateway.daily_budget_usd,
        monthly=gateway.monthly_budget_usd,
        thresholds=settings.alerts.thresholds.model_dump(),
    )


def problems(stack: Settings) -> Iterator[Violation]:
    """Files of rules that Prometheus would not read. What PromQL itself refuses, it says after the
    deploy, and a health check fails.
    """
    for name in repeated([_own(item) for item in stack.alerts.rules]):
        yield Violation(
            key="groundwork:alerts.rules",
            reason=f"two files would have the name {name} in Prometheus",
            fix="rename one of them, or remove the repetition",
        )
    for index, name in enumerate(stack.alerts.rules):
        reason = _fault(TEMPLATES / name)
        if reason:
            yield Violation(
                key=f"groundwork:alerts.rules.{index}",
                reason=f"templates/{name} {reason}",
                fix="correct it; `promtool check rules` names the line",
            )


def _fault(path: Path) -> str | None:
    try:
        groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        rules = [rule for group in groups for rule in (group["name"] and group["rules"])]
    except OSError:
        return "does not exist"
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        return "is no file of rules: it needs `groups`, each with a name and rules"
    faulty = [
        rule
        for rule in rules
        if not isinstance(rule, dict) or "expr" not in rule or not {"alert", "record"} & set(rule)
    ]
    return "has a rule without `expr`, or without `alert` or `record`" if faulty else None
