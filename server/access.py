"""All that decides who may do what and how often, put together from the settings.

Its place is between the settings and the routes. Must not import Quart or transports.
"""

from __future__ import annotations

import logging

import msgspec

from engine import Engine
from server.auth import Door, Origins
from server.jwks import KeySet
from server.login import Login
from server.models import Models
from server.rates import Pace, Rate
from server.settings import BadSetting, Settings
from server.tokens import SAFE_SECRET_BYTES, Tokens
from server.users import Users

_log = logging.getLogger("antiphon.auth")


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes ask."""

    door: Door
    """Lets requests in."""
    users: Users
    login: Login | None
    """None: there is no secret to sign tokens with."""
    models: Models
    """Which models a role may use."""
    runs: Rate
    """How often a user may run the content pipeline."""
    pace: Pace
    """How fast a user's requests and messages are taken."""


def open_access(engine: Engine, settings: Settings | None = None) -> Access:
    """Put it together; without settings there is no authentication."""
    settings = settings or Settings()
    tokens = make_tokens(settings)
    users = Users(engine.journal)
    login = None
    if tokens is not None and tokens.can_issue:
        login = Login(users, tokens, lifetime_s=settings.token_lifetime_s, counting=engine.counting)
    origins = Origins(settings.origins(), any_host=tokens is not None)
    pace = Pace(0 if tokens is None else settings.requests_per_second, counting=engine.counting)
    return Access(
        door=Door(tokens, origins, pace),
        pace=pace,
        users=users,
        login=login,
        models=Models(engine),
        runs=Rate(0 if tokens is None else settings.runs_per_minute, counting=engine.counting),
    )


def make_tokens(settings: Settings) -> Tokens | None:
    """Give what checks tokens; None: no authentication is configured."""
    if not settings.has_authentication:
        return None
    if settings.jwt_secret and len(settings.jwt_secret.encode()) < SAFE_SECRET_BYTES:
        _log.warning(
            "ANTIPHON_JWT_SECRET has fewer than %d bytes: whoever sees one token can guess it",
            SAFE_SECRET_BYTES,
        )
    keys = KeySet(settings.jwks) if settings.jwks else None
    return Tokens(
        settings.jwt_secret, keys, audience=settings.jwt_audience, issuer=settings.jwt_issuer
    )


async def check_keys(settings: Settings) -> None:
    """Read the JWKS once before the server starts; a URL that is down now may come back.

    Raises:
        BadSetting: the file cannot be read or holds no key that can be used.
    """
    if not settings.jwks:
        return
    keys = KeySet(settings.jwks)
    try:
        await keys.load()
    except Exception as error:  # whatever it is, the setting is what a person can change
        if keys.is_remote:
            _log.warning("the JWKS %s cannot be read yet: %s", settings.jwks, error)
            return
        why = getattr(error, "strerror", None) or error
        raise BadSetting(f"ANTIPHON_JWKS: {settings.jwks}: {why}") from None
