"""The public keys of whoever issues our tokens: a JWKS (RFC 7517) in a file or at a URL.

The one rule: a key is used for the one algorithm that its kind allows, so a public key can never be
taken for a secret. The set is read again when it is old, and when a token names a key that it does
not have, but not more often than `MISS_S`: made-up key ids must not become a flood towards the
issuer. Must not import Quart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import aclosing
from math import inf

import httpx2
import jwt
import msgspec
import trio

from engine import Overloaded

_log = logging.getLogger("antiphon.auth")

ALGORITHMS = {"RS256": "RSA", "ES256": "EC"}
"""What a JWKS may be used for, and the kind of key that it takes (RFC 7518, 3.1)."""

AGE_S = 600.0
"""A set older than this is read again: a key that was withdrawn works for so long at most."""

MISS_S = 30.0
"""The shortest time between two readings."""

FETCH_S = 5.0
"""The longest that a reading may take, however the issuer spreads its bytes."""

RETRY_S = 5.0
"""Between two tries while there is no set at all; requests in between are refused at once."""

MAX_BYTES = 1024 * 1024

RSA_BITS = 2048
"""RFC 7518, 3.3: a shorter RSA key must not be used."""


class BadKeySet(Exception):
    """What was read is no JWKS with a key that can be used."""


_UNREADABLE = (OSError, httpx2.HTTPError, httpx2.InvalidURL, trio.TooSlowError, BadKeySet)


class KeySet:
    """The keys of one issuer.

    Args:
        source: a path, or an http(s) URL.
        client: makes the HTTP client; a test may give one of its own.
    """

    def __init__(
        self,
        source: str,
        *,
        client: Callable[[], httpx2.AsyncClient] | None = None,
    ) -> None:
        self.source = source
        self.is_remote = source.startswith(("http://", "https://"))
        self._client = client or (lambda: httpx2.AsyncClient(timeout=FETCH_S))
        self._keys: tuple[jwt.PyJWK, ...] = ()
        self._read_at: float | None = None
        self._failed_at = -inf
        self._lock = trio.Lock()

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Give the key for a token; None: there is none.

        Args:
            kid: the key's id, as the token names it; None fits where one key alone can be meant.
            algorithm: the token's, one of `ALGORITHMS`.

        Whoever finds the set old reads it again; others go on with the old one meanwhile. Only
        who has a key that is not in it, or comes before there is a set, waits for somebody else.

        Raises:
            Overloaded: the set has never been read yet, and cannot be.

        Cancellation: the next call reads the set.
        """
        is_read_now = self._lock.locked()
        if self._read_at is None or (self._age_s() > AGE_S and not is_read_now):
            await self._renew()
        key = self._choose(kid, algorithm)
        if key is None and self._age_s() > MISS_S:
            await self._renew()
            key = self._choose(kid, algorithm)
        return key

    async def load(self) -> None:
        """Read the set now.

        Raises:
            BadKeySet: it holds nothing of use. OSError, httpx2.HTTPError, httpx2.InvalidURL: it
                cannot be read. trio.TooSlowError: not in time.
        """
        data = await (self._fetch() if self.is_remote else trio.Path(self.source).read_bytes())
        keys = parse_keys(data)
        self._keys, self._read_at = keys, trio.current_time()

    async def _renew(self) -> None:
        """Read the set again, once for all who wait; a set that is there stays if that fails."""
        before = self._read_at
        async with self._lock:
            if self._read_at != before:
                return
            if before is None and trio.current_time() - self._failed_at < RETRY_S:
                raise self._unreadable()
            try:
                await self.load()
            except _UNREADABLE as error:
                why = str(error) or type(error).__name__
                _log.error("the JWKS %s cannot be read: %s", self.source, why)
                self._failed_at = trio.current_time()
                if before is None:
                    raise self._unreadable() from None
                self._read_at = self._failed_at

    def _unreadable(self) -> Overloaded:
        return Overloaded(
            "the keys that tokens are checked with cannot be read at present",
            retry_after_s=RETRY_S,
        )

    async def _fetch(self) -> bytes:
        """Fetch the set as it is: packed, a small answer could become a large one."""
        plain = {"Accept": "application/json", "Accept-Encoding": "identity"}
        with trio.fail_after(FETCH_S):
            async with (
                self._client() as client,
                client.stream("GET", self.source, headers=plain) as response,
            ):
                response.raise_for_status()
                data = bytearray()
                async with aclosing(response.aiter_raw()) as pieces:
                    async for piece in pieces:
                        data += piece
                        if len(data) > MAX_BYTES:
                            raise BadKeySet(f"it has more than {MAX_BYTES:,} bytes")
                return bytes(data)

    def _choose(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        fitting = [key for key in self._keys if key.algorithm_name == algorithm]
        if kid is not None:
            fitting = [key for key in fitting if key.key_id == kid]
        return fitting[0] if len(fitting) == 1 else None

    def _age_s(self) -> float:
        return 0.0 if self._read_at is None else trio.current_time() - self._read_at

    def __repr__(self) -> str:
        return f"<KeySet of {self.source}, {len(self._keys)} keys>"


def parse_keys(data: bytes) -> tuple[jwt.PyJWK, ...]:
    """Give the keys of a JWKS that can check signatures here.

    Raises:
        BadKeySet: it is no JWKS, or has no such key.
    """
    try:
        found = msgspec.json.decode(data)
        listed = found["keys"]
        assert isinstance(listed, list)
    except (msgspec.DecodeError, UnicodeError, KeyError, TypeError, AssertionError):
        raise BadKeySet('it is not a JSON object with a list of "keys"') from None
    keys = [key for entry in listed if (key := _key(entry)) is not None]
    if not keys:
        raise BadKeySet("it has no RSA key of 2048 bits or more, and no P-256 key")
    return tuple(keys)


def _key(entry: object) -> jwt.PyJWK | None:
    """Make a key; None: it is not one for us (RFC 7517, 5: such keys are passed over)."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    kind = entry.get("kty")
    algorithm = next((name for name, wanted in ALGORITHMS.items() if wanted == kind), None)
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        return None
    if kind == "EC" and entry.get("crv") != "P-256":
        return None
    try:
        key = jwt.PyJWK(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if kind == "RSA" and key.key.key_size < RSA_BITS:
        return None
    return key
