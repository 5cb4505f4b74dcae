"""What holds for every alert: what it says, what to do about it, and that cases make it fire."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.services.prometheus_rules import rule_files, thresholds
from infra.templating import render
from tests.unit.conftest import make_settings

ROOT = Path(__file__).resolve().parents[2]
RULES = [
    (path.stem, rule)
    for path in rule_files()
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
LOGS = yaml.safe_load(render("loki/rules.yml.j2", environment="dev", threshold=60.0))["groups"][0][
    "rules"
]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for _, rule in RULES if "alert" in rule}
TESTS = [
    test
    for path in sorted((ROOT / "tests" / "rules").glob("*.yml"))
    for test in yaml.safe_load(path.read_text())["tests"]
]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
# What the project promises; more is allowed.
PROMISED = {
    "ServiceDown",
    "HostDown",
    "HighErrorRate",
    "SlowResponses",
    "VectorDatabaseErrors",
    "AIBudgetExceeded",
    "DatabaseConnectionFailures",
    "StorageNearlyFull",
    "StorageFullIn24Hours",
    "MemoryNearLimit",
    "OutOfMemoryKill",
    "ContainerRestarting",
    "CacheHitRateLow",
    "PrometheusConfigurationRejected",
    "PrometheusRuleFailures",
    "TargetDown",
    "AlertsNotDelivered",
    "DeadMansSwitch",
}


def _cases(name: str, *, firing: bool) -> list[dict[str, Any]]:
    return [
        case
        for test in TESTS
        for case in test.get("alert_rule_test", ())
        if case["alertname"] == name and bool(case["exp_alerts"]) == firing
    ]


def test_what_was_promised_is_there() -> None:
    assert set(ALERTS) >= PROMISED


@pytest.mark.parametrize("name", ALERTS)
class TestEveryAlert:
    """Its text and its tests."""

    def test_says_how_bad_what_and_what_to_do(self, name: str) -> None:
        rule = ALERTS[name]
        assert rule["labels"]["severity"] in ("critical", "warning", "none")
        assert set(rule["annotations"]) == {"summary", "action", "runbook"}
        assert [text for text in rule["annotations"].values() if len(text) < 10] == []

    def test_has_its_section_in_the_runbook(self, name: str) -> None:
        assert ALERTS[name]["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
        section = RUNBOOK.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert section.strip().startswith(f"*{ALERTS[name]['labels']['severity']}")

    def test_waits_as_long_as_the_runbook_says(self, name: str) -> None:
        section = RUNBOOK.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        said = re.match(r"\s*\*\w+(?:, after (\d+) (second|minute)s?)?\.\*", section)
        assert said
        assert ALERTS[name].get("for") == (f"{said[1]}{said[2][0]}" if said[1] else None)

    def test_a_case_makes_it_fire(self, name: str) -> None:
        assert _cases(name, firing=True)

    def test_a_case_leaves_it_silent(self, name: str) -> None:
        """The dead man's switch is never silent: that is what it is for."""
        assert _cases(name, firing=False) or name == "DeadMansSwitch"

    def test_hides_no_absence(self, name: str) -> None:
        assert "vector(0)" not in str(ALERTS[name]["expr"])


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    named = set(re.findall(r"^## (\w+)$", RUNBOOK, re.M))
    assert named == set(ALERTS) | {rule["alert"] for rule in LOGS}


@pytest.mark.parametrize("rule", LOGS, ids=lambda rule: rule["alert"])
def test_an_alert_on_logs_says_what_to_do(rule: dict[str, Any]) -> None:
    """Loki evaluates it, and no tool here runs it on made-up lines: a live test makes it fire."""
    assert set(rule["annotations"]) == {"summary", "action", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_cases_are_run_with_the_default_thresholds() -> None:
    """If this fails: write what `thresholds` returns into the file."""
    text = (ROOT / "tests" / "rules" / "thresholds" / "default.yml").read_text()
    assert text == thresholds(make_settings(litellm={"monthlyBudgetUsd": 40.0}))
