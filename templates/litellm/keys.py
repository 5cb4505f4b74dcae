"""Who may ask LiteLLM what: the administrator everything, the application its models, Prometheus
the metrics.

LiteLLM loads this file by `custom_auth` (docs.litellm.ai, custom auth). It works with and without
a database; with one, keys that LiteLLM itself has issued are looked up there.
"""

import hmac
import json
from pathlib import Path

import spending
from fastapi import HTTPException, Request
from litellm.constants import LITELLM_PROXY_MASTER_KEY_ALIAS
from litellm.proxy._types import LiteLLMRoutes, LitellmUserRoles, UserAPIKeyAuth, hash_token

_HERE = Path(__file__).parent
_KEYS = {name: (_HERE / f"{name}-key").read_text() for name in ("master", "app", "metrics")}
_APPLICATIONS = json.loads((_HERE / "applications.json").read_text())
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
_ADMINISTRATORS = "an application's key opens models only; administrators use the master key"
_PUBLIC = frozenset(LiteLLMRoutes.public_routes.value) - {"/metrics", "/metrics/"}

spending.count()


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
    if name := _application(api_key):
        if not path.removeprefix("/v1").startswith(_ASKING):
            raise HTTPException(403, _ADMINISTRATORS)
        own = _APPLICATIONS.get(name, {})
        if request.method == "POST":
            await _within_budget(name, own.get("budget"))
        return UserAPIKeyAuth(
            api_key=hash_token(own.get("key") or _KEYS["app"]),
            key_alias=name,
            user_id=name,
            models=own.get("models", []),
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
    return _equal(given, _KEYS[name])


def _equal(given: str | None, key: str) -> bool:
    return hmac.compare_digest((given or "").removeprefix("Bearer ").encode(), key.encode())


def _application(given: str | None) -> str | None:
    if _same(given, "app"):
        return "app"
    return next((name for name, own in _APPLICATIONS.items() if _equal(given, own["key"])), None)


async def _within_budget(name: str, budget: float | None) -> None:
    if budget is not None and await spending.today(name) >= budget:
        raise HTTPException(429, f"{name} has spent its daily budget of {budget:g} USD")


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
