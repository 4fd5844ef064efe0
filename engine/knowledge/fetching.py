"""How a source's web service is asked: one GET, its bytes, and every failure as SourceFailed.

The one rule: foreign errors stop here. Connectors build a `Fetch`, hand it to a `Fetcher` and read
the bytes; they never see httpx2. What should happen beside the plain request (pace, breaker,
retries, cache) wraps a fetcher and is one as well: see `policies` and `cache`.

    connector ──► Cached ──► Retrying ──► Breaking ──► Paced ──► HttpFetcher ──► the service

Must not import a connector, sessions, pipelines or providers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar
from urllib.parse import urlencode

import httpx2
import msgspec

from engine.errors import SourceFailed
from engine.limits import Limits

T = TypeVar("T")

USER_AGENT = "antiphon/0.1 (an exhibition research engine; Python on trio)"
"""Wikimedia and the Art Institute ask clients to name themselves and a place to read about them."""


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """One GET request."""

    url: str
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    """May hold a key: headers are neither logged nor part of the cache's key."""
    missing_is_empty: bool = False
    """Whether 404 is an answer ("there is none", given as b"") instead of a failure."""

    @property
    def cache_key(self) -> str:
        """The address with its parameters; the same question has the same key."""
        return f"{self.url}?{urlencode(self.params)}"


class Fetcher(Protocol):
    """Something that gets the bytes of an answer."""

    async def fetch(self, fetch: Fetch) -> bytes:
        """Give the answer's body.

        Raises:
            SourceFailed: there is none; `fault` says whose fault it is.

        Cancellation: at any point; the connection is closed.
        """
        ...


class HttpFetcher:
    """A fetcher over real HTTP.

    Args:
        client: shared by all sources; whoever made it closes it.
        source: the source's name, for messages.
        limits: `source_answer_bytes` bounds what is read.
    """

    def __init__(self, client: httpx2.AsyncClient, *, source: str, limits: Limits) -> None:
        self._client = client
        self._source = source
        self._max_bytes = limits.source_answer_bytes

    async def fetch(self, fetch: Fetch) -> bytes:
        """Ask once. Redirects are followed; nothing is repeated."""
        try:
            async with self._client.stream(
                "GET", fetch.url, params=list(fetch.params), headers=list(fetch.headers)
            ) as response:
                if response.status_code == 404 and fetch.missing_is_empty:
                    return b""
                if response.status_code != 200:
                    raise self._refusal(response)
                return await self._read(response)
        except httpx2.TimeoutException as error:
            raise SourceFailed(f"{self._source} did not answer in time", fault="timeout") from error
        except httpx2.DecodingError as error:
            raise SourceFailed(
                f"{self._source} sent an answer that cannot be unpacked", fault="bad_answer"
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise SourceFailed(
                f"{self._source} cannot be reached ({type(error).__name__})", fault="unavailable"
            ) from error

    async def _read(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                raise SourceFailed(
                    f"{self._source}'s answer is larger than {self._max_bytes} bytes",
                    fault="bad_answer",
                )
        return bytes(body)

    def _refusal(self, response: httpx2.Response) -> SourceFailed:
        status = response.status_code
        if status == 429 or (status == 503 and "retry-after" in response.headers):
            return SourceFailed(
                f"{self._source} asks for fewer requests (HTTP {status})",
                fault="rate_limited",
                retry_after_s=_seconds(response.headers.get("retry-after")),
            )
        if status >= 500:
            return SourceFailed(f"{self._source} failed (HTTP {status})", fault="unavailable")
        return SourceFailed(f"{self._source} refused (HTTP {status})", fault="refused")


def make_client(limits: Limits) -> httpx2.AsyncClient:
    """Make the client that all sources share. The proxy settings of the environment count."""
    return httpx2.AsyncClient(
        headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
        timeout=httpx2.Timeout(
            connect=limits.source_connect_s,
            read=limits.source_read_s,
            write=limits.source_connect_s,
            pool=limits.source_timeout_s,
        ),
        limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16),
        follow_redirects=True,
        max_redirects=4,
    )


def decode(body: bytes, type_: type[T], *, source: str) -> T:
    """Read a JSON answer into a struct; unknown fields are ignored.

    Raises:
        SourceFailed: `bad_answer`, when it is no JSON or not of this shape.
    """
    try:
        return msgspec.json.decode(body, type=type_, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceFailed(
            f"{source} sent an answer that is not what its interface promises",
            fault="bad_answer",
        ) from error


def decode_each(items: Sequence[msgspec.Raw], type_: type[T]) -> list[T]:
    """Read the items of a list one by one and leave out those that are of another shape.

    One odd record in a museum's answer must not cost the others.
    """
    good: list[T] = []
    for item in items:
        try:
            good.append(msgspec.json.decode(item, type=type_, strict=False))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return good


def _seconds(header: str | None) -> float | None:
    """Read a Retry-After in seconds. The date form is not used by these services."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
