"""A local OpenAI-compatible server over real sockets, with faults on order.

The one rule: it is a server like any other, spoken to by HTTP alone, and it remembers what was
asked and when each client went away. It speaks `/v1/chat/completions` and `/v1/responses` (streamed
and whole), `/v1/models` and `/v1/embeddings` on 127.0.0.1. Public: users test their own set-up with
it. Must not import the providers.

    async with open_openai_server(answer=lambda request: "Hello.") as server:
        ...  # base_url=server.url
"""

from __future__ import annotations

import json
import math
import select
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import h11
import msgspec
import trio

from engine.testing.openai_wire import (
    JSON,
    chat_answer,
    chat_events,
    embedding_answer,
    event_bytes,
    response_answer,
    response_events,
)

MAX_READ_BYTES = 64 * 1024


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with one request. The default is: nothing."""

    status: int | None = None
    """Answer with this status instead."""
    headers: dict[str, str] = {}
    body: str | None = None
    """The body for `status`; "{key}" in it is replaced by the key that the client sent."""
    only_path: str | None = None
    """Holds for this path only; requests to others are served and leave it in place."""
    after_events: int = 2
    """For the faults in mid-stream: how many events come before."""
    drop: bool = False
    """Break the connection without an end of the body."""
    hang: bool = False
    """Say nothing more."""
    raw: str | None = None
    """Send this in the place of the next event, then end the body properly."""
    event: JSON | None = None
    """Send this event in the place of the next one, then end the body properly."""
    finish: str | None = "stop"
    """The finish reason; None: the body ends without one."""
    done: bool = True
    """Whether `[DONE]` follows."""


class Received(msgspec.Struct, kw_only=True):
    """One request, as it went."""

    method: str
    path: str
    headers: dict[str, str]
    json: JSON
    connection: int
    """Which connection it came by, from 0."""
    is_open: bool = True
    """Whether its answer is being written; false as soon as its client has gone."""
    answered: bool = False
    """Whether the whole answer was sent."""
    gone_at: float | None = None
    """trio's clock when the client closed the connection before the answer was complete."""
    gone: trio.Event = msgspec.field(default_factory=trio.Event)
    """Set at the same moment."""
    stream: trio.SocketStream | None = None
    """The connection."""

    def has_left(self) -> bool:
        """Ask the kernel whether the client has closed the connection, at this very moment.

        `gone_at` comes a little later: when the server's task has had its turn.
        """
        assert self.stream is not None
        number = self.stream.socket.fileno()
        if self.gone_at is not None or number < 0:
            return True
        poll = select.poll()
        poll.register(number, select.POLLRDHUP)
        return bool(poll.poll(0))  # an end or an error


