"""HTTP by h11: an answer whose events are listened to, and small requests of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import trio

from benchmarks.load.adapters.interface import Conversation, Sent
from benchmarks.load.limits import CONNECT_S, MAX_BODY_BYTES, READ_BYTES
from benchmarks.load.target import Target
from benchmarks.load.wires.dialing import Stream, dial, read
from benchmarks.load.wires.events import BadEvent, EventSplitter
from benchmarks.load.wires.interface import LOST, Lost, Take, alone

Headers = tuple[tuple[str, str], ...]


class EventStream:
    """One open connection, and the answer that comes by it; `open_events` makes it."""

    def __init__(
        self,
        stream: Stream,
        target: Target,
        headers: Headers,
        take: Take,
        conversation: Conversation,
        bytes_per_s: float | None,
        nursery: trio.Nursery,
    ) -> None:
        self.ended = trio.Event()
        self.why = ""
        self._stream = stream
        self._target = target
        self._headers = headers
        self._take = take
        self._conversation = conversation
        self._bytes_per_s = bytes_per_s
        self._nursery = nursery
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, sent: Sent) -> None:
        """Send the request; its answer is read from now on. Raises: Lost."""
        try:
            await self._stream.send_all(
                request_bytes(self._http, self._target, self._headers, sent)
            )
        except LOST:
            self.end("closed")
            raise Lost("closed") from None
        self._nursery.start_soon(self._listen)

    def cut(self) -> None:
        """Break it off."""
        self.end("cut")

    def end(self, why: str) -> None:
        """Note that nothing more will arrive."""
        if not self.ended.is_set():
            self.why = why
            self.ended.set()

    async def _listen(self) -> None:
        try:
            self.end(await self._answer())
        except (BadEvent, h11.RemoteProtocolError):
            self.end("bad_http")
        except LOST:
            self.end("closed")

    async def _answer(self) -> str:
        """Hand out the answer's events; gives how it ended."""
        splitter = EventSplitter()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await read(self._stream, self._bytes_per_s))
            elif isinstance(event, h11.Response):
                if event.status_code != 200:
                    return f"http_{event.status_code}"
                self._conversation.answered(
                    {name.decode().lower(): value.decode() for name, value in event.headers}
                )
            elif isinstance(event, h11.Data):
                for data, name in splitter.feed(bytes(event.data)):
                    if not self.ended.is_set():  # it was cut: what comes now has not arrived
                        self._take(data, name)
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return "closed"


@asynccontextmanager
async def open_events(
    target: Target,
    headers: Headers,
    take: Take,
    conversation: Conversation,
    *,
    bytes_per_s: float | None = None,
) -> AsyncIterator[EventStream]:
    """Open a connection around the block, for one answer of events.

    Raises:
        Lost: it cannot be opened.

    Cancellation: at any point; the connection is closed.
    """
    stream = await dial(target, is_slow=bytes_per_s is not None)
    try:
        async with trio.open_nursery() as nursery:
            events = EventStream(stream, target, headers, take, conversation, bytes_per_s, nursery)
            yield events
            nursery.cancel_scope.cancel(reason="the connection is closed")
    except BaseExceptionGroup as group:
        raise alone(group) from None
    finally:
        await trio.aclose_forcefully(stream)


async def ask(target: Target, headers: Headers, sent: Sent) -> tuple[int, bytes]:
    """Make a plain request on a connection of its own; gives status and body.

    Raises:
        Lost: there was no answer.

    Cancellation: at any point; the connection is closed.
    """
    try:
        with trio.fail_after(CONNECT_S):
            stream = await dial(target)
            try:
                return await _ask(stream, target, headers, sent)
            finally:
                await trio.aclose_forcefully(stream)
    except trio.TooSlowError:
        raise Lost("no_answer") from None
    except h11.RemoteProtocolError:
        raise Lost("bad_http") from None
    except LOST:
        raise Lost("closed") from None


async def _ask(
    stream: Stream,
    target: Target,
    headers: Headers,
    sent: Sent,
) -> tuple[int, bytes]:
    http = h11.Connection(h11.CLIENT)
    await stream.send_all(request_bytes(http, target, headers, sent))
    status, body = 0, b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some(READ_BYTES)))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
            if len(body) > MAX_BODY_BYTES:
                raise Lost("too_large")
        elif isinstance(event, h11.EndOfMessage):
            return status, body


def request_bytes(http: h11.Connection, target: Target, headers: Headers, sent: Sent) -> bytes:
    """Write an HTTP request."""
    fields = [("Host", target.netloc), *headers, *sent.headers]
    if sent.method != "GET":
        fields += [("Content-Type", "application/json"), ("Content-Length", str(len(sent.body)))]
    request = h11.Request(method=sent.method, target=target.url(sent.path), headers=fields)
    data = http.send(request) or b""
    if sent.body:
        data += http.send(h11.Data(data=sent.body)) or b""
    return data + (http.send(h11.EndOfMessage()) or b"")
