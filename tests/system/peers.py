"""A server of our own for one test, and peers that speak bytes and can be as rude as they like."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from server.connection import ConnectionLimits
from server.connections import Connections
from server.listening import open_listeners, serve

KEY = b"x3JJHMbDL1EzLkh9GBhXDw=="
UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
PATIENCE_S = 8.0
"""Nothing here takes so long: a test that waits longer has failed."""


def masked(head: int, payload: bytes, *, size: bytes | None = None, mask: bool = True) -> bytes:
    """Make a client's frame, as wrong as wanted: its first byte, its length as given."""
    if size is None:
        count = len(payload)
        if count < 126:
            size = bytes((count,))
        elif count < 65536:
            size = b"\x7e" + count.to_bytes(2, "big")
        else:
            size = b"\x7f" + count.to_bytes(8, "big")
    if not mask:
        return bytes((head,)) + size + payload
    key = b"\x01\x02\x03\x04"
    long = key * (len(payload) // 4 + 1)
    hidden = (
        int.from_bytes(payload, "big") ^ int.from_bytes(long[: len(payload)], "big")
    ).to_bytes(len(payload), "big")
    return bytes((head, size[0] | 0x80)) + size[1:] + key + hidden


def text(payload: bytes) -> bytes:
    return masked(0x81, payload)


class Peer:
    """One client's connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.buffer = bytearray()

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def _more(self) -> bool:
        try:
            data = await self.stream.receive_some(65536)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        self.buffer += data
        return bool(data)

    async def until(self, mark: bytes) -> bytes:
        """Read up to and with the mark; fails at the end of the stream."""
        with trio.fail_after(PATIENCE_S):
            while mark not in self.buffer:
                assert await self._more(), bytes(self.buffer)
        end = self.buffer.index(mark) + len(mark)
        taken, self.buffer = bytes(self.buffer[:end]), self.buffer[end:]
        return taken

    async def exactly(self, count: int) -> bytes:
        with trio.fail_after(PATIENCE_S):
            while len(self.buffer) < count:
                if not await self._more():
                    raise EOFError(bytes(self.buffer))
        taken, self.buffer = bytes(self.buffer[:count]), self.buffer[count:]
        return taken

    async def rest(self) -> bytes:
        """Read to the end of the stream."""
        with trio.fail_after(PATIENCE_S):
            while await self._more():
                pass
        taken, self.buffer = bytes(self.buffer), bytearray()
        return taken

    async def upgrade(self, path: bytes = b"/echo", more: bytes = b"") -> None:
        await self.send(UPGRADE % path + more)
        head = await self.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    async def frame(self) -> tuple[int, bytes]:
        """Read one frame: its opcode and payload. A server's frame is whole and not masked."""
        head, size = await self.exactly(2)
        assert head & 0xF0 == 0x80, f"{head:#x} is fragmented or has reserved bits"
        assert size < 128, "masked"
        if size == 126:
            size = int.from_bytes(await self.exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.exactly(8), "big")
        return head & 0x0F, await self.exactly(size)

    async def response(self) -> tuple[bytes, bytes]:
        """Read one response: its head, and its body by Content-Length or by chunks."""
        head = await self.until(b"\r\n\r\n")
        low = head.lower()
        if b"transfer-encoding: chunked" in low:
            body = b""
            while size := int(await self.until(b"\r\n"), 16):
                body += await self.exactly(size)
                assert await self.exactly(2) == b"\r\n"
            assert await self.exactly(2) == b"\r\n"
            return head, body
        if b"content-length: " in low:
            count = int(low.split(b"content-length: ")[1].split(b"\r\n")[0])
            return head, await self.exactly(count)
        return head, b""


class Served:
    """A server that runs."""

    def __init__(self, port: int, connections: Connections, tls: ssl.SSLContext | None) -> None:
        self.port = port
        self.connections = connections
        self.stop = trio.Event()
        self.ended = trio.Event()
        self._tls = tls

    @asynccontextmanager
    async def peer(self, *, receive_buffer: int | None = None) -> AsyncIterator[Peer]:
        sock = trio.socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, receive_buffer)
        await sock.connect(("127.0.0.1", self.port))
        stream: trio.abc.Stream = trio.SocketStream(sock)
        if self._tls is not None:
            stream = trio.SSLStream(
                stream, self._tls, server_hostname="localhost", https_compatible=True
            )
        try:
            yield Peer(stream)
        finally:
            await trio.aclose_forcefully(stream)

    async def answers(self) -> None:
        """Check that another connection is served properly: HTTP, then a WebSocket."""
        async with self.peer() as peer:
            await peer.send(b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
            head, body = await peer.response()
            assert (head[:12], body) == (b"HTTP/1.1 200", b"hello")
            await peer.upgrade()
            await peer.send(text(b"still here"))
            assert await peer.frame() == (1, b"still here")


@asynccontextmanager
async def serving(
    app: Any,
    *,
    limits: ConnectionLimits | None = None,
    tls: ssl.SSLContext | None = None,
    trust: ssl.SSLContext | None = None,
    grace_s: float = 0.3,
    send_buffer_bytes: int = 16 * 1024,
) -> AsyncIterator[Served]:
    """Serve an application on a free port while the block runs; then stop."""
    limits = limits or ConnectionLimits(linger_s=0.5)
    listeners = open_listeners("127.0.0.1", 0, send_buffer_bytes=send_buffer_bytes)
    connections = Connections()
    served = Served(listeners[0].socket.getsockname()[1], connections, trust)

    async def run(task_status: trio.TaskStatus[Any]) -> None:
        await partial(
            serve,
            app,
            listeners,
            limits=limits,
            tls=tls,
            connections=connections,
            grace_s=grace_s,
            shutdown_trigger=served.stop.wait,
            task_status=task_status,
        )()
        served.ended.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        yield served
        served.stop.set()
        with trio.move_on_after(PATIENCE_S) as scope:
            await served.ended.wait()
        assert not scope.cancelled_caught, "the server did not stop"
