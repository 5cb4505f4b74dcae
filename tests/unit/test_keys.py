"""A stack's generated keys."""

import string
from pathlib import Path

import pytest
import yaml

from ops.stacks import generated, key_backup, private

STACK_FILE = """\
# A person's comment.
config:
  groundwork:target: docker # and another
"""


def test_generated_keys_come_back_after_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `make up` adds to a tracked file survives `git checkout` in a private copy; a person's
    text stays.
    """
    monkeypatch.setattr(key_backup, "STATE", tmp_path / "state")
    file = tmp_path / "Pulumi.dev.yaml"
    generated = (
        "  groundwork:masterSecret:\n    secure: v1:abc\n  groundwork:instance:"
        " abc123\nencryptionsalt: v1:salt\n"
    )
    file.write_text(STACK_FILE + generated)
    key_backup.keep("dev", file)
    assert key_backup.restore("dev", file) is False, "nothing is missing"
    file.write_text(STACK_FILE)
    assert key_backup.restore("dev", file) is True
    assert yaml.safe_load(file.read_text()) == yaml.safe_load(STACK_FILE + generated)
    assert "# A person's comment." in file.read_text()
    key_backup.forget("dev")
    file.write_text(STACK_FILE)
    assert key_backup.restore("dev", file) is False


def test_the_tests_leave_a_persons_keys_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """They share the tree with its stacks, whose copies of keys nobody else has."""
    assert private.folder().is_relative_to(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("text", ["", "config: {}\n", "config:\n"])
def test_generated_keys_come_back_into_an_empty_file(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_backup, "STATE", tmp_path / "state")
    file = tmp_path / "Pulumi.dev.yaml"
    content = {
        "config": {
            "groundwork:masterSecret": {"secure": "v1:abc"},
            "groundwork:instance": "abc123",
        },
        "encryptionsalt": "v1:salt",
    }
    file.write_text(yaml.safe_dump(content))
    key_backup.keep("dev", file)
    file.write_text(text)
    assert key_backup.restore("dev", file) is True
    assert yaml.safe_load(file.read_text()) == content


def test_generated_values_are_random_and_safe_in_yaml() -> None:
    """A value that begins with a letter cannot be read as a number."""
    values = {generated.generate(40) for _ in range(50)}
    assert len(values) == 50
    assert [
        value
        for value in values
        if not (value[0] in string.ascii_letters and value.isalnum() and len(value) == 40)
    ] == []
    instances = {generated.instance_id() for _ in range(50)}
    assert [value for value in instances if not value[0].isalpha()] == []
