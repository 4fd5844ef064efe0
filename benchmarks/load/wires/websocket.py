"""A WebSocket that costs little to listen to: trio-websocket speaks, and messages are tapped.

trio-websocket makes the handshake, answers pings, closes and sends. What it would do with a
message (an event object, a channel, a wake-up of another task) costs more than a server needs to
send it, so the stream beneath it takes messages out where they arrive and hands on only the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from benchmarks.load.adapters.interface import Sent
from benchmarks.load.limits import CLOSE_S, CONNECT_S
from benchmarks.load.target import Target
from benchmarks.load.wires.dialing import Stream, dial, read
from benchmarks.load.wires.frames import BadFrame, FrameSplitter
from benchmarks.load.wires.interface import LOST, Lost, Take, alone

END_OF_HEAD = b"\r\n\r\n"


class Tapped(trio.abc.Stream):
    """The stream beneath trio-websocket.

    Args:
        stream: the connection.
        take: is given each message where it arrives.
        bytes_per_s: reads no faster than this.
    """

    def __init__(
        self,
        stream: Stream,
        take: Take,
        bytes_per_s: float | None,
    ) -> None:
        self.ended = trio.Event()
        self.why = ""
        self._stream = stream
        self._take = take
        self._bytes_per_s = bytes_per_s
        self._head = b""
        self._is_open = False
        self._splitter = FrameSplitter()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Give trio-websocket what is no message: the handshake's answer, then control frames."""
        while True:
            data = await self._read()
            if not data:
                self.end("closed")
                return b""
            if not self._is_open:
                self._head += data
                head, found, data = self._head.partition(END_OF_HEAD)
                if not found:
                    continue
                self._is_open, self._head = True, b""
                rest = self._split(data)
                return head + found + rest
            control = self._split(data)
            if control:
                return control
            if self.ended.is_set():
                return b""

    async def _read(self) -> bytes:
        try:
            return await read(self._stream, self._bytes_per_s if self._is_open else None)
        except LOST:
            return b""

    def _split(self, data: bytes) -> bytes:
        if self.ended.is_set():
            return b""  # it was cut: what is still in the kernel has not arrived
        try:
            messages, control = self._splitter.feed(data)
        except BadFrame:
            self.end("bad_frame")
            return b""
        for message in messages:
            self._take(message, "")
        if self._splitter.close_code is not None:
            self.end(f"close_{self._splitter.close_code}")
        return control

    def end(self, why: str) -> None:
        """Note that nothing more will arrive."""
        if not self.ended.is_set():
            self.why = why
            self.ended.set()


class WebSocket:
    """One open WebSocket; `open_websocket` makes it."""

    def __init__(self, connection: WebSocketConnection, stream: Tapped) -> None:
        self.ended = stream.ended
        self._connection = connection
        self._stream = stream

    @property
    def why(self) -> str:
        return self._stream.why

    async def send(self, sent: Sent) -> None:
        """Send a message. Raises: Lost: the connection is closed."""
        try:
            await self._connection.send_message(sent.body.decode())
        except (ConnectionClosed, *LOST):
            self._stream.end("closed")
            raise Lost("closed") from None

    def cut(self) -> None:
        """Break it off."""
        self._stream.end("cut")


@asynccontextmanager
async def open_websocket(
    target: Target,
    path: str,
    headers: tuple[tuple[str, str], ...],
    take: Take,
    *,
    bytes_per_s: float | None = None,
) -> AsyncIterator[WebSocket]:
    """Open a WebSocket around the block.

    Args:
        target: where.
        path: its path.
        headers: of the upgrade request.
        take: is given each message.
        bytes_per_s: how fast it is read.

    Raises:
        Lost: it cannot be opened.

    Cancellation: at any point; the connection is closed, with a goodbye of half a second at most.
    """
    raw = await dial(target, is_slow=bytes_per_s is not None)
    stream = Tapped(raw, take, bytes_per_s)
    try:
        async with trio.open_nursery() as nursery:
            connection = await _upgrade(nursery, stream, target, path, headers)
            try:
                yield WebSocket(connection, stream)
            finally:
                if not stream.ended.is_set():
                    with trio.move_on_after(CLOSE_S, shield=True):
                        await connection.aclose()
                nursery.cancel_scope.cancel(reason="the connection is closed")
    except BaseExceptionGroup as group:
        raise alone(group) from None
    finally:
        await trio.aclose_forcefully(raw)


async def _upgrade(
    nursery: trio.Nursery,
    stream: Tapped,
    target: Target,
    path: str,
    headers: tuple[tuple[str, str], ...],
) -> WebSocketConnection:
    """Make the handshake; trio-websocket would wait for ever for an answer that is lost."""
    extra = [(name.encode(), value.encode()) for name, value in headers]
    connection: WebSocketConnection | None = None
    reason = ""
    with trio.move_on_after(CONNECT_S) as scope:

        async def give_up_at_its_end() -> None:
            await stream.ended.wait()
            scope.cancel(reason="the connection has ended")

        nursery.start_soon(give_up_at_its_end)
        try:
            connection = await wrap_client_stream(
                nursery,
                stream,  # type: ignore[arg-type]  # any stream will do
                target.netloc,
                target.url(path),
                extra_headers=extra,
            )
        except ConnectionRejected as error:
            reason = f"http_{error.status_code}"
        except (HandshakeError, ConnectionClosed, *LOST):
            reason = "no_upgrade"
    if connection is None:
        raise Lost(reason or ("no_upgrade" if stream.ended.is_set() else "connect_timeout"))
    return connection
