"""Files of rules of the user's own."""

from pathlib import Path

import pytest

from infra import validation
from infra.services import prometheus_rules
from tests.unit.conftest import make_platform, make_settings, text

GOOD = "groups: [{name: sales, rules: [{alert: NoSales, expr: 'rate(sales_total[1h]) == 0'}]}]\n"


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of templates with one file of the user's."""
    monkeypatch.setattr(prometheus_rules, "TEMPLATES", tmp_path)
    (tmp_path / "prometheus" / "rules").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "sales.yml").write_text(GOOD)
    return tmp_path


def test_prometheus_is_given_them(templates: Path) -> None:
    assert templates
    prometheus = make_platform(alerts={"rules": ["mine/sales.yml"]}).by_name("prometheus")
    assert text(prometheus, "own-mine-sales.yml") == GOOD


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist"),
        ("groups: [", "no file of rules"),
        ("just text", "no file of rules"),
        ("groups: [{rules: []}]", "no file of rules"),
        ("groups: [{name: a, rules: [{alert: A}]}]", "without `expr`"),
        ("groups: [{name: 2026-99-99, rules: []}]", "no file of rules"),
        ("groups: [{name: a, rules: [{expr: up}]}]", "without `expr`, or without `alert`"),
    ],
    ids=["missing", "no YAML", "text", "a group without a name", "no expr", "no date", "no alert"],
)
def test_a_faulty_file_is_refused_before_anything_changes(
    templates: Path, content: str | None, reason: str
) -> None:
    path = templates / "mine" / "sales.yml"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    (found,) = validation.check(make_settings(alerts={"rules": ["mine/sales.yml"]}))
    assert found.key == "groundwork:alerts.rules.0"
    assert reason in found.reason


def test_two_files_of_one_name_are_refused(templates: Path) -> None:
    (templates / "mine-sales.yml").write_text(GOOD)
    rules = ["mine/sales.yml", "mine-sales.yml"]
    (found,) = validation.check(make_settings(alerts={"rules": rules}))
    assert found.key == "groundwork:alerts.rules"


@pytest.mark.parametrize("path", ["../x.yml", "/etc/x.yml", "mine/sales.txt", ".git/x.yml"])
def test_a_path_outside_the_templates_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="rules"):
        make_settings(alerts={"rules": [path]})
