"""Random secrets and identifiers."""

import secrets
import string

from infra.secret import weakness

MASTER_LENGTH = 40
_ALPHABET = string.ascii_letters + string.digits


def generate(length: int) -> str:
    """A random alphanumeric string that does not start with a digit and passes our own strength
    check.
    """
    while weakness(
        made := secrets.choice(string.ascii_letters)
        + "".join(secrets.choice(_ALPHABET) for _ in range(length - 1))
    ):
        continue
    return made


def instance_id() -> str:
    """A random id that tells this stack's resources from another clone's."""
    return secrets.choice(string.ascii_lowercase) + "".join(
        secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5)
    )
