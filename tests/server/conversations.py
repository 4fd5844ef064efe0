"""Clients of the WebSocket transport in memory: the engine is real, the socket is two channels.

Whatever a client hears is held to the document of the wire, in every test that converses.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio

from engine import ANYONE, Engine, Limits, MemoryJournal, Viewer, all_pipelines, open_engine
from engine.providers.interface import Directory
from server.hub import Bounds, Hub
from server.protocols import all_codecs
from server.transports.websocket import Fixed, serve_socket
from tests.server.messages.held import hold

Message = dict[str, Any]


class Client:
    """One WebSocket, from the client's side; it is also what the transport takes for a socket."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.scope: dict[str, Any] = {}
        self.seen: list[Message] = []
        self.closed: tuple[int, str] | None = None
        """Code and reason, once the server has closed."""
        self._up, self._heard = trio.open_memory_channel[str | bytes | None](10_000)
        self._said, self._down = trio.open_memory_channel[str](100_000)
        self.left = trio.CancelScope()

    # ---- the transport's side

    async def accept(self, headers: Any = None, subprotocol: str | None = None) -> None:
        await trio.lowlevel.checkpoint()

    async def receive(self) -> str | bytes | None:
        return await self._heard.receive()

    async def send(self, data: str) -> None:
        if self.closed is None:
            self._said.send_nowait(data)
        await trio.lowlevel.checkpoint()

    async def close(self, code: int, reason: str = "") -> None:
        self.closed = self.closed or (code, reason)
        self._said.close()
        await trio.lowlevel.checkpoint()

    # ---- the client's side

    async def say(self, message: object) -> None:
        """Send a message: an object as JSON, text and bytes as they are."""
        is_raw = message is None or isinstance(message, str | bytes)
        await self._up.send(message if is_raw else json.dumps(message))  # type: ignore[arg-type]

    async def hear(self) -> Message:
        """Wait for the next message."""
        with trio.fail_after(3600):  # of a virtual clock: nothing will come any more
            message: Message = json.loads(await self._down.receive())
        hold(message, self.protocol, "server")
        self.seen.append(message)
        return message

    async def until(self, *kinds: str) -> Message:
        """Read on to the next message of one of these types."""
        while (message := await self.hear())["type"] not in kinds:
            pass
        return message

    async def to_end(self, session_id: str | None = None) -> list[Message]:
        """Read to the next terminal message (of one session), and give what came on the way."""
        start = len(self.seen)
        while not is_terminal(message := await self.hear()) or (
            session_id is not None and message["session_id"] != session_id
        ):
            pass
        return self.seen[start:]

    async def ask(self, message: object) -> Message:
        """Say something, and give the next message."""
        await self.say(message)
        return await self.hear()

    def of(self, kind: str) -> list[Message]:
        """Give all messages of a type that were heard."""
        return [message for message in self.seen if message["type"] == kind]

    def leave(self) -> None:
        """Lose the connection."""
        self.left.cancel()


def is_terminal(message: Message) -> bool:
    if message["type"] == "error":
        return not message.get("refused") and "persona_id" not in message
    return message["type"] in ("result", "response", "completed", "cancelled")


class House:
    """An engine, and clients that converse with it."""

    def __init__(self, engine: Engine, hub: Hub, nursery: trio.Nursery) -> None:
        self.engine = engine
        self.hub = hub
        self._nursery = nursery

    def connect(
        self,
        *,
        max_sessions: int = 200,
        viewer: Viewer = ANYONE,
        protocol: str = "generate",
        expires_at: float | None = None,
        fixed: Fixed | None = None,
    ) -> Client:
        """Open one more WebSocket, on `/stream` unless another protocol is named."""
        client = Client(protocol)

        async def serve() -> None:
            with client.left:
                codec = self.hub.codecs[protocol]
                await serve_socket(
                    client,
                    self.hub,
                    codec,
                    viewer,
                    max_sessions=max_sessions,
                    fixed=fixed,
                    expires_at=expires_at,
                )

        self._nursery.start_soon(serve)
        return client


@asynccontextmanager
async def open_house(
    providers: Directory,
    *,
    limits: Limits | None = None,
    bounds: Bounds | None = None,
    random: Random | None = None,
) -> AsyncIterator[House]:
    """Run an engine with all pipelines and the memory journal."""
    limits = limits or Limits()
    async with open_engine(
        providers=providers,
        pipelines=all_pipelines(),
        journal=MemoryJournal(limits),
        limits=limits,
        random=random,
    ) as engine:
        hub = Hub(engine, all_codecs(), bounds=bounds or Bounds(), drain_s=limits.drain_s)
        async with trio.open_nursery() as nursery:
            yield House(engine, hub, nursery)
            nursery.cancel_scope.cancel()
