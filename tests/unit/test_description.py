"""A stack's description: computed without any secret, and holding none."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import description
from infra.refusal import PreflightError
from ops.paths import ROOT

STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))
_CIPHER = {"secure": "AAABANm0rTUGFL5J7nPCiphertext=="}


def describe(**config: Any) -> dict[str, Any]:
    keys = {f"groundwork:{key}": value for key, value in config.items()}
    return description.describe({"config": keys}, "dev")


@pytest.mark.parametrize("stack", STACKS)
def test_every_stack_of_the_tree_is_described(stack: str) -> None:
    found = description.describe(yaml.safe_load(Path(f"Pulumi.{stack}.yaml").read_text()), stack)
    assert {"postgres", "minio", "redis-queue"} <= set(found["services"])
    assert json.loads(json.dumps(found)) == found


def test_it_is_the_same_every_time() -> None:
    assert describe(images="packages") == describe(images="packages")


ENCRYPTED = {
    "a key": {"litellm": {"providers": {"openai": {"apiKey": _CIPHER}}}},
    "a URL": {"alertmanager": {"slack": {"webhookUrl": _CIPHER}}},
    "a login": {
        "target": "kubernetes",
        "kubernetes": {"context": "c", "pullSecret": _CIPHER},
    },
    "a header": {
        "alloy": {
            "forwardTraces": [
                {"name": "v", "endpoint": "https://v.example.org", "headers": {"x-key": _CIPHER}}
            ]
        }
    },
    "the master": {"masterSecret": _CIPHER, "instance": "abc123"},
}


@pytest.mark.parametrize("keys", ENCRYPTED.values(), ids=ENCRYPTED)
def test_encrypted_values_need_no_passphrase(keys: dict[str, Any]) -> None:
    """Each is replaced by one that its setting accepts, and is named by a digest."""
    found = describe(**keys)
    assert _CIPHER["secure"] not in json.dumps(found)
    assert len(found["secrets"]) == 1


def test_a_secret_that_is_set_again_is_seen_without_its_value() -> None:
    before = describe(masterSecret=_CIPHER)
    after = describe(masterSecret={"secure": "other"})
    assert before["secrets"].keys() == after["secrets"].keys()
    assert before["secrets"] != after["secrets"]
    assert before["services"] == after["services"]


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"postgress": {}}, "groundwork:postgress"),
        ({"redis": {"enabled": False}}, "groundwork:redis.enabled"),
        ({"bindAddress": "10.0.0.5"}, "groundwork:bindAddress"),
        ({"litellm": {"providers": {"openai": {"apiKey": "sk-plain"}}}}, "apiKey"),
    ],
    ids=["a mistyped key", "a missing dependency", "a policy", "plain text"],
)
def test_what_would_be_refused_is_refused_here(keys: dict[str, Any], key: str) -> None:
    with pytest.raises(PreflightError, match=key.replace(".", r"\.")):
        describe(**keys)


def test_totals_count_replicas() -> None:
    keys = {"target": "kubernetes", "kubernetes": {"context": "c"}}
    one = description.totals(describe(**keys))
    three = description.totals(describe(**keys, litellm={"replicas": 3, "maxReplicas": 3}))
    litellm = describe(**keys)["services"]["litellm"]
    assert three["memory"] - one["memory"] == 2 * litellm["memory"]
    assert three["cpus"] - one["cpus"] == pytest.approx(2 * litellm["cpus"])
