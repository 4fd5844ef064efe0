"""Raw readers for tests: an SSE response and a WebSocket, as bytes that are looked at closely."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event of an SSE stream, or a comment."""

    id: str | None
    name: str | None
    data: Any
    """The JSON of its one data line; None: a comment."""
    raw: bytes


class SseReader:
    """One response; what arrives in one HTTP chunk is parsed by itself."""

    def __init__(self, stream: trio.abc.Stream, *, chunked: bool = True) -> None:
        self.stream = stream
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self._buffer = b""
        self._is_chunked = chunked

    async def _more(self) -> bool:
        data = await self.stream.receive_some(65536)
        self._buffer += bytes(data)
        return bool(data)

    async def read_head(self) -> None:
        while b"\r\n\r\n" not in self._buffer:
            if not await self._more():
                raise trio.BrokenResourceError("no answer")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (each.partition(":") for each in lines)
        }
        self._is_chunked = self.headers.get("transfer-encoding") == "chunked"

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the chunks of the body; ends at its proper end.

        Raises:
            trio.BrokenResourceError: the connection ended before the body did.
        """
        while True:
            while b"\r\n" not in self._buffer:
                if not await self._more():
                    raise trio.BrokenResourceError("the body was cut off")
            size_text, _, rest = self._buffer.partition(b"\r\n")
            size = int(size_text, 16)
            while len(rest) < size + 2:
                if not await self._more():
                    raise trio.BrokenResourceError("the body was cut off")
                rest = self._buffer.partition(b"\r\n")[2]
            self._buffer = rest[size + 2 :]
            if size == 0:
                return
            yield rest[:size]

    async def events(self) -> AsyncIterator[Event]:
        """Give the events; each chunk has to hold whole ones."""
        async for data in self.chunks():
            assert data.endswith(b"\n\n"), "an event was cut in two"
            for block in data.split(b"\n\n")[:-1]:
                yield parse_event(block)

    async def rest(self) -> bytes:
        """Give all that still comes, of a body that ends with the connection."""
        while await self._more():
            pass
        return self._buffer


def parse_event(block: bytes) -> Event:
    """Read one event's lines."""
    assert block.isascii()
    found: dict[str, str] = {}
    for line in block.decode().split("\n"):
        name, _, value = line.partition(": ")
        if name and not name.startswith(":"):
            assert name not in found, f"two {name} lines"
            found[name] = value
    return Event(
        id=found.get("id"),
        name=found.get("event"),
        data=json.loads(found["data"]) if "data" in found else None,
        raw=block,
    )


@asynccontextmanager
async def open_sse(
    port: int,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    version: str = "1.1",
    method: str = "GET",
    body: bytes = b"",
    receive_buffer: int = 0,
) -> AsyncIterator[SseReader]:
    """Ask for a path, read the answer's head, and close the socket afterwards."""
    sock = trio.socket.socket()
    if receive_buffer:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, receive_buffer)
    await sock.connect(("127.0.0.1", port))
    stream = trio.SocketStream(sock)
    try:
        lines = [f"{method} {path} HTTP/{version}", "Host: test"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        reader = SseReader(stream)
        await reader.read_head()
        yield reader
    finally:
        await trio.aclose_forcefully(stream)


async def http(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Make one request; gives the status and the JSON of the answer."""
    wanted = {"Connection": "close", "Content-Length": str(len(body)), **(headers or {})}
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        lines = [f"{method} {path} HTTP/1.1", "Host: test"]
        lines += [f"{name}: {value}" for name, value in wanted.items()]
        await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        received = bytearray()
        async for data in stream:
            received += data
    head, _, answer = bytes(received).partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        answer = _unchunked(answer)
    return int(head.split()[1]), json.loads(answer) if answer else None


async def wait_ended(port: int, session_id: str, *, within_s: float = 30) -> Any:
    """Wait until a session has ended; gives what GET /api/sessions/{id} shows."""
    with trio.fail_after(within_s):
        while True:
            status, shown = await http(port, "GET", f"/api/sessions/{session_id}")
            assert status == 200, shown
            if shown["state"] not in ("queued", "running"):
                return shown
            await trio.sleep(0.05)


def _unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return body
