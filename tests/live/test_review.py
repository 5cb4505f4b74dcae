"""Reviews of a stack that runs: what is said before is what would happen."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.clone import Clone
from tests.support.waiting import wait_until


@pytest.fixture
def changed(deployed: Clone) -> Iterator[Clone]:
    """The deployed stack, whose file is put back afterwards; no review changes anything."""
    file, before = deployed.file.read_text(), deployed.snapshot()
    yield deployed
    deployed.file.write_text(file)
    assert deployed.snapshot() == before


def review(clone: Clone, *arguments: str, check: bool = True) -> tuple[str, dict[str, Any]]:
    """The comment, and the review as data."""
    path = clone.root / "review.json"
    done = clone.ops("review", clone.stack, *arguments, "--json", str(path), check=check)
    (found,) = json.loads(path.read_text())
    return done.stdout, found


def test_nothing_changes(changed: Clone) -> None:
    text, found = review(changed, "--against", "state")
    assert f"### `{changed.stack}` on docker: nothing changes" in text
    assert "Compared with what is deployed." in text
    assert set(found["plan"]) == {"same"}


def test_a_harmless_change(changed: Clone) -> None:
    """An engine reads its files again: nobody is cut off, which Pulumi's own plan confirms."""
    prometheus = changed.settings()["config"]["groundwork:prometheus"]
    changed.configure(prometheus={**prometheus, "scrapeInterval": "3s"})
    text, found = review(changed, "--against", "state")
    assert ": a harmless change" in text
    assert "nothing is lost, and nobody is cut off" in text
    assert "| `groundwork:prometheus.scrapeInterval` | `2s` | `3s` |" in text
    assert found["grave"] == []


def test_a_change_that_replaces_a_store(changed: Clone) -> None:
    changed.configure(redis={"queue": {"memory": "320MiB"}})
    text, found = review(changed, "--against", "state")
    assert "🟠 `redis-queue` is replaced: its volume is kept, clients are cut off for about" in text
    assert found["grave"] == ["interruption: redis-queue"]
    assert found["plan"]["replace"] == 2, "the container, and what holds the stack's files"
    assert found["totals"]["memory"]["capacity"] > found["totals"]["memory"]["after"]
    assert f"+- docker:index/container:Container {changed.name('redis-queue')}" in found["diff"]
    assert "    memory: 256 => 320" in found["diff"]


def test_a_refused_change(changed: Clone) -> None:
    """What needs the host to be seen is in the review too, and the command fails."""
    changed.configure(postgres={"memory": "900GiB"})
    text, found = review(changed, "--against", "state", check=False)
    assert "⛔ refused: `groundwork:postgres.memory`: 900GiB is more than the host has" in text
    assert found["refused"]
    assert "this change cannot be deployed" in text


def test_a_rotation(changed: Clone) -> None:
    secret = "another-token-of-the-vendor-1234567"
    changed.configure(redis={"cache": {"secretGeneration": 2}})
    done = changed.pulumi(
        "config",
        "set",
        "--secret",
        "--path",
        "groundwork:litellm.providers.openai.apiKey",
        secret,
        "--stack",
        changed.stack,
    )
    assert done.returncode == 0, done.stdout
    text, found = review(changed, "--against", "state")
    assert "redis-cache: app (rotated)" in found["rotated"]
    assert "groundwork:litellm.providers.openai.apiKey (set again)" in found["rotated"]
    passwords = changed.outputs()["credentials"]["redis-cache"].values()
    assert not [value for value in (secret, *passwords) if value in text + json.dumps(found)]


def test_a_review_without_any_access(changed: Clone, tmp_path: Path) -> None:
    """Neither engine nor passphrase: with a revision it still says what follows from the files."""
    changed.environment.update(
        {"DOCKER_HOST": "unix:///nonexistent.sock", "PULUMI_CONFIG_PASSPHRASE": "not it"}
    )
    try:
        changed.configure(redis={"queue": {"memory": "320MiB"}})
        text, found = review(changed, "--against", "auto")
    finally:
        changed.environment.clear()
    assert "❔ Not compared: what is deployed" in text
    assert found["plan"] is None


def test_a_wrong_passphrase_is_said_in_one_line(changed: Clone) -> None:
    changed.environment["PULUMI_CONFIG_PASSPHRASE"] = "not the passphrase of this stack"
    try:
        text, found = review(changed, "--against", "state", check=False)
    finally:
        changed.environment.clear()
    assert f"⛔ the passphrase does not decrypt the stack `{changed.stack}`" in text
    assert found["refused"]


def test_a_stack_without_a_file_is_said_in_one_line(deployed: Clone) -> None:
    done = deployed.ops("review", "nowhere", check=False)
    assert done.returncode == 1
    assert "⛔ the stack `nowhere` has no file Pulumi.nowhere.yaml" in done.stdout


def test_a_deploy_beyond_its_review_is_refused_before_anything_changes(changed: Clone) -> None:
    _, _ = review(changed, "--against", "state")
    changed.configure(redis={"queue": {"memory": "320MiB"}})
    done = changed.ops("up", "--reviewed", str(changed.root / "review.json"), check=False)
    assert done.returncode == 1
    assert "this deploy would do what was not reviewed" in done.stdout
    assert "`redis-queue` is replaced" in done.stdout


def test_this_version_changes_nothing_in_what_it_has_deployed(deployed: Clone) -> None:
    assert "nothing changes" in deployed.ops("upgrade-check").stdout


def test_drift_is_found_and_named(deployed: Clone) -> None:
    assert "drift: none" in deployed.ops("drift").stdout
    name = deployed.name("redis-queue-exporter")
    container = deployed.docker.containers.get(name)
    container.stop(timeout=5)
    try:
        done = deployed.ops("drift", check=False)
        assert done.returncode == 1
        assert f"`{name}` is gone, stopped or changed" in done.stdout
    finally:
        container.start()
        wait_until(lambda: deployed.ready("redis-queue-exporter"), timeout=30, reason="it is ready")


def test_a_diagnosis_holds_states_logs_and_events_and_no_secret(
    deployed: Clone, tmp_path: Path
) -> None:
    deployed.ops("diagnose", str(tmp_path / "diagnosis"))
    files = {path.name: path.read_text() for path in (tmp_path / "diagnosis").iterdir()}
    assert json.loads(files["states.json"])[deployed.name("postgres")]["Running"]
    assert "Ready to accept connections" in files[f"{deployed.name('redis-queue')}.log"]
    assert "events.jsonl" in files
    secrets = {
        value for found in deployed.outputs()["credentials"].values() for value in found.values()
    }
    assert [name for name, text in files.items() if any(item in text for item in secrets)] == []
