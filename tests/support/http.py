"""HTTP as `httpx.get` and its kin speak it, by one client: those load the system's certificates
anew for every request, which takes longer than most answers.
"""

import httpx

_TRUSTED = httpx.create_ssl_context()
# Services are restarted between requests, so no connection is kept.
_CLIENT = httpx.Client(verify=_TRUSTED, limits=httpx.Limits(max_keepalive_connections=0))

get = _CLIENT.get
post = _CLIENT.post
request = _CLIENT.request


def trust(certificate: str) -> None:
    """Trusts an authority besides the system's; PEM."""
    _TRUSTED.load_verify_locations(cadata=certificate)
