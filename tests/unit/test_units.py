"""Sizes and durations in people's and in the engines' spelling."""

import pytest

from infra import units


@pytest.mark.parametrize(
    ("text", "size"),
    [("1KiB", 1024), ("512MiB", 512 * 1024**2), ("1.5GiB", 1536 * 1024**2), ("2 TiB", 2 * 1024**4)],
)
def test_reads_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["512", "512MB", "1G", "-1MiB", "", "MiB", 512, None, True])
def test_refuses_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="MiB"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(1024**3, "1GiB"), (1536 * 1024**2, "1536MiB"), (1024, "1KiB"), (1500, "0.0MiB")],
)
def test_writes_sizes(size: int, text: str) -> None:
    assert units.format_size(size) == text


@pytest.mark.parametrize(("text", "size"), [("1.3GiB", 1331), ("32769KiB", 32), ("512MiB", 512)])
def test_limits_are_whole_mebibytes(text: str, size: int) -> None:
    """The provider knows nothing finer, and what is deployed must equal what is declared."""
    assert units.whole_mebibytes(text) == size * units.MIB


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("12h", 43200), ("30d", 2592000)]
)
def test_reads_and_writes_durations(text: str, seconds: int) -> None:
    assert units.parse_duration(text) == seconds
    assert units.parse_duration(units.format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["30", "1w", "1.5h", "", None, 30])
def test_refuses_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "3s"), (59, "59s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (3725, "1h2m5s")],
)
def test_writes_durations_as_go_does(seconds: int, text: str) -> None:
    """The Docker provider reads them back in this form; another is a difference at every `up`."""
    assert units.go_duration(seconds) == text
