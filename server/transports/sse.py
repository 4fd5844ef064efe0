"""Server-sent events: one session's log as a response that goes on until the session has ended.

The one rule: each event leaves in one write, whole, with the cursor as its `id:`; so whoever comes
back with `Last-Event-ID` goes on exactly where it stopped. Its place is beside websocket.py, and it
shares the writer with it: an idle reader is written to from the numbering step. Knows no protocol's
words.

The head of a response leaves with its first bytes (Hypercorn waits for them), and only then the
wire takes chunks: so the body gives its first bytes by the public way, and writes the rest itself.
Where the answer is not chunked (HTTP/1.0), all of it goes the public way.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import trio
from quart import Response

from engine import AntiphonError, Entry, Gap, SessionRecord, Subscription, Viewer, parse_cursor
from server.frames import chunk
from server.hub import Hub, gap_json
from server.notices import as_comment
from server.protocols.encoding import Encoder, to_ascii, to_json
from server.protocols.interface import Start
from server.transports.writer import Feed, Writer
from server.wire import WIRE, Wire

_log = logging.getLogger("antiphon.server")

KEEP_ALIVE_S = 15.0
"""A comment goes out this often (contract 0, Liveness)."""

COMMENT = b":\n\n"

HEAD_S = 0.25
"""How long the response's head waits for a first event; then it leaves with a comment."""

LAST_WORDS_S = 0.5
"""How long a closing stream may take for what was still to be written."""

CONTENT_TYPE = "text/event-stream; charset=utf-8"

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def stream_events(
    hub: Hub, viewer: Viewer, scope: Any, session_id: str, *cursors: str | None
) -> Response:
    """Answer with a session's events after a cursor: replayed, then live, to the terminal one.

    A reader that has the terminal event already gets 204, which ends an EventSource's reconnects.

    Args:
        hub: the engine and what goes with it.
        viewer: who asks.
        scope: the request's ASGI scope, where the wire is found.
        session_id: which session.
        cursors: `<epoch>:<seq>` of the last event that the reader has, wherever it stood; the first
            one counts, and none (or "") is from the start.

    Raises:
        NotFound, Expired: there is none for this viewer. InvalidRequest: a cursor cannot be read.
    """
    record = await hub.engine.record(session_id, viewer)
    given = [cursor for cursor in cursors if cursor]
    for cursor in given:
        parse_cursor(cursor)
    after = given[0] if given else None
    if after is not None and record.state not in ("queued", "running"):
        picture = await hub.engine.picture(session_id, viewer)
        if parse_cursor(after) == (picture.epoch, picture.view.seq):
            return Response(b"", status=204, headers=HEADERS)
    if scope["method"] == "HEAD":
        return Response(b"", content_type=CONTENT_TYPE, headers=HEADERS)
    return _response(EventStream(hub, viewer, scope, record, after))


async def start_events(hub: Hub, viewer: Viewer, scope: Any, start: Start) -> Response:
    """Start a session, and answer with its events; `Location` says where they can be had again.

    Raises:
        AntiphonError: as `Engine.start_anywhere`; nothing was started.
    """
    record = await hub.engine.start_anywhere(
        start.protocol, start.data, owner=viewer.sub, options=start.options
    )
    return _response(EventStream(hub, viewer, scope, record, None))


def _response(stream: EventStream) -> Response:
    session_id = stream.record.session_id
    response = Response(
        stream.body(),
        content_type=CONTENT_TYPE,
        headers={
            **HEADERS,
            "Location": f"/api/sessions/{session_id}/events",
            "X-Session-Id": session_id,
        },
    )
    response.timeout = None  # Quart would cut it off after a minute
    return response


