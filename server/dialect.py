"""What of HTTP/1.1 and of WebSocket we speak: h11 and wsproto, and what we decline.

The one rule: what we do not serve is declined where the bytes are parsed, before Hypercorn or an
application sees it. Both classes are made to be put into Hypercorn's protocol object by
server/connection.py. Must not import Hypercorn, trio or anything of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import h11
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event

OVER = frozenset({h11.MUST_CLOSE, h11.CLOSED, h11.ERROR})
"""Our states in which nothing that the peer sends can matter."""

_BODILESS = frozenset({b"HEAD", b"CONNECT"})
_UPGRADE_TO_H2C = frozenset({b"upgrade", b"http2-settings"})


class Http11(h11.Connection):
    """h11's state machine for a server, which declines three things and reports two.

    Declined: permessage-deflate (200 KB a connection, and 1.6 µs or more a message), the upgrade
    to HTTP/2 in clear text, and HTTP/2 with prior knowledge; Hypercorn would answer each of the
    last two with an exception that only its own TCPServer understands.

    Args:
        head_bytes: the most that a request's head may have; more is answered with 431.
        upgraded: called when the answer is 101, just before its bytes are sent.
        streaming: called with True when the answer's body is chunked, just before its head is
            sent, and with False before its end is.
    """

    def __init__(
        self,
        head_bytes: int,
        upgraded: Callable[[], None],
        streaming: Callable[[bool], None],
    ) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=head_bytes)
        self._upgraded = upgraded
        self._streaming = streaming
        self._method = b""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Give the next event, as h11 does.

        Raises:
            h11.RemoteProtocolError: the peer's fault; `error_status_hint` says what to answer.
        """
        event = super().next_event()
        if type(event) is not h11.Request:
            return event
        self._method = event.method
        if event.http_version >= b"2":
            raise h11.RemoteProtocolError("only HTTP/1.1 is served here", error_status_hint=505)
        for name, value in event.headers:
            # wsproto decodes these as ASCII, and would raise what is nobody's HTTP error.
            if name.startswith(b"sec-websocket-") and not value.isascii():
                raise h11.RemoteProtocolError("a WebSocket header is not ASCII")
        return _without_extras(event)

    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]  # h11's overloads
        """Give the bytes of an event, as h11 does, and report where a body begins and ends."""
        data: bytes | None = super().send(event)
        if type(event) is h11.InformationalResponse:
            if event.status_code == 101:
                self._upgraded()
        elif type(event) is h11.Response:
            # What went into the head decides, not what was asked for: h11 chooses the framing.
            assert data is not None
            chunked = b"\r\ntransfer-encoding: chunked\r\n" in data.lower()
            self._streaming(chunked and self._method not in _BODILESS)
        elif type(event) is h11.EndOfMessage:
            self._streaming(False)
        return data


class Rfc6455(Connection):
    """wsproto's state machine for a server, which reports a violation as such.

    wsproto makes of a frame that breaks RFC 6455 a CloseConnection with the code to answer;
    Hypercorn takes it for the peer's close and ends the connection without a word.

    Args:
        violated: called with the bytes of our close frame, to be sent at once.
    """

    def __init__(self, violated: Callable[[bytes], None]) -> None:
        super().__init__(ConnectionType.SERVER)
        self._violated = violated

    def receive_data(self, data: bytes | None) -> None:
        """Take bytes from the peer. What follows its close frame is dropped (RFC 6455, 5.5.1)."""
        if self.state is not ConnectionState.CLOSED:
            super().receive_data(data)

    def events(self) -> Generator[Event, None, None]:
        """Give what the bytes meant."""
        for event in super().events():
            if isinstance(event, CloseConnection) and self.state is ConnectionState.OPEN:
                self._violated(self.send(CloseConnection(code=event.code)))
            yield event


def _without_extras(request: h11.Request) -> h11.Request:
    names = {name for name, _ in request.headers}
    dropped = {b"sec-websocket-extensions"}
    upgrades = {value.lower() for name, value in request.headers if name == b"upgrade"}
    if b"http2-settings" in names or b"h2c" in upgrades:
        dropped |= _UPGRADE_TO_H2C
    if not names & dropped:
        return request
    return h11.Request(
        method=request.method,
        target=request.target,
        http_version=request.http_version,
        headers=[(name, value) for name, value in request.headers if name not in dropped],
    )
