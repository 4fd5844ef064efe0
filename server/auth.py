"""Who may come in: every request's token, its Origin, and what both allow.

The one rule: a request comes from somebody known before anything of it is done. A route is for
those who have a token unless it is marked `public`; so a new one that nobody thought about is
closed, not open. Without a secret or a JWKS there is no authentication at all, and whoever reaches
the loopback may do everything.

A token is taken from the `Authorization` header, or from a WebSocket's subprotocols, where a
browser can put it; never from a URL, which ends up in logs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from quart import Response, g, request, websocket
from quart_trio import QuartTrio

from engine import ANYONE, Forbidden, Unauthenticated, Viewer
from server.rates import Pace
from server.tokens import Identity, Role, Tokens

BEARER = "antiphon.bearer"
"""The WebSocket subprotocol before the token (contract 0, Who may do what)."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_DEFAULT_PORTS = {"http": 80, "https": 443}

CORS_HEADERS = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Accept, Last-Event-ID, "
    "Idempotency-Key",
    "Access-Control-Max-Age": "600",
}
EXPOSED_HEADERS = "Location, X-Session-Id, Retry-After, WWW-Authenticate"

F = TypeVar("F", bound=Callable[..., Any])


def public(handler: F) -> F:
    """Mark a route's handler as one that needs no token."""
    handler.is_public = True  # type: ignore[attr-defined]  # read by `Door`
    return handler


class Origins(msgspec.Struct, frozen=True):
    """Which pages of a browser may speak to this server.

    Args:
        allowed: origins like `https://example.com`, beside our own; "*" allows all.
        any_host: whether our own origin may have any host name. Without authentication only names
            of the loopback count, so that a name that was rebound to 127.0.0.1 opens nothing.
    """

    allowed: tuple[str, ...] = ()
    any_host: bool = False

    def allow(self, origin: str | None, host: str) -> bool:
        """Whether a request may come from a page of this origin; None: it is no page's request."""
        if origin is None or "*" in self.allowed or origin.lower() in self.allowed:
            return True
        return self._is_own(origin, host)

    def lets_read(self, origin: str | None) -> bool:
        """Whether a page of another origin may read answers (CORS)."""
        return origin is not None and ("*" in self.allowed or origin.lower() in self.allowed)

    def _is_own(self, origin: str, host: str) -> bool:
        theirs = urlsplit(origin)
        if theirs.scheme not in _DEFAULT_PORTS or not theirs.netloc:
            return False  # "null" is the origin of a sandbox or a file, never ours
        try:
            ours = urlsplit(f"{theirs.scheme}://{host}")
            default = _DEFAULT_PORTS[theirs.scheme]
            same = (theirs.hostname, theirs.port or default) == (
                ours.hostname,
                ours.port or default,
            )
        except ValueError:
            return False
        return same and (self.any_host or is_loopback(theirs.hostname or ""))


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Door:
    """Lets requests in.

    Args:
        tokens: checks them; None: there is no authentication.
        origins: which pages may come.
        pace: how fast a user's requests are taken.
    """

    def __init__(
        self,
        tokens: Tokens | None = None,
        origins: Origins | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.tokens = tokens
        self._pace = pace or Pace()
        self.origins = origins or Origins(any_host=tokens is not None)

    def guard(self, app: QuartTrio) -> None:
        """Stand before every route of an application."""

        @app.before_request
        async def _request() -> Response | None:
            return await self._let_in_request(app)

        @app.before_websocket
        async def _websocket() -> None:
            self._refuse_foreign(websocket.headers)
            g.identity = await self._identity(_token_of_socket())
            self._refuse_strangers()

        @app.after_request
        async def _headers(response: Response) -> Response:
            return self._with_cors(response)

    async def _let_in_request(self, app: QuartTrio) -> Response | None:
        origin = request.headers.get("Origin")
        is_preflight = (
            request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        )
        if is_preflight:
            self._refuse_foreign(request.headers)
            return Response(
                b"", status=204, headers=CORS_HEADERS if self.origins.lets_read(origin) else {}
            )
        if request.method not in SAFE_METHODS:
            self._refuse_foreign(request.headers)
        handler = app.view_functions.get(request.endpoint or "")
        if handler is None:
            return None  # there is no such page: 404 or 405, for everybody
        is_public = getattr(handler, "is_public", False)
        try:
            g.identity = await self._identity(_bearer(request.headers))
        except Unauthenticated:
            if not is_public:
                raise
        if not is_public:
            self._refuse_strangers()
        if (known := identity()) is not None:
            await self._pace.turn(known.sub)
        return None

    async def _identity(self, token: str | None) -> Identity | None:
        if self.tokens is None or token is None:
            return None
        return await self.tokens.check(token)

    def _refuse_strangers(self) -> None:
        if self.tokens is not None and identity() is None:
            raise Unauthenticated("a bearer token is needed: Authorization: Bearer <token>")

    def _refuse_foreign(self, headers: Any) -> None:
        origin = headers.get("Origin")
        if not self.origins.allow(origin, headers.get("Host", "")):
            raise Forbidden(
                f"pages of {origin[:200]} may not speak to this server (ANTIPHON_ALLOWED_ORIGINS)"
            )

    def _with_cors(self, response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if self.origins.allowed:
            response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin is not None and self.origins.lets_read(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        return response

    # ---- for handlers ----------------------------------------------------------------------------

    def viewer(self) -> Viewer:
        """Say who asks; without authentication, whoever reaches the loopback may see everything."""
        if self.tokens is None:
            return ANYONE
        known = identity()
        assert known is not None, "a public route has no viewer"
        return known.viewer

    def expires_at(self) -> float | None:
        """Say when the token of who asks ends, in Unix time; None: there is no token."""
        known = identity()
        return None if known is None else known.expires_at

    def role(self) -> Role:
        """Give the role of who asks."""
        return "admin" if self.viewer().is_admin else "editor"

    def require_admin(self) -> None:
        """Let admins on.

        Raises:
            Forbidden: who asks is none.
        """
        if not self.viewer().is_admin:
            raise Forbidden("only an admin may do this")

    def check(self) -> dict[str, object]:
        """Say who asks, for `GET /api/auth/check`."""
        if self.tokens is None:
            return {"authenticated": True, "role": "admin", "sub": "", "required": False}
        known = identity()
        if known is None:
            return {"authenticated": False, "role": None, "sub": None, "required": True}
        return {"authenticated": True, "role": known.role, "sub": known.sub, "required": True}


def identity() -> Identity | None:
    """Give who was let in with this request."""
    found: Identity | None = g.get("identity")
    return found


async def accept() -> None:
    """Accept a WebSocket; where the token came as a subprotocol, that is the one selected."""
    is_offered = BEARER in websocket.requested_subprotocols
    await websocket.accept(subprotocol=BEARER if is_offered else None)


def _bearer(headers: Any) -> str | None:
    """Give the header's token; None: there is none.

    Raises:
        Unauthenticated: the header says something else than a bearer token.
    """
    value = headers.get("Authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Authorization must be: Bearer <token>")
    found: str = token.strip()
    return found


def _token_of_socket() -> str | None:
    offered = websocket.requested_subprotocols
    if BEARER in offered:
        place = offered.index(BEARER) + 1
        if place >= len(offered):
            raise Unauthenticated(f'the subprotocols must be ["{BEARER}", "<token>"]')
        return offered[place]
    return _bearer(websocket.headers)
