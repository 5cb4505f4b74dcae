"""Passwords for Prometheus' and Alertmanager's own web server, which both take the same file."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache

import bcrypt

from infra.secret import Secret
from infra.templating import render_secret


def config(passwords: Mapping[str, Secret]) -> Secret:
    """The web server's configuration: user to bcrypt hash."""
    return render_secret(
        "prometheus/web.yml.j2",
        hashes={user: _bcrypt(user, password) for user, password in passwords.items()},
    )


@cache
def _bcrypt(user: str, password: Secret) -> str:
    """A bcrypt hash with a derived salt: a random one would be a difference at every `up`.

    Cost 6 is enough for a password with 190 bits of entropy, and the server hashes at each request.
    """
    # Any 21 characters of bcrypt's alphabet are a salt; the 22nd carries two bits only, and O has
    # the other four at zero.
    seed = base64.b64encode(
        hashlib.sha256(f"{user}:{password.reveal()}".encode()).digest(), altchars=b"./"
    ).decode()
    return bcrypt.hashpw(password.reveal().encode(), f"$2b$06${seed[:21]}O".encode()).decode()
