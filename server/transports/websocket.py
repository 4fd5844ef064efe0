"""One WebSocket: a reader that always drains, a writer, and a watcher of the drain.

The one rule: a well-formed frame never ends the connection, whatever is in it; it is done or
refused. Several sessions run on one connection at once, each message says whose it is. Knows no
protocol's words: what a message means is the codec's business.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any, Protocol

import msgspec
import trio

from engine import (
    JSON,
    AntiphonError,
    Entry,
    InvalidRequest,
    NotFound,
    Overloaded,
    SessionRecord,
    Unauthenticated,
    UnsupportedType,
    Viewer,
)
from server.frames import text_frame
from server.hub import Hub, gap_json
from server.protocols.control import (
    Cancel,
    Ping,
    Select,
    Subscribe,
    interpret,
    parse_json,
    request_id_of,
)
from server.protocols.encoding import Encoder, refusal, to_json
from server.protocols.interface import Codec, Start
from server.transports.writer import Feed, Writer
from server.wire import WIRE, Wire

_log = logging.getLogger("antiphon.server")

DONE, POLICY, INTERNAL, RESTART = 1000, 1008, 1011, 1012
"""Close codes (contract 0, Liveness)."""

LAST_WORDS_S = 0.5
"""How long a closing connection may take for what was still to be written."""

FAR_OFF_S = 366 * 24 * 3600.0
"""No connection lives so long: a token that is valid for longer needs no timer."""

REMEMBERED_REQUESTS = 1024
"""Requests of a connection that can be cancelled, or asked for, by their `request_id`."""


class Socket(Protocol):
    """What is used of Quart's websocket."""

    scope: Any

    async def accept(self, headers: Any = None, subprotocol: str | None = None) -> None:
        """Accept the upgrade."""

    def receive(self) -> Awaitable[str | bytes | None]:
        """Wait for a message; an empty binary one comes as None."""

    def send(self, data: str) -> Awaitable[None]:
        """Send a text message."""

    def close(self, code: int, reason: str = "") -> Awaitable[None]:
        """Send the close frame."""


class Fixed(msgspec.Struct, frozen=True, kw_only=True):
    """The one session that a connection is for: it is read from its start, and no other begins."""

    session_id: str
    greeting: JSON
    """The connection's first message."""


async def serve_socket(
    socket: Any,
    hub: Hub,
    codec: Codec,
    viewer: Viewer,
    *,
    max_sessions: int = 0,
    fixed: Fixed | None = None,
    expires_at: float | None = None,
) -> None:
    """Serve one accepted WebSocket until it is over.

    Args:
        socket: Quart's.
        hub: the engine and what goes with it.
        codec: the endpoint's protocol.
        viewer: who is at the other end.
        max_sessions: how many sessions of this connection may run at once.
        fixed: the session that it is for, if it is for one.
        expires_at: when the viewer's token ends, in Unix time; the connection ends with it. None:
            there is no token.

    Cancellation: (the client has gone) its readers leave their sessions, which start their grace.
    """
    wire = socket.scope.get("extensions", {}).get(WIRE)
    conversation = Conversation(socket, hub, codec, viewer, wire, max_sessions, fixed, expires_at)
    try:
        await conversation.run()
    except Exception:  # Hypercorn would close with 1000
        _log.exception("a WebSocket's handler failed")
        with trio.move_on_after(LAST_WORDS_S):
            await socket.close(INTERNAL, "internal error")
    finally:
        conversation.close()


