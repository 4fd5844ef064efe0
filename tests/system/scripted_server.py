"""A WebSocket server that plays one session's log, and loses connections where a test says so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

Message = dict[str, Any]


def make_log(count: int, *, session_id: str = "s1", epoch: str = "e1") -> list[Message]:
    """Give a log of so many messages: chunks, and a result at the end."""
    common = {"session_id": session_id, "epoch": epoch}
    chunks = [
        {"type": "chunk", "prompt_id": "p", "content": f"{seq},", "seq": seq, **common}
        for seq in range(1, count)
    ]
    return [*chunks, {"type": "result", "content": "{}", "seq": count, **common}]


class Script:
    """What the server does with each connection, in order; the last line goes on for all others.

    A line is a function of the connection and the script; it returns to close as usual, and may
    call `cut` to lose the connection without a word.
    """

    def __init__(self, log: list[Message], *lines: Callable[..., Any]) -> None:
        self.log = log
        self.lines = lines
        self.connections = 0
        self.said: list[Message] = []
        """What clients said, in order."""

    async def serve(self, request: WebSocketRequest) -> None:
        line = self.lines[min(self.connections, len(self.lines) - 1)]
        self.connections += 1
        if line is reject:
            await request.reject(503)
            return
        if line is forbid:
            await request.reject(403)
            return
        connection = await request.accept()
        try:
            await line(connection, self)
        except ConnectionClosed:
            pass

    async def hear(self, connection: WebSocketConnection) -> int:
        """Take the opening message; gives the offset after which to play."""
        message = json.loads(await connection.get_message())
        self.said.append(message)
        return int((message.get("after") or ":0").rpartition(":")[2])

    async def play(
        self, connection: WebSocketConnection, after: int, until: int | None = None
    ) -> None:
        """Send what the log has after an offset."""
        for message in self.log:
            if after < message["seq"] <= (len(self.log) if until is None else until):
                await connection.send_message(json.dumps(message))


async def cut(connection: WebSocketConnection) -> None:
    """Lose the connection as a network does."""
    await trio.aclose_forcefully(connection._stream)


async def reject(connection: WebSocketConnection, script: Script) -> None:
    """Answer the upgrade with 503."""


async def forbid(connection: WebSocketConnection, script: Script) -> None:
    """Answer the upgrade with 403."""


async def play_all(connection: WebSocketConnection, script: Script) -> None:
    """Send everything that was asked for, and wait for the client to close."""
    await script.play(connection, await script.hear(connection))
    while True:
        script.said.append(json.loads(await connection.get_message()))


def play_until(last: int, code: int | None = None) -> Callable[..., Any]:
    """Send up to an offset; then close with a code, or lose the connection."""

    async def line(connection: WebSocketConnection, script: Script) -> None:
        await script.play(connection, await script.hear(connection), last)
        if code is None:
            await cut(connection)
        else:
            await connection.aclose(code, "")

    return line


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[str]:
    """Serve a script; gives the address. An error in the block comes out as it is."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(serve_websocket, script.serve, "127.0.0.1", 0, ssl_context=None)
        )
        try:
            yield f"http://127.0.0.1:{server.port}"
        except Exception as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
