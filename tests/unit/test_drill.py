"""The scratch stack of a drill: what it is made of."""

from pathlib import Path
from unittest import mock

import pytest
import yaml

from infra import validation
from ops.commands import drill
from tests.unit.conftest import make_settings


def test_a_drill_is_refused_for_nothing_that_its_stack_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps no logs, so an audit that goes there is off."""
    config = {
        "groundwork:minio": {"audit": True, "buckets": [{"name": "pictures"}]},
        "groundwork:postgres": {"audit": "writes"},
        "groundwork:backup": {"repository": {"path": "/srv/backup"}},
        "groundwork:protect": True,
    }
    stack = mock.Mock(file=tmp_path / "Pulumi.dev.yaml", environment={})
    stack.name = "dev"
    stack.file.write_text(yaml.safe_dump({"config": config}))
    monkeypatch.setattr(drill, "ROOT", tmp_path)
    monkeypatch.setattr(drill, "_published", lambda _: [5432])
    monkeypatch.setattr(drill._Scratch, "call", lambda *_: 0)
    with drill._scratch(stack, {}):
        written = yaml.safe_load((tmp_path / "Pulumi.dev-drill.yaml").read_text())["config"]
    keys = {name.partition(":")[2]: value for name, value in written.items()}
    assert keys["minio"] == {"audit": False, "buckets": [{"name": "pictures"}]}
    keys.pop("instance")
    assert validation.check(make_settings(**keys)) == []
