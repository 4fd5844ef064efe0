"""A Python client that resumes by itself: a lost connection costs time and never a token.

    client = Client("http://127.0.0.1:8000")
    async with client.start("/stream", {"request": {"input": "…"}}) as stream:
        async for message in stream:
            ...

It gives out a session's messages in order, each once, up to the terminal one, however often the
connection is lost, and it believes nothing: what the server repeats is dropped, and where something
is missing it asks again. `Fold` keeps the text of each part, attempts and snapshots included. Must
not import the engine.
"""

from __future__ import annotations

import json
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

Message = dict[str, Any]

TERMINAL = frozenset({"result", "cancelled", "complete", "completed"})
"""Types that end a session, besides `error` and, for chats, `response`."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
"""The wait before a reconnect doubles from one to the other, and is cut by up to a half at random:
a thousand clients of a server that restarts do not come back in one moment."""

CONNECT_S = 10.0
"""The longest that a connection may take to open."""

CLOSE_S = 1.0
"""The longest that saying goodbye may take."""

BUFFERED = 64
"""Messages that wait for a caller who is slow; then the connection is not read."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class Refused(Exception):
    """The server refused the request; `message` is its answer."""

    def __init__(self, message: Message) -> None:
        super().__init__(message.get("error") or message.get("message") or "refused")
        self.message = message


class Unreachable(Exception):
    """The server could not be reached for as long as the client was willing to try."""


class Unsure(Unreachable):
    """The connection was lost between the request and its first message: it may have begun.

    It is not sent again, for that could run it twice; `GET /api/sessions` tells.
    """


class _Broken(Exception):
    """What arrived cannot follow what was given out; the connection is given up."""


_LOST = (OSError, HandshakeError, ConnectionClosed, trio.TooSlowError, trio.BrokenResourceError)


def is_terminal(message: Message) -> bool:
    """Whether a session's message is its last one."""
    kind = message.get("type")
    if kind == "error":
        return not message.get("refused") and not message.keys() & {"persona_id", "raterName"}
    return kind in TERMINAL or (kind == "response" and message.get("status") == "completed")


class Client:
    """Where a server is, and how to reach it.

    Args:
        url: the server's address, `http://host:port` or `https://…`.
        token: a bearer token, where the server wants one.
        patience_s: how long it goes on trying without receiving anything new.
        jitter: gives numbers from 0 to 1; a test may make it predictable.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        patience_s: float = 60.0,
        jitter: random.Random | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an address of the form http://host:port")
        self.url = url.rstrip("/")
        self.patience_s = patience_s
        self.jitter = jitter or random.Random()
        self._is_secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._is_secure else 80)
        self._netloc = parts.netloc
        self._base = parts.path.rstrip("/")
        self._headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []

    @asynccontextmanager
    async def connect(self, path: str) -> AsyncIterator[WebSocketConnection]:
        """Open one WebSocket, and close it after the block.

        Raises:
            OSError, HandshakeError, trio.TooSlowError: it cannot be opened.

        Cancellation: the goodbye is still said, within a second.
        """
        with trio.fail_after(CONNECT_S):
            stream = _Watched(await self._dial())
        try:
            async with trio.open_nursery() as nursery:
                connection = await self._upgrade(nursery, stream, path)
                try:
                    yield connection
                finally:
                    with trio.move_on_after(CLOSE_S, shield=True):
                        await connection.aclose()
                    nursery.cancel_scope.cancel(reason="the connection is closed")
        except BaseExceptionGroup as group:
            raise _only(group) from None
        finally:
            await trio.aclose_forcefully(stream)

    async def _upgrade(
        self, nursery: trio.Nursery, stream: _Watched, path: str
    ) -> WebSocketConnection:
        with trio.fail_after(CONNECT_S), trio.CancelScope() as opening:
            stream.on_end = opening.cancel
            connection = await wrap_client_stream(
                nursery,
                stream,  # type: ignore[arg-type]  # any stream will do
                self._netloc,
                self._base + path,
                extra_headers=self._headers,
                max_message_size=MAX_MESSAGE_BYTES,
            )
        if opening.cancelled_caught:
            raise HandshakeError("the connection was closed before the upgrade was answered")
        stream.on_end = None
        return connection

    async def _dial(self) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
        if self._is_secure:
            context = ssl.create_default_context()
            context.set_alpn_protocols(["http/1.1"])
            return await trio.open_ssl_over_tcp_stream(
                self._host, self._port, ssl_context=context, https_compatible=True
            )
        return await trio.open_tcp_stream(self._host, self._port)

    @asynccontextmanager
    async def start(self, path: str, request: Message) -> AsyncIterator[Stream]:
        """Start a session and read it; `path` is its protocol's, `/stream` for one."""
        async with _opened(Stream(self, path, request=request)) as stream:
            yield stream

    @asynccontextmanager
    async def follow(
        self, path: str, session_id: str, *, after: str | None = None, snapshot: bool = False
    ) -> AsyncIterator[Stream]:
        """Read a session that exists.

        Args:
            path: any WebSocket's.
            session_id: which session.
            after: the cursor to go on from, `<epoch>:<seq>`; None: from the start.
            snapshot: begin with what the session looks like now, in the place of a replay.
        """
        stream = Stream(self, path, session_id=session_id, after=after, snapshot=snapshot)
        async with _opened(stream):
            yield stream


