"""All connections of the process: what is open, what has been, and who has been quiet too long.

The one rule: one task looks after all of them, so that an idle connection costs no timer. Used by
server/listening.py, which adds each connection, and by whoever shows numbers. Must not import the
engine, Hypercorn or Quart.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec
import trio

from server.connection import Connection

TURN = 256
"""Connections looked at between two checkpoints: well under a millisecond."""


class ConnectionStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers at one moment."""

    open: int
    """Connections that are open now."""
    websockets: int
    """Those among them that are WebSockets."""
    total: int
    """Connections accepted since the start."""
    sent_bytes: int
    """Bytes sent since the start, those of TLS included."""
    pending_bytes: int
    """Bytes that wait for slow peers now, beside the kernel's buffers."""
    stalled: int
    """Connections ended since the start because the peer took no byte for the stall time."""


class Connections:
    """The open connections."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._total = 0
        self._sent_bytes = 0
        self._stalled = 0
        self._empty = trio.Event()

    def __len__(self) -> int:
        return len(self._open)

    async def serve(self, connection: Connection) -> None:
        """Run a connection, and count it while it runs."""
        self._total += 1
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
            self._sent_bytes += connection.sent_bytes
            self._stalled += connection.stalled
            if not self._open:
                self._empty.set()

    async def tick(self, every_s: float) -> NoReturn:
        """Let each connection look at the clock, for ever."""
        while True:
            await trio.sleep(every_s)
            for number, connection in enumerate(tuple(self._open), start=1):
                connection.tick(trio.current_time())
                if number % TURN == 0:
                    await trio.lowlevel.checkpoint()

    async def wait_empty(self) -> None:
        """Wait until none is open."""
        while self._open:
            self._empty = trio.Event()
            await self._empty.wait()

    def end_all(self, *, code: int) -> None:
        """Have every connection end; WebSockets that have not said goodbye do so with this code."""
        for connection in tuple(self._open):
            connection.end("drained", code=code)

    def end_idle(self) -> None:
        """Have those end that are between two requests."""
        now = trio.current_time()
        for connection in tuple(self._open):
            connection.tick(now)

    def statistics(self) -> ConnectionStatistics:
        """Give the numbers of this moment."""
        return ConnectionStatistics(
            open=len(self._open),
            websockets=sum(connection.is_websocket for connection in self._open),
            total=self._total,
            sent_bytes=self._sent_bytes + sum(c.sent_bytes for c in self._open),
            pending_bytes=sum(connection.pending_bytes for connection in self._open),
            stalled=self._stalled + sum(connection.stalled for connection in self._open),
        )