class Conversation:
    """One client, its sessions and its requests."""

    def __init__(
        self,
        socket: Socket,
        hub: Hub,
        codec: Codec,
        viewer: Viewer,
        wire: Wire | None,
        max_sessions: int,
        fixed: Fixed | None = None,
        expires_at: float | None = None,
    ) -> None:
        self._fixed = fixed
        self._expires_at = expires_at
        self._has_expired = False
        self._socket = socket
        self._hub = hub
        self._engine = hub.engine
        self._codec = codec
        self._viewer = viewer
        self._max_sessions = max_sessions
        self._has_wire = wire is not None
        self._feeds: dict[str, Feed] = {}
        self._started: set[str] = set()
        """The sessions that this connection started and that are running."""
        self._requests: dict[str, str] = {}
        """request_id → session_id, the newest last."""
        self._writer = Writer(
            self._send,
            wire,
            frame=text_frame,
            max_control=hub.bounds.control_messages,
            on_end=self._ended,
        )

    async def run(self) -> None:
        """Converse until the client goes, its token expires or the server stops."""
        if self._fixed is not None and not await self._greet(self._fixed):
            return
        async with trio.open_nursery() as nursery:
            with self._expiring(nursery.cancel_scope), self._hub.notices.heard_by(self._notify):
                nursery.start_soon(self._write, nursery.cancel_scope)
                nursery.start_soon(self._watch_drain, nursery.cancel_scope)
                while True:
                    await self._hear(await self._socket.receive(), nursery)
        if self._has_expired:
            await self._dismiss()

    @contextmanager
    def _expiring(self, scope: trio.CancelScope) -> Iterator[None]:
        """Have the conversation end when its token does; the wheel waits, and no task."""
        left_s = inf if self._expires_at is None else self._expires_at - self._engine.now()
        if left_s > FAR_OFF_S:
            yield
            return

        def expire() -> None:
            self._has_expired = True
            scope.cancel(reason="the token has expired")

        handle = self._engine.wheel.call_at(trio.current_time() + left_s, expire)
        try:
            yield
        finally:
            handle.cancel()

    async def _dismiss(self) -> None:
        """Say that the token has expired, and close; the sessions are left as by a lost connection.

        What still waited to be written is not: the client's cursor tells where it goes on.
        """
        self.close()
        error = Unauthenticated("the token has expired; connect again with a new one")
        with trio.move_on_after(LAST_WORDS_S):
            await self._send(refusal(self._codec, error))
            await self._socket.close(POLICY, error.code)

    async def _greet(self, fixed: Fixed) -> bool:
        """Read the connection's session from its start; False: there is none, and it is closed."""
        try:
            record = await self._engine.record(fixed.session_id, self._viewer)
            if record.protocol != self._codec.protocol:
                raise NotFound(f"no {self._codec.protocol} has the id {fixed.session_id}")
            self._writer.say(to_json(fixed.greeting))
            await self._follow(record, None)
        except AntiphonError as error:
            await self._send(refusal(self._codec, error, session_id=fixed.session_id))
            await self._socket.close(POLICY, error.code)
            return False
        return True

    def close(self) -> None:
        """Leave all sessions."""
        for feed in tuple(self._feeds.values()):
            feed.subscription.close()
        self._feeds.clear()

    def _framed(self, message: bytes) -> bytes:
        return text_frame(message) if self._has_wire else message

    async def _send(self, message: bytes) -> None:
        await self._socket.send(message.decode())

    def _notify(self, notice: JSON) -> None:
        self._writer.say(to_json(notice))

    async def _write(self, scope: trio.CancelScope) -> None:
        await self._writer.run()
        scope.cancel(reason="the connection takes no more")

    async def _watch_drain(self, scope: trio.CancelScope) -> None:
        await self._hub.draining.wait()
        self._writer.say(to_json({"type": "draining", "grace": self._hub.drain_s}))
        await self._hub.stopped.wait()
        with trio.move_on_after(LAST_WORDS_S):
            await self._writer.wait_written()
        with trio.move_on_after(LAST_WORDS_S):
            await self._socket.close(RESTART, "restart")
        scope.cancel(reason="drain")

    # ---- hearing ---------------------------------------------------------------------------------

    async def _hear(self, data: str | bytes | None, nursery: trio.Nursery) -> None:
        request_id: str | None = None
        about: dict[str, str] = {}
        try:
            await self._hub.pace.turn(self._viewer.sub)
            message = parse_json(data)
            request_id = request_id_of(message)
            about = {key: value for key, value in message.items() if isinstance(value, str)}
            match interpret(message, self._codec):
                case Start() as start:
                    await self._start(start)
                case Cancel() as cancel:
                    await self._cancel(cancel, nursery)
                case Subscribe() as subscribe:
                    await self._subscribe(subscribe)
                case Select() as select:
                    await self._select(select)
                case Ping():
                    self._writer.say(b'{"type":"pong"}')
        except AntiphonError as error:
            self._hub.refusals[error.code] += 1
            self._writer.say(refusal(self._codec, error, request_id=request_id, about=about))
        await self._writer.wait_room()

    async def _start(self, start: Start) -> None:
        if self._fixed is not None:
            raise UnsupportedType(
                "this connection is for one session; allowed are select, cancel, subscribe and ping"
            )
        if len(self._started) >= self._max_sessions:
            raise Overloaded(
                f"{self._max_sessions} sessions are running on this connection, "
                "which is the most allowed",
                retry_after_s=1.0,
            )
        record = await self._engine.start_anywhere(
            start.protocol, start.data, owner=self._viewer.sub, options=start.options
        )
        self._started.add(record.session_id)
        if start.options.request_id is not None:
            self._requests.pop(start.options.request_id, None)
            self._requests[start.options.request_id] = record.session_id
            self._forget_oldest_request()
        await self._follow(record, None)

    def _forget_oldest_request(self) -> None:
        if len(self._requests) > REMEMBERED_REQUESTS:
            del self._requests[next(iter(self._requests))]

    async def _select(self, select: Select) -> None:
        session_id = select.session_id or self._by_request(None)
        await self._engine.select(session_id, select.stage, select.indices, viewer=self._viewer)

    async def _subscribe(self, wanted: Subscribe) -> None:
        record = await self._engine.record(wanted.session_id, self._viewer)
        await self._follow(record, wanted.after, is_snapshot=wanted.mode == "snapshot")
        if record.request_id is not None:  # it is on another connection now
            self._requests.setdefault(record.request_id, record.session_id)
            self._forget_oldest_request()

    async def _follow(
        self, record: SessionRecord, after: str | None, *, is_snapshot: bool = False
    ) -> None:
        """Read a session from now on; a second subscription takes the place of the first."""
        session_id = record.session_id
        encoder = self._hub.encoder(record)
        feed = Feed(
            encoder.shared(_entry_frame) if self._has_wire else encoder.encode,
            lambda gap: self._framed(to_json(gap_json(session_id, gap))),
        )
        feed.subscription = await self._engine.subscribe(
            session_id,
            after=after,
            viewer=self._viewer,
            wake=partial(self._writer.wake, feed),
            on_gap=lambda gap: self._writer.say(to_json(gap_json(session_id, gap))),
        )
        encoder.begin_life(feed.subscription.epoch)  # it may have begun while we came
        before = self._feeds.pop(session_id, None)
        if before is not None:
            self._writer.forget(before)
            before.subscription.close()
        self._feeds[session_id] = feed
        if is_snapshot:
            view = feed.subscription.snapshot()
            record = self._engine.at_present(record)
            self._writer.say(to_json(self._hub.snapshot(record, encoder, view)))
        self._writer.follow(feed)

    # ---- cancelling ------------------------------------------------------------------------------

    async def _cancel(self, cancel: Cancel, nursery: trio.Nursery) -> None:
        session_id = cancel.session_id or self._by_request(cancel.request_id)
        record, target = await self._hub.cancel(session_id, self._viewer, cancel.target)
        if record.state in ("queued", "running"):
            if session_id not in self._feeds:
                nursery.start_soon(self._report_end, session_id, target)
        else:
            await self._say_result(session_id, target)

    def _by_request(self, request_id: str | None) -> str:
        if request_id is not None:
            try:
                return self._requests[request_id]
            except KeyError:
                raise NotFound(f"no request {request_id!r} was made on this connection") from None
        if self._fixed is not None:
            return self._fixed.session_id
        running = [
            session_id
            for session_id, feed in self._feeds.items()
            if not feed.subscription.log.is_ended
        ]
        if len(running) == 1:
            return running[0]
        raise InvalidRequest(
            f"{len(running)} sessions are running on this connection: "
            "cancel needs a session_id or a request_id",
            [("session_id", "is required unless exactly one session is running")],
        )

    async def _report_end(self, session_id: str, target: JSON | None) -> None:
        """Tell of the end of a session, or a part of it, that this connection does not read."""
        await self._engine.wait_ended(session_id, target)
        await self._say_result(session_id, target)

    async def _say_result(self, session_id: str, target: JSON | None) -> None:
        picture = await self._engine.picture(session_id, self._viewer)
        encoder = self._hub.encoder(picture.record)
        self._writer.say(
            to_json(self._hub.cancel_result(picture.record, encoder, picture.view, target))
        )

    def _ended(self, feed: Feed) -> None:
        session_id = feed.subscription.session_id
        if self._feeds.get(session_id) is feed:
            del self._feeds[session_id]
        self._started.discard(session_id)
        feed.subscription.close()


def _entry_frame(encoder: Encoder, entry: Entry) -> bytes:
    return text_frame(encoder.encode(entry))