class _Watched(trio.abc.Stream):
    """A stream that tells of its end: trio-websocket waits for ever for an answer that is lost."""

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        self.on_end: Callable[[], object] | None = None
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data and self.on_end is not None:
            self.on_end()
        return data


@asynccontextmanager
async def _opened(stream: Stream) -> AsyncIterator[Stream]:
    """Run a stream's connection beside the block."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.run)
            try:
                yield stream
            finally:
                nursery.cancel_scope.cancel(reason="the stream is closed")
    except BaseExceptionGroup as group:
        raise _only(group) from None


class Stream:
    """One session's messages, in order, each once, across lost connections.

    Given out are the session's own messages, and the connection's `gap` and `snapshot`. Made by
    `Client.start` and `Client.follow`.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        *,
        request: Message | None = None,
        session_id: str | None = None,
        after: str | None = None,
        snapshot: bool = False,
    ) -> None:
        self._client = client
        self._path = path
        self._request = request
        self.session_id = session_id
        self.after = after
        """The cursor of the last message that was taken from the wire."""
        self.reconnects = 0
        """Connections after the first one."""
        self.repeats = 0
        """Messages that the server sent again, and that were dropped."""
        self.holes = 0
        """Connections that were given up because something was missing."""
        self._wants_snapshot = snapshot
        self._is_cancelled = False
        self._has_asked = False  # the request left, and nothing came back yet
        self._connection: WebSocketConnection | None = None
        self._failure: Exception | None = None
        self._send, self._receive = trio.open_memory_channel[Message](BUFFERED)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Message:
        """Wait for the next message.

        Raises:
            Refused: the server did not take the request, or the session is not there (any more).
            Unreachable: nothing new came for the client's patience. Unsure: see there.

        Cancellation: nothing is lost. Backpressure: a caller who is slow is waited for, and the
        server merges what waits.
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

    # ---- the connection --------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection until the session has ended; runs beside the block."""
        async with self._send:
            try:
                await self._persist()
            except (Refused, Unreachable) as error:
                self._failure = error

    async def _persist(self) -> None:
        wait_s = FIRST_WAIT_S
        tried_since = trio.current_time()
        while True:
            before = self.after
            try:
                if await self._converse():
                    return
                why = "the connection was closed"
            except ConnectionRejected as error:
                if error.status_code < 500:
                    raise Unreachable(
                        f"{self._client.url}{self._path} answered {error.status_code}"
                    ) from None
                why = f"it answered {error.status_code}"
            except _Broken as error:
                self.holes += 1
                why = str(error)
            except _LOST as error:
                why = str(error) or type(error).__name__
            if self._has_asked:
                raise Unsure(f"{self._client.url} was lost before it answered: {why}")
            now = trio.current_time()
            if self.after != before:
                wait_s, tried_since = FIRST_WAIT_S, now
            wait_now_s = wait_s * self._client.jitter.uniform(0.5, 1.0)
            if now + wait_now_s - tried_since > self._client.patience_s:
                raise Unreachable(
                    f"{self._client.url} cannot be reached, tried for "
                    f"{self._client.patience_s:g} s: {why}"
                )
            await trio.sleep(wait_now_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            self.reconnects += 1

    async def _converse(self) -> bool:
        """Use one connection; gives whether the session's end was reached."""
        async with self._client.connect(self._path) as connection:
            self._connection = connection
            try:
                opening = self._opening()
                self._has_asked = self.session_id is None
                await self._say(connection, opening)
                if self._is_cancelled:
                    await self.cancel()
                while True:
                    message = json.loads(await connection.get_message())
                    if await self._hear(message):
                        return True
            finally:
                self._connection = None

    def _opening(self) -> Message:
        if self.session_id is None:
            assert self._request is not None
            return self._request
        subscribe: Message = {"type": "subscribe", "session_id": self.session_id}
        if self._wants_snapshot:
            subscribe["mode"] = "snapshot"
        elif self.after is not None:
            subscribe["after"] = self.after
        return subscribe

    @staticmethod
    async def _say(connection: WebSocketConnection, message: Message) -> None:
        await connection.send_message(json.dumps(message))

    # ---- what it hears ---------------------------------------------------------------------------

    async def _hear(self, message: Message) -> bool:
        if message.get("refused"):
            return await self._refused(message)
        match message.get("type"):
            case "snapshot":
                self._wants_snapshot = False
                self.after = f"{message['epoch']}:{message['seq']}"
                await self._send.send(message)
                return message.get("terminal") is not None
            case "gap":
                if self.after is not None:  # what follows begins there
                    epoch = self.after.rpartition(":")[0]
                    self.after = f"{epoch}:{message['earliest'] - 1}"
                await self._send.send(message)
                return False
        if "seq" not in message or not self._follows(message):
            return False
        self._has_asked = False
        is_first = self.session_id is None
        self.session_id = message["session_id"]
        self.after = f"{message['epoch']}:{message['seq']}"
        await self._send.send(message)
        if is_first and self._is_cancelled:
            await self.cancel()
        return is_terminal(message)

    async def _refused(self, message: Message) -> bool:
        is_known = self.session_id is not None  # then it was a subscription that was refused
        code = message.get("code")
        if code != "shutting_down" and not (code == "overloaded" and is_known):
            raise Refused(message)
        self._has_asked = False  # nothing was started: it may be asked again, here or elsewhere
        raise ConnectionClosed(None)

    def _follows(self, message: Message) -> bool:
        """Whether a message is the next one; False: it was given out before.

        Raises:
            _Broken: something is missing before it, or it repeats only in part.
        """
        if self.after is None:
            epoch, last = message["epoch"], 0
        else:
            epoch, _, digits = self.after.rpartition(":")
            last = int(digits)
        first: int = message.get("first_seq") or message["seq"]
        if message["epoch"] == epoch:
            if message["seq"] <= last:
                self.repeats += 1
                return False
            if first != last + 1:
                raise _Broken(f"offset {first} came after {last}")
        elif first > last + 1:  # a new epoch begins at or before what was seen of the old one
            raise _Broken(f"offset {first} of a new epoch came after {last}")
        return True


class Fold:
    """The text of each part, as the messages so far leave it: attempts and snapshots honoured."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        """By prompt_id, persona_id or stage."""

    def take(self, message: Message) -> None:
        """Take the next message."""
        match message.get("type"):
            case "snapshot":
                self.parts = {_key(part["target"]): part["text"] for part in message["parts"]}
            case "attempt":
                self.parts[_key(message["target"])] = ""
            case "chunk" | "token":
                text = message.get("content") or message.get("chunk") or message.get("token") or ""
                key = _key(message)
                self.parts[key] = self.parts.get(key, "") + text


def _key(target: Message) -> str:
    return str(target.get("prompt_id") or target.get("persona_id") or target.get("stage") or "")


def _only(group: BaseExceptionGroup) -> BaseException:
    """Give what alone is in a group: a nursery that is a detail must not show in errors."""
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return inner