class EventStream:
    """One reader of one session.

    Args:
        hub: the engine and what goes with it.
        viewer: who reads.
        scope: the request's ASGI scope.
        record: the session.
        after: where the reader is.
    """

    def __init__(
        self, hub: Hub, viewer: Viewer, scope: Any, record: SessionRecord, after: str | None
    ) -> None:
        self.record = record
        self._hub = hub
        self._viewer = viewer
        self._after = after
        self._wire: Wire | None = scope.get("extensions", {}).get(WIRE)
        self._encoder = encoder = hub.encoder(record)
        self._feed = Feed(
            encoder.shared(entry_event), lambda gap: gap_event(encoder, record.session_id, gap)
        )
        self._gaps: list[bytes] = []
        self._wake: Callable[[Feed], None] | None = None
        self._has_said_draining = False

    async def body(self) -> AsyncIterator[bytes]:
        """Give the response's body.

        Subscribed here and not before: a body that nobody iterates must not count as a reader.

        Cancellation: (the client has gone) it leaves the session, which starts its grace time.
        """
        try:
            subscription = await self._subscribe()
        except AntiphonError as error:
            _log.info("session %s went before its reader came: %s", self.record.session_id, error)
            return
        with subscription:
            yield await self._first()
            if self._wire is not None and self._wire.is_open and not subscription.is_ended:
                await self._write(self._wire)
            else:
                while data := await self._next():
                    yield data

    async def _subscribe(self) -> Subscription:
        feed = self._feed
        feed.subscription = await self._hub.engine.subscribe(
            self.record.session_id,
            after=self._after,
            viewer=self._viewer,
            wake=self._woken,
            on_gap=lambda gap: self._gaps.append(feed.encode_gap(gap)),
        )
        self._encoder.begin_life(feed.subscription.epoch)  # it may have begun while we came
        return feed.subscription

    def _woken(self, _: Subscription) -> None:
        if self._wake is not None:
            self._wake(self._feed)

    async def _first(self) -> bytes:
        """Give what there is, within a moment: the head of the response goes with it."""
        data = b"".join(self._gaps)
        with trio.move_on_after(HEAD_S):
            data += self._encode(await self._feed.subscription.receive())
        return data or COMMENT

    def _encode(self, batch: tuple[Entry | Gap, ...]) -> bytes:
        feed = self._feed
        return b"".join(
            feed.encode_gap(item) if isinstance(item, Gap) else feed.encode(item) for item in batch
        )

    # ---- the fast way ----------------------------------------------------------------------------

    async def _write(self, wire: Wire) -> None:
        """Write to the wire until the session has ended, the server stops or the reader stalls."""
        feed, encoder = self._feed, self._encoder
        feed.encode = encoder.shared(entry_chunk)
        feed.encode_gap = lambda gap: chunk(gap_event(encoder, self.record.session_id, gap))
        async with trio.open_nursery() as nursery:
            scope = nursery.cancel_scope
            writer = Writer(
                None,
                wire,
                frame=chunk,
                max_control=1,
                on_end=lambda _: scope.cancel(reason="the session has ended"),
            )
            self._wake = writer.wake
            nursery.start_soon(_write_all, writer, scope)
            nursery.start_soon(_keep_alive, writer)
            writer.follow(feed)
            with self._hub.notices.heard_by(lambda notice: writer.say(as_comment(notice))):
                await self._hub.draining.wait()
                writer.say(self._draining_event())
                await self._hub.stopped.wait()
            with trio.move_on_after(LAST_WORDS_S):
                await writer.wait_written()
            scope.cancel(reason="drain")

    # ---- the public way --------------------------------------------------------------------------

    async def _next(self) -> bytes:
        """Wait for what goes out next; b"" ends the body."""
        if self._feed.subscription.is_ended or self._hub.stopped.is_set():
            return b""
        if self._hub.draining.is_set() and not self._has_said_draining:
            self._has_said_draining = True
            return self._draining_event()
        data = COMMENT
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + KEEP_ALIVE_S
            event = self._hub.stopped if self._has_said_draining else self._hub.draining
            nursery.start_soon(_cancel_when, event, nursery.cancel_scope)
            data = self._encode(await self._feed.subscription.receive()) or COMMENT
            nursery.cancel_scope.cancel(reason="there is something to send")
        return data

    def _draining_event(self) -> bytes:
        message = {"type": "draining", "grace": self._hub.drain_s}
        return _event(self._encoder, to_json(message), b"")


async def _write_all(writer: Writer, scope: trio.CancelScope) -> None:
    await writer.run()
    scope.cancel(reason="the connection takes no more")


async def _keep_alive(writer: Writer) -> None:
    while True:
        await trio.sleep(KEEP_ALIVE_S)
        await writer.wait_room()
        writer.say(COMMENT)


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel(reason="the server drains")


# ---- the form of an event ------------------------------------------------------------------------


def entry_event(encoder: Encoder, entry: Entry) -> bytes:
    """Give the event of an entry: its cursor, its name where the protocol has one, its message."""
    return _event(
        encoder, encoder.encode(entry), b"id: %b:%d\n" % (encoder.epoch.encode(), entry.seq)
    )


def entry_chunk(encoder: Encoder, entry: Entry) -> bytes:
    """Give an entry's event as the wire takes it."""
    return chunk(entry_event(encoder, entry))


def gap_event(encoder: Encoder, session_id: str, gap: Gap) -> bytes:
    """Give the event of a gap; without an id, for it is no place in the log."""
    return _event(encoder, to_json(gap_json(session_id, gap)), b"")


class _Typed(msgspec.Struct):
    type: str = "message"


_type_of = msgspec.json.Decoder(_Typed).decode


def _event(encoder: Encoder, message: bytes, head: bytes) -> bytes:
    if encoder.names_events:
        head += b"event: %b\n" % _type_of(message).type.encode()
    return b"%bdata: %b\n\n" % (head, to_ascii(message))
