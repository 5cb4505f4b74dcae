"""The configuration reference says what the code says."""

import re

from infra import aliases
from ops.development import (
    chart_reference,
    environment_reference,
    metrics_reference,
    reference,
)
from ops.paths import ROOT


def test_reference_is_generated_from_the_code() -> None:
    """If this fails: make docs."""
    assert reference.PATH.read_text() == reference.render()


def test_the_contract_of_metrics_is_generated_from_the_code() -> None:
    """If this fails: make docs."""
    assert metrics_reference.PATH.read_text() == metrics_reference.render()


def test_the_reference_of_the_chart_is_generated_from_its_schema() -> None:
    """If this fails: make docs."""
    assert chart_reference.PATH.read_text() == chart_reference.render()


def test_every_value_of_the_chart_is_described_and_commented() -> None:
    rows = [line for line in chart_reference.render().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert not [row for row in rows if row.rstrip().endswith("|  |")]
    lines = (ROOT / "charts/service/values.yaml").read_text().splitlines()
    keys = [(index, line) for index, line in enumerate(lines) if re.match(r"\s*[A-Za-z]+:", line)]
    assert not [line for index, line in keys if not lines[index - 1].lstrip().startswith("#")]


def test_reference_explains_every_key() -> None:
    rows = [line for line in reference.render().splitlines() if line.startswith("| `groundwork:")]
    assert len(rows) > 90
    assert not [row for row in rows if row.rstrip(" |").endswith("|")]
    assert not [row for row in rows if "typing." in row or "<class" in row]


def test_the_example_environment_is_generated_from_the_code() -> None:
    """If this fails: make docs."""
    assert environment_reference.PATH.read_text() == environment_reference.render()


def test_every_other_name_is_documented() -> None:
    page = (ROOT / "docs" / "connecting.md").read_text()
    names = {alias for found in aliases.SETS.values() for alias in found}
    assert sorted(name for name in names if f"`{name}`" not in page) == []
