"""What the workflows must hold to beside what their linters check."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.build import toolchain
from ops.paths import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yml")}
JOBS = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"]]
ACTIONS = [
    (path.relative_to(ROOT).as_posix(), line.strip())
    for path in [*FOLDER.glob("*.yml"), *(ROOT / ".github" / "actions").rglob("*.yml")]
    for line in path.read_text().splitlines()
    if "uses:" in line and "./.github" not in line
]


@pytest.mark.parametrize(("file", "line"), ACTIONS)
def test_actions_are_pinned_by_commit_with_their_version(file: str, line: str) -> None:
    assert re.search(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_no_permissions_of_its_own(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_pull_requests_code_runs_with_the_targets_secrets(name: str) -> None:
    # YAML reads the key `on` as true.
    assert "pull_request_target" not in WORKFLOWS[name][True]


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_names_its_permissions_and_ends_in_time(name: str, job: str) -> None:
    found: dict[str, Any] = WORKFLOWS[name]["jobs"][job]
    assert "permissions" in found
    assert "timeout-minutes" in found or "uses" in found


def test_a_forks_review_sees_no_secret() -> None:
    job = WORKFLOWS["review"]["jobs"]["review"]
    assert "environment" not in job
    assert "secrets." not in str(job)


def test_what_reads_the_state_never_runs_for_a_fork() -> None:
    condition = WORKFLOWS["review"]["jobs"]["state"]["if"]
    assert "head.repo.full_name == github.repository" in condition


@pytest.mark.parametrize("name", ["deploy-stack", "drift"])
def test_one_run_at_a_time_works_on_a_stack(name: str) -> None:
    workflow = WORKFLOWS[name]
    group = workflow.get("concurrency") or workflow["jobs"]["drift"]["concurrency"]
    assert group["group"].startswith("deploy-${{")
    assert group["cancel-in-progress"] is False


def test_the_same_commit_goes_from_dev_to_staging_to_prod() -> None:
    jobs = WORKFLOWS["deploy"]["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "dev": None,
        "staging": "dev",
        "prod": "staging",
    }
    assert {job["with"]["stack"] for job in jobs.values()} == set(jobs)


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_every_environment_has_a_stack(stack: str) -> None:
    assert (ROOT / f"Pulumi.{stack}.yaml").exists()


def test_pulumis_version_is_the_one_that_make_downloads() -> None:
    text = (ROOT / ".github/actions/setup/action.yml").read_text()
    assert f"pulumi-version: {toolchain.PULUMI}" in text


COMMANDS = sorted(
    {
        found
        for path in [*FOLDER.glob("*.yml"), ROOT / "docs" / "gitlab-ci.yml"]
        for found in re.findall(r"-m ops ([a-z-]+)", path.read_text())
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_workflows_exist(command: str) -> None:
    """Nothing important runs only in CI."""
    from ops import __main__  # noqa: F401 - it registers them
    from ops.cli import app

    assert command in {item.name for item in app.registered_commands}


TARGETS = sorted(
    {
        found
        for path in FOLDER.glob("*.yml")
        for found in re.findall(r"\bmake ([a-z-]+)", path.read_text())
    }
)


@pytest.mark.parametrize("target", TARGETS)
def test_targets_of_workflows_exist(target: str) -> None:
    assert re.search(rf"^{target}:", Path(ROOT / "Makefile").read_text(), re.M)
