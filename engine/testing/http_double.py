"""A tiny web service over real sockets: it answers GET as it is told, faults included.

The one rule: it is a server like any other, spoken to by HTTP alone, and it remembers what it was
asked. It stands for a museum's or an encyclopedia's service in tests, on 127.0.0.1. Public: users
test their own sources with it. Must not import `engine.knowledge`.

    async with open_http_double(lambda asked: Reply(body=b"{}")) as double:
        ...  # base URL: double.url
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import parse_qs, unquote, urlsplit

import h11
import msgspec
import trio

_READ_BYTES = 64 * 1024


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    path: str
    """Decoded."""
    params: dict[str, list[str]]
    headers: dict[str, str]
    """Names in lower case."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the service does with one request."""

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b""
    delay_s: float = 0.0
    """Silence before the answer."""
    pause_s: float = 0.0
    """Silence after each tenth of the body: a slow answer."""
    hang: bool = False
    """Never answer; the connection stays open until the client leaves."""
    drop: bool = False
    """Close the connection after half of the body."""


class HttpDouble:
    """The service's state; `open_http_double` runs it.

    Args:
        answer: decides about each request; may be changed while it runs.
    """

    def __init__(self, answer: Callable[[Asked], Reply], url: str) -> None:
        self.answer = answer
        self.url = url
        self.asked: list[Asked] = []
        self.open_connections = 0
        """Clients that are connected now."""
        self._closed = trio.lowlevel.ParkingLot()

    async def wait_none_open(self) -> None:
        """Wait until no client is connected. Cancellation: nothing has changed."""
        while self.open_connections:
            await self._closed.park()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection until the client leaves or a reply ends it."""
        self.open_connections += 1
        connection = h11.Connection(h11.SERVER)
        try:
            async with stream:
                while await self._serve_one(connection, stream):
                    connection.start_next_cycle()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass  # the client has gone, as clients do
        finally:
            self.open_connections -= 1
            self._closed.unpark_all()

    async def _serve_one(self, connection: h11.Connection, stream: trio.SocketStream) -> bool:
        """Serve one request; gives whether the connection can carry another one."""
        asked = await _receive(connection, stream)
        if asked is None:
            return False
        self.asked.append(asked)
        reply = self.answer(asked)
        if reply.hang:
            while await stream.receive_some(_READ_BYTES):
                pass  # returns nothing once the client has closed
            return False
        await trio.sleep(reply.delay_s)
        headers = {"content-length": str(len(reply.body)), **reply.headers}
        head = h11.Response(status_code=reply.status, headers=list(headers.items()))
        await stream.send_all(connection.send(head))
        pieces = _tenths(reply.body) if reply.pause_s else [reply.body]
        if reply.drop:
            pieces = [reply.body[: len(reply.body) // 2]]
        for piece in pieces:
            await stream.send_all(connection.send(h11.Data(data=piece)))
            await trio.sleep(reply.pause_s)
        if reply.drop:
            return False
        await stream.send_all(connection.send(h11.EndOfMessage()))
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE


@asynccontextmanager
async def open_http_double(answer: Callable[[Asked], Reply]) -> AsyncIterator[HttpDouble]:
    """Serve on a free port of 127.0.0.1 for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        double = HttpDouble(answer, f"http://127.0.0.1:{port}")
        await nursery.start(partial(trio.serve_listeners, double.serve, [listener]))
        yield double
        nursery.cancel_scope.cancel()


async def _receive(connection: h11.Connection, stream: trio.SocketStream) -> Asked | None:
    """Read one request to its end; None: the client has closed."""
    request: h11.Request | None = None
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(_READ_BYTES))
            case h11.Request() as request:
                pass
            case h11.EndOfMessage():
                break
            case h11.ConnectionClosed():
                return None
    assert request is not None  # h11 gives no end before a request
    target = urlsplit(request.target.decode("ascii"))
    return Asked(
        path=unquote(target.path),
        params=parse_qs(target.query),
        headers={name.decode(): value.decode() for name, value in request.headers},
    )


def _tenths(body: bytes) -> list[bytes]:
    size = max(1, len(body) // 10)
    return [body[start : start + size] for start in range(0, len(body), size)]
