"""A WebSocket server that speaks StreamGenerate and keeps to a script: delays and faults, planted.

The load tool is held against it: what it reports has to be what was planted here.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

Fault = Literal["", "lost", "doubled", "late", "uncancelled", "chatty", "error", "cut"]


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """How one request is answered."""

    first_s: float = 0.02
    """To the first token, counted from the request's arrival."""
    gap_s: float = 0.01
    tokens: int = 10
    fault: Fault = ""


class Session:
    """One request; its log is kept, so that a client can come back to it."""

    def __init__(self, number: int, script: Script) -> None:
        self.session_id = f"session-{number}"
        self.script = script
        self.log: list[dict[str, Any]] = []
        self.grown = trio.Event()
        self.first_after_s = 0.0
        """When the first token went out, after the request: the planned delay and our own lag."""
        self.cancelled_by: trio.CancelScope | None = None

    def add(self, kind: str, **fields: Any) -> None:
        seq = len(self.log) + 1
        common = {"session_id": self.session_id, "epoch": "e1", "seq": seq}
        self.log.append({"type": kind, **fields, **common})
        self.grown.set()
        self.grown = trio.Event()

    async def run(self) -> None:
        script, began_at = self.script, trio.current_time()
        self.add("phase_start", phase="idea")
        with trio.CancelScope() as scope:
            if script.fault != "uncancelled":
                self.cancelled_by = scope
            for token in range(1, script.tokens + 1):
                due_s = script.first_s + (token - 1) * script.gap_s
                late_s = 1.0 if script.fault == "late" else 0.0
                await trio.sleep_until(began_at + due_s + late_s)
                self.add("chunk", prompt_id="p", content=" word", tokens=token)
                if token == 1:
                    self.first_after_s = trio.current_time() - began_at
        if scope.cancelled_caught:
            self.add("cancelled", receipt={"upstream_closed_ms": 1.5})
            if script.fault == "chatty":
                await trio.sleep(0.05)
                self.add("chunk", prompt_id="p", content=" word", tokens=999)
        elif script.fault == "error":
            self.add("error", code="provider_timeout")
        else:
            self.add("result", content="{}")


class Double:
    """The server."""

    def __init__(
        self,
        script: Callable[[int], Script],
        before: Callable[[], Awaitable[None]] | None,
        scheme: str,
    ) -> None:
        self._scheme = scheme
        self.script = script
        self.before = before
        self.port = 0
        self.sessions: dict[str, Session] = {}
        self.nursery: trio.Nursery
        self._begun = trio.Event()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    async def wait_sessions(self, number: int) -> None:
        """Wait until so many have begun."""
        while len(self.sessions) < number:
            await self._begun.wait()

    async def serve(self, request: WebSocketRequest) -> None:
        connection = await request.accept()
        try:
            async with trio.open_nursery() as nursery:
                await self._converse(connection, nursery)
                nursery.cancel_scope.cancel()
        except* ConnectionClosed:
            pass

    async def _converse(self, connection: WebSocketConnection, nursery: trio.Nursery) -> None:
        while True:
            message = json.loads(await connection.get_message())
            if message.get("type") == "subscribe":
                session = self.sessions[message["session_id"]]
                after = int(message["after"].rpartition(":")[2])
                nursery.start_soon(self._send, connection, session, after)
            elif message.get("type") == "cancel":
                scope = self.sessions[message["session_id"]].cancelled_by
                if scope is not None:
                    scope.cancel()
            else:
                found = re.search(r"load request number (\d+) \.", message["request"]["input"])
                assert found is not None
                session = Session(int(found[1]), self.script(int(found[1])))
                self.sessions[session.session_id] = session
                self._begun.set()
                self._begun = trio.Event()
                if self.before is not None:
                    await self.before()
                self.nursery.start_soon(session.run)
                nursery.start_soon(self._send, connection, session, 0)

    async def _send(self, connection: WebSocketConnection, session: Session, after: int) -> None:
        fault, place = session.script.fault, after
        while True:
            while place >= len(session.log):
                await session.grown.wait()
            message = session.log[place]
            place += 1
            if fault == "lost" and message["seq"] == 5:
                continue
            await connection.send_message(json.dumps(message))
            if fault == "doubled" and message["seq"] == 5:
                await connection.send_message(json.dumps(message))
            if fault == "cut" and message["seq"] == 5:
                await connection.aclose(1012)


@asynccontextmanager
async def open_double(
    script: Callable[[int], Script],
    *,
    before: Callable[[], Awaitable[None]] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Double]:
    """Serve around the block.

    Args:
        script: gives what happens to a request of this number.
        before: is awaited before a request begins.
        tls: serve over TLS.
    """
    double = Double(script, before, "https" if tls else "http")
    async with trio.open_nursery() as nursery:
        double.nursery = nursery
        server = await nursery.start(
            partial(serve_websocket, double.serve, "127.0.0.1", 0, tls, handler_nursery=nursery)
        )
        double.port = server.port
        yield double
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_words_server() -> AsyncIterator[str]:
    """Serve what docs/how-to/load_adapter.py speaks, around the block; gives its address."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(serve_websocket, _words, "127.0.0.1", 0, None, handler_nursery=nursery)
        )
        yield f"http://127.0.0.1:{server.port}"
        nursery.cancel_scope.cancel()


async def _words(request: WebSocketRequest) -> None:
    connection = await request.accept()

    async def write(words: int) -> None:
        for number in range(words):
            await connection.send_message(json.dumps({"word": f"word {number}"}))
            await trio.sleep(0.01)
        await connection.send_message('{"done": true}')

    try:
        async with trio.open_nursery() as nursery:
            asked = json.loads(await connection.get_message())
            nursery.start_soon(write, asked["words"])
            assert json.loads(await connection.get_message()) == {"stop": True}
            nursery.cancel_scope.cancel()
        await connection.send_message('{"stopped": true}')
    except* ConnectionClosed:
        pass
