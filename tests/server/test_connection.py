"""One connection over a stream in memory, on the virtual clock: times, firewalls, endings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from server.connection import Connection, ConnectionLimits, hypercorn_config
from server.connections import Connections

LIMITS = ConnectionLimits()
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        return
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


@asynccontextmanager
async def connected(
    application: Any = app, limits: ConnectionLimits = LIMITS
) -> AsyncIterator[tuple[trio.abc.Stream, Connection, Connections]]:
    ours, theirs = memory_stream_pair()
    connections = Connections()
    connection = Connection(
        wrap_app(application, 0, "asgi"),
        hypercorn_config(limits),
        WorkerContext(None),
        {},
        ours,
        limits,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connections.tick, limits.tick_s())
        nursery.start_soon(connections.serve, connection)
        yield theirs, connection, connections
        nursery.cancel_scope.cancel()


async def read(peer: trio.abc.Stream, start: bytes) -> bytes:
    data = b""
    while len(data) < len(start):
        data += bytes(await peer.receive_some())
    assert data.startswith(start)
    return data


async def test_connection_without_a_request(autojump_clock: MockClock) -> None:
    """A connection on which no request comes ends after the keep-alive time."""
    async with connected() as (peer, _, connections):
        began = trio.current_time()
        await peer.send_all(REQUEST[:20])
        assert await peer.receive_some() == b""
        assert 15 <= trio.current_time() - began <= 15 + LIMITS.tick_s()
        await connections.wait_empty()


async def test_connection_between_requests(autojump_clock: MockClock) -> None:
    """The keep-alive time begins anew after each answer."""
    async with connected() as (peer, _, _connections):
        for _ in range(3):
            await peer.send_all(REQUEST)
            await read(peer, b"HTTP/1.1 204")
            await trio.sleep(14)
        began = trio.current_time()
        assert await peer.receive_some() == b""
        assert trio.current_time() - began <= 1 + LIMITS.tick_s()


async def test_websocket_that_answers_pings(autojump_clock: MockClock) -> None:
    """Pings come each 20 s; who answers is kept, who is silent for 50 s is dropped."""
    async with connected() as (peer, _, connections):
        await peer.send_all(UPGRADE)
        await read(peer, b"HTTP/1.1 101")
        began = trio.current_time()
        for number in range(1, 11):
            await read(peer, b"\x89\x00")
            late = trio.current_time() - began - 20 * number
            assert 0 <= late <= 2 * number
            await peer.send_all(b"\x8a\x80\x00\x00\x00\x00")
        silent = trio.current_time()
        await read(peer, b"\x89\x00")
        await read(peer, b"\x89\x00")
        assert await peer.receive_some() == b""
        assert 50 <= trio.current_time() - silent <= 52
        await connections.wait_empty()


async def test_request_that_takes_long(autojump_clock: MockClock) -> None:
    """A response may be silent for as long as it likes: neither pings nor times concern it."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await trio.sleep(3600)
        await send({"type": "http.response.body", "body": b"done"})

    async with connected(slow) as (peer, _, _connections):
        await peer.send_all(REQUEST)
        await read(peer, b"HTTP/1.1 200")
        await read(peer, b"4\r\ndone\r\n")
        assert trio.current_time() >= 3600


async def test_handler_that_does_not_end(autojump_clock: MockClock) -> None:
    """A handler that does not listen has the linger time after its peer left; then it ends."""
    ended: list[float] = []

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    async with connected(deaf) as (peer, _, connections):
        await peer.send_all(UPGRADE)
        await read(peer, b"HTTP/1.1 101")
        left = trio.current_time()
        await peer.aclose()
        await connections.wait_empty()
        assert ended == [pytest.approx(left + LIMITS.linger_s)]


async def test_connection_that_is_ended_with_a_code(autojump_clock: MockClock) -> None:
    """`end` says goodbye once, with the code, and nothing follows."""
    async with connected() as (peer, connection, connections):
        await peer.send_all(UPGRADE)
        await read(peer, b"HTTP/1.1 101")
        connection.end("drained", code=1012)
        connection.end("again", code=1011)
        assert not connection.wire.is_open
        assert await read(peer, b"\x88\x02") == b"\x88\x02\x03\xf4"
        assert await peer.receive_some() == b""
        await connections.wait_empty()


async def test_connection_that_is_cancelled() -> None:
    """A cancel from outside closes the stream and counts the connection out."""
    async with trio.open_nursery() as nursery:
        ours, theirs = memory_stream_pair()
        connections = Connections()
        config = hypercorn_config(LIMITS)
        wrapped = wrap_app(app, 0, "asgi")
        connection = Connection(wrapped, config, WorkerContext(None), {}, ours, LIMITS)
        nursery.start_soon(connections.serve, connection)
        await theirs.send_all(UPGRADE)
        await wait_all_tasks_blocked()
        assert connections.statistics().websockets == 1
        nursery.cancel_scope.cancel()
    assert connections.statistics().open == 0
    assert connections.statistics().total == 1
    assert connection.wire.dead
