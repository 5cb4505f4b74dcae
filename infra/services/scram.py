"""SCRAM-SHA-256 verifiers as Postgres stores them (RFC 5803): they check a password but cannot
replace it.
"""

import base64
import hashlib
import hmac

from infra.secret import Secret

# Postgres' own default (scram_iterations).
_ITERATIONS = 4096


def verifier(password: Secret, salt: Secret) -> Secret:
    """A verifier that `ALTER ROLE … PASSWORD` accepts instead of the password.

    The salt is derived from the master secret: a random one would be a change at every `up`.
    """
    return Secret(compute(password.reveal().encode(), salt.reveal().encode()))


def compute(password: bytes, salt: bytes) -> str:
    """`SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, the latter three in base64."""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, _ITERATIONS)
    client, server = (
        hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key")
    )
    shown = (
        base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server)
    )
    return "SCRAM-SHA-256${}:{}${}:{}".format(_ITERATIONS, *shown)
