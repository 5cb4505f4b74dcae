"""Secrets: values that never print themselves, derived from one master secret."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_WEAK = re.compile(
    r"changeme|change-me|password|secret|admin|example|default|groundwork|12345", re.I
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret value. `str()` and `repr()` hide it; only a target and a template reveal it."""

    _value: str

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)


def revealed(value: Any) -> Any:
    """A value with every secret in it replaced by its text, through lists and dictionaries."""
    match value:
        case Secret():
            return value.reveal()
        case dict():
            return {key: revealed(item) for key, item in value.items()}
        case list() | tuple():
            return [revealed(item) for item in value]
        case _:
            return value


def weakness(value: str) -> str | None:
    """The weakness of a secret, or None. 128 bits need 22 random alphanumeric characters."""
    if len(value) < 22:
        return f"it has {len(value)} characters; at least 22 are required"
    if _WEAK.search(value):
        return "it contains a word common in default passwords"
    if len(set(value)) < 10:
        return "it uses too few different characters"
    if not any(character.isdigit() for character in value) and len(value) < 60:
        # Four words of a dictionary are 28 characters and 44 bits.
        return (
            "it contains only letters, like a phrase of words; use at least 22 random characters,"
            " including digits"
        )
    return None


@dataclass(frozen=True, slots=True)
class Keyring:
    """Derives every secret of a stack with HKDF-SHA256 (RFC 5869) from its master secret.

    The same master, service, purpose and generation give the same secret on any machine,
    so that a rebuilt stack opens a restored backup.
    """

    _master: Secret

    def derive(
        self, service: str, purpose: str, generation: int = 1, *, length: int = 32
    ) -> Secret:
        """`length` alphanumeric characters (5.95 bits each)."""
        return Secret("".join(self._characters(f"{service}/{purpose}/{generation}", length)))

    def key(self, service: str, purpose: str) -> Secret:
        """A 256-bit key, base64. It has no generation: what it encrypted must stay readable."""
        return Secret(base64.b64encode(self._bytes(f"{service}/{purpose}/key", 32)).decode())

    def number(self, service: str, purpose: str, generation: int, *, below: int) -> int:
        """A number from 1 to `below` - 1. 64 bits more than it has make each equally likely (FIPS
        186-5, A.2.1).
        """
        length = (below.bit_length() + 7) // 8 + 8
        found = self._bytes(f"{service}/{purpose}/{generation}/number", length)
        return int.from_bytes(found, "big") % (below - 1) + 1

    @property
    def checksum_key(self) -> Secret:
        """The key for checksums of secret content, so that they reveal nothing about it."""
        return self.derive("groundwork", "checksum")

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that tell master secrets apart and reveal nothing about them."""
        return hashlib.sha256(self._bytes("groundwork/fingerprint", 32)).hexdigest()[:12]

    def _bytes(self, info: str, length: int) -> bytes:
        hkdf = HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info.encode())
        return hkdf.derive(self._master.reveal().encode())

    def _characters(self, info: str, length: int) -> Iterator[str]:
        # Rejecting bytes beyond a multiple of the alphabet keeps every character equally likely.
        limit = 256 - 256 % len(_ALPHABET)
        usable = [byte for byte in self._bytes(info, 4 * length + 32) if byte < limit]
        return (_ALPHABET[byte % len(_ALPHABET)] for byte in usable[:length])
