"""Who may ask LiteLLM what: the administrator everything, the application its models, Prometheus
the metrics.

LiteLLM loads this file by `custom_auth` (docs.litellm.ai, custom auth). It works with and without
a database; with one, keys that LiteLLM itself has issued are looked up there.
"""

import hmac
from pathlib import Path

from fastapi import HTTPException, Request
from litellm.constants import LITELLM_PROXY_MASTER_KEY_ALIAS
from litellm.proxy._types import LiteLLMRoutes, LitellmUserRoles, UserAPIKeyAuth, hash_token

_HERE = Path(__file__).parent
_KEYS = {name: (_HERE / f"{name}-key").read_text() for name in ("master", "app", "metrics")}
# OpenAI's and Anthropic's protocols, and nothing by which a gateway is administered.
_ASKING = (
    "/audio/",
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/images/",
    "/messages",
    "/models",
    "/moderations",
    "/rerank",
    "/responses",
)
_PUBLIC = frozenset(LiteLLMRoutes.public_routes.value) - {"/metrics", "/metrics/"}


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:
    """The rights of whoever holds a key. Raises HTTPException: 401 without a known one, 403 for
    what it does not open.
    """
    path = request.url.path
    span = getattr(request.state, "parent_otel_span", None)
    if _same(api_key, "master"):
        # Its alias, so that the key itself comes into no log, label or trace.
        return UserAPIKeyAuth(
            api_key=LITELLM_PROXY_MASTER_KEY_ALIAS,
            key_alias="master",
            user_id="default_user_id",
            user_role=LitellmUserRoles.PROXY_ADMIN,
            parent_otel_span=span,
        )
    if _same(api_key, "app"):
        if not path.removeprefix("/v1").startswith(_ASKING):
            raise HTTPException(
                403, "an application's key opens models only; administrators use the master key"
            )
        return UserAPIKeyAuth(
            api_key=hash_token(_KEYS["app"]),
            key_alias="app",
            user_id="app",
            user_role=LitellmUserRoles.INTERNAL_USER,
            parent_otel_span=span,
        )
    if _same(api_key, "metrics"):
        if path.rstrip("/") != "/metrics":
            raise HTTPException(403, "this key opens the metrics only")
        # LiteLLM shows metrics to administrators alone; the path above is all that this one ever
        # sees.
        return UserAPIKeyAuth(
            api_key=hash_token(_KEYS["metrics"]),
            key_alias="metrics",
            user_role=LitellmUserRoles.PROXY_ADMIN,
        )
    if path in _PUBLIC:
        return UserAPIKeyAuth(user_role=LitellmUserRoles.INTERNAL_USER_VIEW_ONLY)
    return await _issued(api_key)


def _same(given: str | None, name: str) -> bool:
    return hmac.compare_digest((given or "").removeprefix("Bearer ").encode(), _KEYS[name].encode())


async def _issued(api_key: str | None) -> UserAPIKeyAuth:
    """A key that LiteLLM has issued, from its database."""
    from litellm.proxy.auth.auth_checks import get_key_object
    from litellm.proxy.proxy_server import prisma_client, user_api_key_cache

    if prisma_client is None or not (api_key or "").startswith("sk-"):
        raise HTTPException(401, "a key is needed, and this is none")
    try:
        return await get_key_object(
            hashed_token=hash_token(api_key),
            prisma_client=prisma_client,
            user_api_key_cache=user_api_key_cache,
        )
    except Exception:
        raise HTTPException(401, "a key is needed, and this is none") from None
