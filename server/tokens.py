"""Bearer tokens: who a JSON Web Token speaks for, and new ones for our own users.

The one rule: the algorithm decides which key may check a signature, never the token alone: HS256 is
checked with the secret, RS256 and ES256 with the public keys of a JWKS, and nothing else is looked
at (`none` least of all). Must not import Quart.
"""

from __future__ import annotations

import time
import warnings
from typing import Literal, TypeAlias, get_args

import jwt
import msgspec
from jwt.warnings import InsecureKeyLengthWarning

from engine import Unauthenticated, Viewer
from server.jwks import ALGORITHMS, KeySet

Role: TypeAlias = Literal["admin", "editor"]
ROLES: tuple[str, ...] = get_args(Role)

MAX_SUB = 256
"""Characters of a `sub`; it is written into every session's record."""

SAFE_SECRET_BYTES = 32
"""RFC 7518, 3.2: an HS256 key has at least as many bits as the hash."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a valid token speaks for."""

    sub: str
    role: Role
    expires_at: float
    """Unix time in seconds."""

    @property
    def viewer(self) -> Viewer:
        """What the engine needs to know of it."""
        return Viewer(sub=self.sub, is_admin=self.role == "admin")


class Tokens:
    """Checks tokens, and issues them.

    Args:
        secret: the HS256 key; "" accepts and issues none.
        keys: the public keys for RS256 and ES256; None accepts none.
        audience: what `aud` has to name; "" does not look at it.
        issuer: what `iss` has to be; "" does not look at it.
    """

    def __init__(
        self,
        secret: str = "",
        keys: KeySet | None = None,
        *,
        audience: str = "",
        issuer: str = "",
    ) -> None:
        self._secret = secret
        self._keys = keys
        self._audience = audience
        self._issuer = issuer

    @property
    def can_issue(self) -> bool:
        """Whether there is a secret to sign with."""
        return bool(self._secret)

    async def check(self, token: str) -> Identity:
        """Give the identity of a valid token.

        Raises:
            Unauthenticated: the caller's fault; it is not a token, wrongly signed, expired, or
                without `sub` or `exp`. It is never said which key would have been right.
            Overloaded: ours; the JWKS has never been read yet and cannot be reached.

        Cancellation: nothing is left behind; a JWKS that was being fetched is fetched again later.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise Unauthenticated("the bearer token is not a JSON Web Token") from None
        algorithm = header.get("alg")
        if algorithm == "HS256" and self._secret:
            return self._decode(token, self._secret, "HS256")
        if algorithm in ALGORITHMS and self._keys is not None:
            kid = header.get("kid")
            key = await self._keys.find(kid if isinstance(kid, str) else None, algorithm)
            if key is None:
                raise Unauthenticated("the bearer token is signed with an unknown key")
            return self._decode(token, key, algorithm)
        raise Unauthenticated("the bearer token is signed in a way that is not accepted here")

    def _decode(self, token: str, key: str | jwt.PyJWK, algorithm: str) -> Identity:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience or None,
                issuer=self._issuer or None,
                options={
                    "require": ["sub", "exp"],
                    "verify_aud": bool(self._audience),
                    "verify_iss": bool(self._issuer),
                },
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the bearer token has expired") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthenticated(f"the bearer token has no claim {error.claim}") from None
        except (jwt.InvalidTokenError, ValueError, OverflowError):
            raise Unauthenticated("the bearer token is not valid") from None
        return _identity(claims)

    def issue(self, sub: str, role: Role, lifetime_s: float) -> tuple[str, float]:
        """Make a token for a user of ours; gives it and its end in Unix time.

        Raises:
            ValueError: there is no secret.
        """
        if not self._secret:
            raise ValueError("without ANTIPHON_JWT_SECRET no token can be signed")
        now = int(time.time())
        expires_at = now + int(lifetime_s)
        claims = {"sub": sub, "role": role, "iat": now, "exp": expires_at}
        if self._audience:
            claims["aud"] = self._audience
        if self._issuer:
            claims["iss"] = self._issuer
        with warnings.catch_warnings():  # said once, at the start of the server
            warnings.simplefilter("ignore", InsecureKeyLengthWarning)
            return jwt.encode(claims, self._secret, algorithm="HS256"), float(expires_at)


def _identity(claims: dict[str, object]) -> Identity:
    sub, role = claims["sub"], claims.get("role", "editor")
    if not isinstance(sub, str) or not 1 <= len(sub) <= MAX_SUB:
        raise Unauthenticated(f"the bearer token's sub must have 1 to {MAX_SUB} characters")
    if role not in ROLES:
        raise Unauthenticated(f"the bearer token's role must be one of {', '.join(ROLES)}")
    expires_at = claims["exp"]
    assert isinstance(expires_at, int | float)
    return Identity(sub=sub, role=role, expires_at=float(expires_at))  # type: ignore[arg-type]  # checked above
