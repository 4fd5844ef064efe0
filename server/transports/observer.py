"""The observer's feed: the running system as server-sent events, each the whole of a moment.

The one rule: it costs the same whoever looks. A moment is looked at and encoded once for all
observers, at most twice a second; an observer that is slow misses moments, and never has one half.
There is no cursor, for a moment that has passed is of no use. Knows no protocol's words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import inf
from typing import Any

import msgspec
import trio
from quart import Response

from engine import Overloaded
from server.hub import Hub
from server.protocols.encoding import to_ascii
from server.transports.sse import CONTENT_TYPE, HEADERS

INTERVAL_S = 0.5
"""Between two moments."""

MAX_OBSERVERS = 16
"""Open feeds; one more is refused as `overloaded`."""

MAX_SESSIONS = 60
MAX_PARTS = 80
"""Of each session. A moment of 60 sessions with 80 parts is about a megabyte."""


class Observers:
    """All who look at one hub.

    Args:
        hub: where the engine is.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._count = 0
        self._event = b""
        self._at = -INTERVAL_S

    def stream(self, scope: Any, *, expires_at: float | None = None) -> Response:
        """Answer with the feed, until the client goes, its token expires or the server stops.

        Args:
            scope: the request's ASGI scope.
            expires_at: when the observer's token ends, in Unix time; None: there is no token.

        Raises:
            Overloaded: there are as many observers as there may be.
        """
        if self._count >= MAX_OBSERVERS:
            raise Overloaded(f"{MAX_OBSERVERS} observers are looking already", retry_after_s=5.0)
        if scope["method"] == "HEAD":
            return Response(b"", content_type=CONTENT_TYPE, headers=HEADERS)
        response = Response(
            self._body(expires_at or inf), content_type=CONTENT_TYPE, headers=HEADERS
        )
        response.timeout = None
        return response

    async def _body(self, expires_at: float) -> AsyncIterator[bytes]:
        """Give one event for each moment.

        Cancellation: (the client has gone) the observer is counted out.
        Backpressure: while the client does not read, no moment is asked for.
        """
        self._count += 1
        try:
            while not self._hub.stopped.is_set() and self._hub.engine.now() < expires_at:
                yield self._moment()
                with trio.move_on_after(INTERVAL_S):
                    await self._hub.stopped.wait()
        finally:
            self._count -= 1

    def _moment(self) -> bytes:
        now = trio.current_time()
        if now - self._at >= INTERVAL_S * 0.9:
            seen = self._hub.engine.observe(max_sessions=MAX_SESSIONS, max_parts=MAX_PARTS)
            self._event = b"data: %b\n\n" % to_ascii(msgspec.json.encode(seen, enc_hook=_plain))
            self._at = now
        return self._event


def _plain(value: Any) -> str:
    """Name an error that a child raised; its text may hold what is nobody's business."""
    return type(value).__name__
