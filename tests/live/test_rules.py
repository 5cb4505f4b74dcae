"""The alerting rules, run by promtool over series that are made for each; and the configuration
that Alertmanager is given.
"""

import subprocess
from pathlib import Path

import pytest

from tests.live.clone import SOURCE
from tests.unit.conftest import make_platform

ROOT = Path(__file__).resolve().parents[2]
RECEIVERS = {
    "slack": {"slack": {"webhookUrl": "https://hooks.slack.com/services/T0/B0/x"}},
    "email": {
        "email": {
            "to": "ops@example.org",
            "sender": "alerts@example.org",
            "host": "mail.example.org:587",
            "username": "u",
            "password": "p",
        }
    },
    "webhook": {
        "webhook": {"url": "https://example.org/hook"},
        "deadMansSwitch": {"url": "https://example.org/ping"},
    },
    "on call": {
        "pagerduty": {"routingKey": "key-of-pagerduty-0123456789", "severities": ["critical"]},
        "opsgenie": {"apiKey": "key-of-opsgenie-0123456789"},
    },
    "none": {},
}


def run(
    name: str, *arguments: str, files: dict[str, str] | None = None, scratch: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """A tool of an image, with the tree, and files of a test's own, to look at."""
    image = make_platform(images=SOURCE).by_name(name).image.reference
    command = [
        "docker",
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        f"{ROOT}:/tree:ro",
        "-w",
        "/tree",
    ]
    for path, content in (files or {}).items():
        assert scratch is not None
        (scratch / Path(path).name).write_text(content)
        command += ["-v", f"{scratch / Path(path).name}:{path}:ro"]
    tool, *rest = arguments
    return subprocess.run(
        [*command, "--entrypoint", tool, image, *rest],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "rules").glob("*.yml")), ids=lambda path: path.stem
)
def test_alerts_fire_when_they_should_and_else_stay_silent(path: Path) -> None:
    done = run("prometheus", "promtool", "test", "rules", f"/tree/{path.relative_to(ROOT)}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_sees_a_case_that_is_wrong(tmp_path: Path) -> None:
    """A test that could not fail would prove nothing."""
    wrong = (
        (ROOT / "tests" / "rules" / "watchers.yml")
        .read_text()
        .replace("severity: critical", "severity: mild")
        .replace("../../", "/tree/")
    )
    done = run(
        "prometheus",
        "promtool",
        "test",
        "rules",
        "/wrong.yml",
        files={"/wrong.yml": wrong},
        scratch=tmp_path,
    )
    assert done.returncode != 0
    assert "FAILED" in done.stdout + done.stderr


def test_promtool_accepts_every_rule() -> None:
    done = run(
        "prometheus",
        "promtool",
        "check",
        "rules",
        "--lint=all",
        "--lint-fatal",
        *(f"/tree/{path.relative_to(ROOT)}" for path in RULES),
    )
    assert done.returncode == 0, done.stdout + done.stderr


RULES = sorted((ROOT / "templates" / "prometheus" / "rules").glob("*.yml"))


@pytest.mark.parametrize("receivers", RECEIVERS.values(), ids=RECEIVERS)
def test_amtool_accepts_the_configuration(receivers: dict[str, object], tmp_path: Path) -> None:
    service = make_platform(alertmanager=receivers).by_name("alertmanager")
    content = next(
        item.content for item in service.files if item.path.endswith("/alertmanager.yml")
    )
    assert isinstance(content, str)
    done = run(
        "alertmanager",
        "amtool",
        "check-config",
        "/alertmanager.yml",
        files={"/alertmanager.yml": content},
        scratch=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 receivers" in done.stdout


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=DeadMansSwitch", "severity=none"], "dead-mans-switch"),
        (["alertname=ServiceDown", "severity=critical"], "critical"),
        (["alertname=CacheHitRateLow", "severity=warning"], "warning"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_alerts_are_routed(labels: list[str], receiver: str, tmp_path: Path) -> None:
    content = make_platform().by_name("alertmanager").files[0].content
    assert isinstance(content, str)
    files = {"/alertmanager.yml": content}
    done = run(
        "alertmanager",
        "amtool",
        "config",
        "routes",
        "test",
        "--config.file=/alertmanager.yml",
        *labels,
        files=files,
        scratch=tmp_path,
    )
    assert done.stdout.strip() == receiver