class OpenAIServer:
    """The server's state; `open_openai_server` runs it.

    Args:
        answer: gives the text for a request's JSON.
        reasoning: what it says of its reasoning, where it is asked.
        pace_s: seconds between two events of a stream; 0 sends each event in a segment of its own
            without a pause.
    """

    def __init__(
        self, *, answer: Callable[[JSON], str], reasoning: str = "", pace_s: float = 0.0
    ) -> None:
        self.answer = answer
        self.reasoning = reasoning
        self.pace_s = pace_s
        self.port = 0
        self.requests: list[Received] = []
        self.faults: deque[Fault] = deque()
        """One for each of the next requests."""
        self.last_fault = Fault()
        """The one for all further requests; by default nothing goes wrong."""
        self.open_connections = 0
        self.accepted = 0
        self._none_open = trio.Event()

    @property
    def url(self) -> str:
        """The base URL, with "/v1"."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def open_answers(self) -> int:
        """Answers that are being written to a client that is still there."""
        return sum(received.is_open for received in self.requests)

    def note_accepted(self) -> int:
        """A connection is open; gives its number."""
        self.accepted += 1
        self.open_connections += 1
        return self.accepted - 1

    def note_closed(self) -> None:
        """A connection is closed."""
        self.open_connections -= 1
        if not self.open_connections:
            self._none_open.set()
            self._none_open = trio.Event()

    async def wait_no_connections(self) -> None:
        """Wait until no connection is open.

        Cancellation: at any point; it changes nothing.
        """
        while self.open_connections:
            await self._none_open.wait()
        await trio.lowlevel.checkpoint()

    def next_fault(self, path: str) -> Fault:
        """Take the fault for a request to `path`."""
        if self.faults and self.faults[0].only_path in (None, path):
            return self.faults.popleft()
        return self.last_fault

    def __repr__(self) -> str:
        return f"<OpenAIServer {self.url}: {len(self.requests)} requests>"


@asynccontextmanager
async def open_openai_server(
    *,
    answer: Callable[[JSON], str] = lambda request: "Hello from the test server.",
    reasoning: str = "",
    pace_s: float = 0.0,
    port: int = 0,
) -> AsyncIterator[OpenAIServer]:
    """Run a server for as long as the context is open.

    Args:
        answer: gives the text for a request's JSON.
        reasoning: what it says of its reasoning, where it is asked.
        pace_s: seconds between two events.
        port: 0 takes a free one.

    Cancellation: leaving closes the listener and all connections.
    """
    server = OpenAIServer(answer=answer, reasoning=reasoning, pace_s=pace_s)
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    server.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, partial(_serve, server), listeners))
        yield server
        nursery.cancel_scope.cancel()


async def _serve(server: OpenAIServer, stream: trio.SocketStream) -> None:
    number = server.note_accepted()
    try:
        await _Connection(server, stream, number).run()
    except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
        pass  # the client went away or is no HTTP client; the next one is served all the same
    finally:
        server.note_closed()
        await trio.aclose_forcefully(stream)


class _Dropped(Exception):
    """A fault on order: the connection is to be broken."""


class _Connection:
    def __init__(self, server: OpenAIServer, stream: trio.SocketStream, number: int) -> None:
        self._server = server
        self._stream = stream
        self._number = number
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while (received := await self._receive()) is not None:
            await self._answer_or_see_it_go(received)
            if not received.answered or self._http.our_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _receive(self) -> Received | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._stream.receive_some(MAX_READ_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                break
            else:
                return None
        received = Received(
            method=head.method.decode(),
            path=head.target.decode().partition("?")[0],
            headers={name.decode(): value.decode() for name, value in head.headers},
            json=json.loads(body) if body else {},
            connection=self._number,
            stream=self._stream,
        )
        self._server.requests.append(received)
        return received

    async def _answer_or_see_it_go(self, received: Received) -> None:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                try:
                    while data := await self._stream.receive_some(MAX_READ_BYTES):
                        self._http.receive_data(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass
                received.gone_at = trio.current_time()
                received.gone.set()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                await self._answer(received)
                received.answered = True
            except (_Dropped, trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                received.is_open = False
            nursery.cancel_scope.cancel()

    async def _answer(self, received: Received) -> None:
        fault = self._server.next_fault(received.path)
        if fault.status is not None:
            await self._fail(received, fault, fault.status)
        elif received.path == "/v1/models":
            await self._whole({"object": "list", "data": [{"id": "test-model", "object": "model"}]})
        elif received.path == "/v1/embeddings":
            await self._whole(embedding_answer(received.json))
        elif received.path == "/v1/chat/completions":
            await self._generate(received, fault, chat_events, chat_answer)
        elif received.path == "/v1/responses":
            await self._generate(received, fault, response_events, response_answer)
        else:
            await self._whole({"error": {"message": f"no such path: {received.path}"}}, status=404)

    async def _fail(self, received: Received, fault: Fault, status: int) -> None:
        body = fault.body
        if body is None:
            body = json.dumps({"error": {"message": f"fault {status}", "type": "test_fault"}})
        key = received.headers.get("authorization", "").removeprefix("Bearer ")
        await self._send_head(status, "application/json", fault.headers)
        await self._send(h11.Data(data=body.replace("{key}", key).encode()))
        await self._send(h11.EndOfMessage())

    async def _generate(
        self,
        received: Received,
        fault: Fault,
        events: Callable[..., Iterator[JSON]],
        whole: Callable[..., JSON],
    ) -> None:
        text = self._server.answer(received.json)
        if not received.json.get("stream"):
            await self._whole(whole(received.json, text))
            return
        await self._send_head(200, "text/event-stream", {})
        told = events(received.json, text, reasoning=self._server.reasoning, finish=fault.finish)
        for number, event in enumerate(told):
            if number == fault.after_events and await self._break(fault, number):
                return
            if number and self._server.pace_s:
                await trio.sleep(self._server.pace_s)
            await self._send(h11.Data(data=event_bytes(event, number)))
        if fault.done and received.path == "/v1/chat/completions":
            await self._send(h11.Data(data=b"data: [DONE]\n\n"))
        await self._send(h11.EndOfMessage())

    async def _break(self, fault: Fault, number: int) -> bool:
        """Do what the fault says; whether that was the end of the answer."""
        if fault.drop:
            raise _Dropped
        if fault.hang:
            await trio.sleep(math.inf)
        data = b""
        if fault.raw is not None:
            data = fault.raw.encode()
        elif fault.event is not None:
            data = event_bytes(fault.event, number)
        if data:
            await self._send(h11.Data(data=data))
            await self._send(h11.EndOfMessage())
        return bool(data)

    async def _whole(self, answer: JSON, *, status: int = 200) -> None:
        await self._send_head(status, "application/json", {})
        await self._send(h11.Data(data=json.dumps(answer).encode()))
        await self._send(h11.EndOfMessage())

    async def _send_head(self, status: int, content_type: str, headers: dict[str, str]) -> None:
        fields = {"content-type": content_type, "transfer-encoding": "chunked", **headers}
        await self._send(h11.Response(status_code=status, headers=list(fields.items())))

    async def _send(self, event: Any) -> None:
        data = self._http.send(event)
        if data:
            await self._stream.send_all(data)
