"""A Python client that resumes by itself: a lost connection costs time and never a token.

    async with open_client("http://127.0.0.1:8000") as client:
        async with client.start("/stream", {"request": {"input": "…"}}) as stream:
            async for message in stream:
                ...

It reconnects with backoff and jitter and goes on after the last message that it gave out. Its use
ends with the session's terminal message. `fold` keeps the text of each part, attempts and snapshots
included. Must not import the engine.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    ConnectionTimeout,
    HandshakeError,
    WebSocketConnection,
    open_websocket_url,
)

Message = dict[str, Any]

TERMINAL = frozenset({"result", "cancelled", "complete", "completed"})
"""Types that end a session, besides `error` and, for chats, `response`."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
CONNECT_S = 10.0
_LOST = (OSError, HandshakeError, ConnectionClosed, ConnectionTimeout, trio.TooSlowError)
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class Refused(Exception):
    """The server refused the request; `message` is its answer."""

    def __init__(self, message: Message) -> None:
        super().__init__(message.get("error") or message.get("message") or "refused")
        self.message = message


class Unreachable(Exception):
    """The server could not be reached for as long as the client was willing to try."""


def is_terminal(message: Message) -> bool:
    """Whether a session's message is its last one."""
    kind = message.get("type")
    if kind == "error":
        return not message.get("refused") and "persona_id" not in message
    return kind in TERMINAL or (kind == "response" and message.get("status") == "completed")


class Client:
    """Where a server is, and how to reach it.

    Args:
        url: the server's address, `http://host:port` or `https://…`.
        token: a bearer token, where the server wants one.
        patience_s: how long a lost connection is tried again.
    """

    def __init__(self, url: str, *, token: str = "", patience_s: float = 60.0) -> None:
        base = url.rstrip("/")
        self.url = base
        self._socket_url = "ws" + base.removeprefix("http")
        self._headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
        self.patience_s = patience_s

    @asynccontextmanager
    async def connect(self, path: str) -> AsyncIterator[WebSocketConnection]:
        """Open one WebSocket.

        Raises:
            OSError, HandshakeError: it cannot be opened.
        """
        with trio.fail_after(CONNECT_S):
            connection = open_websocket_url(
                self._socket_url + path,
                extra_headers=self._headers,
                max_message_size=MAX_MESSAGE_BYTES,
            )
            opened = await connection.__aenter__()
        try:
            yield opened
        finally:
            with trio.move_on_after(CONNECT_S):
                await connection.__aexit__(None, None, None)

    @asynccontextmanager
    async def start(self, path: str, request: Message) -> AsyncIterator[Stream]:
        """Start a session and read it."""
        async with _opened(Stream(self, path, request)) as stream:
            yield stream

    @asynccontextmanager
    async def follow(
        self, path: str, session_id: str, *, after: str | None = None
    ) -> AsyncIterator[Stream]:
        """Read a session that exists."""
        stream = Stream(self, path, None, session_id=session_id, after=after)
        async with _opened(stream):
            yield stream


@asynccontextmanager
async def _opened(stream: Stream) -> AsyncIterator[Stream]:
    """Run a stream's connection beside the block."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.run)
        try:
            yield stream
        finally:
            nursery.cancel_scope.cancel(reason="the stream is closed")


class Stream:
    """One session's messages, in order, each once, across lost connections."""

    def __init__(
        self,
        client: Client,
        path: str,
        request: Message | None,
        *,
        session_id: str | None = None,
        after: str | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._request = request
        self.session_id = session_id
        self.after = after
        """The cursor of the last message that was given out."""
        self.reconnects = 0
        self._seq = int(after.rpartition(":")[2]) if after else 0
        self._is_cancelled = False
        self._connection: WebSocketConnection | None = None
        self._failure: Exception | None = None
        self._send, self._receive = trio.open_memory_channel[Message](64)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Message:
        """Wait for the next message.

        Raises:
            Refused: the server did not take the request.
            Unreachable: it could not be reached again in time.
        """
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None

    async def cancel(self) -> None:
        """Ask for the session's cancel; its terminal message says how it came out.

        It is asked again after a reconnect, so it cannot get lost.
        """
        self._is_cancelled = True
        if self._connection is not None and self.session_id is not None:
            try:
                await self._say(self._connection, {"type": "cancel", "session_id": self.session_id})
            except ConnectionClosed:
                pass

    async def run(self) -> None:
        """Keep a connection, for the stream's block."""
        async with self._send:
            lost_at: float | None = None
            wait_s = FIRST_WAIT_S
            while True:
                before = self._seq
                try:
                    if await self._converse():
                        return
                except Refused as refused:
                    self._failure = refused
                    return
                except ConnectionRejected as error:
                    self._failure = Unreachable(f"{self._client.url} answered {error.status_code}")
                    return
                except _LOST:
                    pass
                now = trio.current_time()
                if self._seq > before:
                    lost_at, wait_s = None, FIRST_WAIT_S
                lost_at = now if lost_at is None else lost_at
                if now - lost_at > self._client.patience_s or (
                    self.session_id is None and self.reconnects == 0
                ):
                    self._failure = Unreachable(f"{self._client.url} cannot be reached")
                    return
                self.reconnects += 1
                await trio.sleep(wait_s * random.uniform(0.5, 1.0))
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _converse(self) -> bool:
        async with self._client.connect(self._path) as connection:
            self._connection = connection
            try:
                await self._say(connection, self._opening())
                if self._is_cancelled:
                    await self.cancel()
                while True:
                    if await self._hear(json.loads(await connection.get_message())):
                        return True
            finally:
                self._connection = None

    def _opening(self) -> Message:
        if self.session_id is None:
            assert self._request is not None
            return self._request
        subscribe: Message = {"type": "subscribe", "session_id": self.session_id}
        if self.after is not None:
            subscribe["after"] = self.after
        return subscribe

    async def _hear(self, message: Message) -> bool:
        if message.get("refused"):
            raise Refused(message)
        if message.get("type") == "cancel_result":
            return False
        seq = message.get("seq")
        if seq is not None and message.get("type") != "snapshot":
            self.session_id = message["session_id"]
            self.after = f"{message['epoch']}:{seq}"
            self._seq = seq
        await self._send.send(message)
        if self._is_cancelled and seq == 1:
            await self.cancel()
        return seq is not None and is_terminal(message)

    @staticmethod
    async def _say(connection: WebSocketConnection, message: Message) -> None:
        await connection.send_message(json.dumps(message))


class Fold:
    """The text of each part, as the messages so far leave it: attempts and snapshots honoured."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}

    def take(self, message: Message) -> None:
        """Take the next message."""
        match message.get("type"):
            case "snapshot":
                self.parts = {_key(part["target"]): part["text"] for part in message["parts"]}
            case "attempt":
                self.parts[_key(message["target"])] = ""
            case "chunk" | "token":
                text = message.get("content") or message.get("chunk") or message.get("token") or ""
                key = message.get("prompt_id") or message.get("persona_id") or message.get("stage")
                self.parts[key or ""] = self.parts.get(key or "", "") + text


def _key(target: Message) -> str:
    return str(target.get("prompt_id") or target.get("persona_id") or target.get("stage") or "")


@asynccontextmanager
async def open_client(url: str, **options: Any) -> AsyncIterator[Client]:
    """Open a client; see `Client` for the options."""
    yield Client(url, **options)
