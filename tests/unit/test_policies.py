"""Each policy is violated by what it is there for, and can be relaxed with a reason."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from infra import policies
from infra.secret import Secret
from infra.spec import Limits, Platform
from ops.paths import ROOT
from tests.unit.conftest import make_platform, make_settings

_INGRESS = {
    "target": "kubernetes",
    "kubernetes": {
        "context": "c",
        "ingress": {"hosts": [{"service": "litellm", "host": "x.example.org", "plainHttp": True}]},
    },
}


def _as_it_is(platform: Platform) -> Platform:
    return platform


def _first(**fields: Any) -> Callable[[Platform], Platform]:
    """Changes the first service."""

    def change(platform: Platform) -> Platform:
        first, *others = platform.services
        return replace(platform, services=(replace(first, **fields), *others))

    return change


def _floating(platform: Platform) -> Platform:
    image = platform.services[0].image
    return _first(image=replace(image, reference=image.reference.partition("@")[0]))(platform)


VIOLATED = [
    ("images-by-digest", {"images": "registry"}, _floating, "groundwork:images"),
    ("limits", {}, _first(limits=Limits(memory=0, cpus=1)), ".memory"),
    ("loopback", {"bindAddress": "10.0.0.5"}, _as_it_is, "groundwork:bindAddress"),
    (
        "protected-volumes",
        {"environment": "prod", "backup": {"second": {"path": "/mnt/backups"}}},
        _as_it_is,
        "groundwork:protect",
    ),
    (
        "backups",
        {"environment": "prod", "protect": True},
        _as_it_is,
        "groundwork:backup.second",
    ),
    ("strong-secrets", {}, _first(credentials={"admin": Secret("changeme")}), "(admin)"),
    ("tls", _INGRESS, _as_it_is, "groundwork:kubernetes.ingress.hosts[0].tlsSecret"),
]


@pytest.mark.parametrize(
    ("policy", "keys", "change", "key"), VIOLATED, ids=[case[0] for case in VIOLATED]
)
def test_a_violation_names_key_policy_and_the_way_to_relax_it(
    policy: str, keys: dict[str, Any], change: Callable[[Platform], Platform], key: str
) -> None:
    settings, platform = make_settings(**keys), change(make_platform(**keys))
    (found,) = policies.violations(settings, platform)
    assert key in found.key
    assert f"(policy {policy})" in found.reason
    assert f"policy: {policy}" in found.fix


@pytest.mark.parametrize(
    ("policy", "keys", "change", "key"), VIOLATED, ids=[case[0] for case in VIOLATED]
)
def test_a_relaxed_policy_is_printed_with_its_reason(
    policy: str, keys: dict[str, Any], change: Callable[[Platform], Platform], key: str
) -> None:
    relaxed = {"relaxed": [{"policy": policy, "reason": "a trial of two days"}]}
    settings = make_settings(**keys, policies=relaxed)
    platform = change(make_platform(**keys))
    assert policies.violations(settings, platform) == []
    (note,) = policies.notes(settings, platform)
    assert note == f"policy {policy} is relaxed: a trial of two days"


@pytest.mark.parametrize(
    ("backup", "keys"),
    [
        ({"enabled": False}, ["enabled", "second"]),
        ({"schedule": None, "repository": {"path": "/mnt/backups"}}, ["schedule"]),
        ({"repository": {"path": "/mnt/backups"}}, []),
    ],
)
def test_what_production_needs_of_its_backups(backup: dict[str, Any], keys: list[str]) -> None:
    made = {"environment": "prod", "protect": True, "backup": backup}
    found = policies.violations(make_settings(**made), make_platform(**made))
    assert [item.key for item in found] == [f"groundwork:backup.{key}" for key in keys]


def test_every_policy_is_violated_here() -> None:
    assert [policy.name for policy in policies.POLICIES] == [case[0] for case in VIOLATED]


def test_the_default_stack_violates_none(platform: Platform, source: str) -> None:
    assert policies.violations(make_settings(images=source), platform) == []


def test_a_policy_that_does_not_exist_is_refused_with_those_that_do() -> None:
    relaxed = {"relaxed": [{"policy": "lopback", "reason": "a typing error"}]}
    (found,) = policies.violations(make_settings(policies=relaxed), make_platform())
    assert found.key == "groundwork:policies.relaxed[0].policy"
    assert "loopback" in found.fix


def test_a_policy_that_is_relaxed_in_vain_is_said_so() -> None:
    relaxed = {"relaxed": [{"policy": "loopback", "reason": "no longer needed"}]}
    (note,) = policies.notes(make_settings(policies=relaxed), make_platform())
    assert note.endswith("(nothing violates it)")


def test_the_guide_lists_every_policy() -> None:
    guide = (ROOT / "docs" / "reviews.md").read_text()
    rows = [f"| `{policy.name}` | {policy.description} |" for policy in policies.POLICIES]
    assert [row for row in rows if row not in guide] == []
