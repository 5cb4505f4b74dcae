"""The configuration reference says what the code says."""

from ops.development import metrics_reference, reference


def test_reference_is_generated_from_the_code() -> None:
    """If this fails: make docs."""
    assert reference.PATH.read_text() == reference.render()


def test_the_contract_of_metrics_is_generated_from_the_code() -> None:
    """If this fails: make docs."""
    assert metrics_reference.PATH.read_text() == metrics_reference.render()


def test_reference_explains_every_key() -> None:
    rows = [line for line in reference.render().splitlines() if line.startswith("| `groundwork:")]
    assert len(rows) > 90
    assert not [row for row in rows if row.rstrip(" |").endswith("|")]
    assert not [row for row in rows if "typing." in row or "<class" in row]
