"""Secrets: derived, stable, told apart, and never printed."""

import string

import pytest

from infra.secret import Keyring, Secret, weakness
from tests.unit.conftest import MASTER

KEYS = Keyring(Secret(MASTER))


def test_does_not_print_itself() -> None:
    secret = Secret("hunter2hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"


def test_keyring_does_not_print_its_master() -> None:
    assert MASTER not in repr(KEYS)


def test_derives_the_same_secret_again() -> None:
    """A rebuilt stack must open a restored backup: the value is fixed for ever."""
    assert KEYS.derive("postgres", "app") == Keyring(Secret(MASTER)).derive("postgres", "app")
    assert KEYS.derive("postgres", "app").reveal() == "zyWYZZwFAn21PpqQIwEQxKUwH2YCGHXl"


@pytest.mark.parametrize(
    "other",
    [
        KEYS.derive("postgres", "litellm"),
        KEYS.derive("redis-cache", "app"),
        KEYS.derive("postgres", "app", 2),
        Keyring(Secret(MASTER + "x")).derive("postgres", "app"),
    ],
    ids=["purpose", "service", "generation", "master"],
)
def test_every_part_of_a_derivation_counts(other: Secret) -> None:
    assert other != KEYS.derive("postgres", "app")


@pytest.mark.parametrize("length", [22, 32, 64])
def test_is_alphanumeric_and_of_the_length_asked_for(length: int) -> None:
    value = KEYS.derive("service", "purpose", length=length).reveal()
    assert len(value) == length
    assert set(value) <= set(string.ascii_letters + string.digits)


def test_uses_every_character_about_equally() -> None:
    text = "".join(KEYS.derive("s", str(number), length=60).reveal() for number in range(500))
    counts = [text.count(character) for character in string.ascii_letters + string.digits]
    assert min(counts) > 0.75 * len(text) / 62
    assert max(counts) < 1.25 * len(text) / 62


def test_fingerprint_tells_masters_apart_and_reveals_nothing() -> None:
    assert len(KEYS.fingerprint) == 12
    assert KEYS.fingerprint != Keyring(Secret(MASTER + "x")).fingerprint


@pytest.mark.parametrize(
    "value",
    [
        "short",
        "changeme-changeme-changeme-1234",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "MyPassword0123456789abcdefgh",
        "",
    ],
)
def test_names_the_weakness(value: str) -> None:
    assert weakness(value)


def test_finds_a_generated_secret_strong() -> None:
    assert weakness(MASTER) is None
