"""Our h11 and wsproto: what is declined, what is reported. Each test pushes both ends."""

from __future__ import annotations

import h11
import pytest
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, TextMessage

from server.dialect import OVER, Http11, Rfc6455


class Heard:
    """What the state machine reported."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        self.server = Http11(1000, lambda: self.reports.append("upgraded"), self._streaming)

    def _streaming(self, chunked: bool) -> None:
        self.reports.append("chunked" if chunked else "not chunked")

    def request(self, *lines: str) -> h11.Request:
        self.server.receive_data(("\r\n".join(lines) + "\r\n\r\n").encode())
        event = self.server.next_event()
        assert isinstance(event, h11.Request)
        return event


def test_extras_in_a_request() -> None:
    """Deflate and h2c are dropped from the request; an upgrade to WebSocket stays."""
    request = Heard().request(
        "GET / HTTP/1.1",
        "Host: test",
        "Upgrade: websocket",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    )
    assert list(request.headers) == [(b"host", b"test"), (b"upgrade", b"websocket")]
    request = Heard().request(
        "GET / HTTP/1.1", "Host: test", "Upgrade: H2C", "HTTP2-Settings: AAMAAABk", "X: y"
    )
    assert list(request.headers) == [(b"host", b"test"), (b"x", b"y")]


def test_http2_with_prior_knowledge() -> None:
    """It is the peer's error, to be answered with 505."""
    heard = Heard()
    heard.server.receive_data(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    with pytest.raises(h11.RemoteProtocolError) as caught:
        heard.server.next_event()
    assert caught.value.error_status_hint == 505


@pytest.mark.parametrize(
    ("method", "version", "status", "headers", "reported"),
    [
        ("GET", "1.1", 200, [], "chunked"),
        ("GET", "1.1", 200, [("Content-Length", "5")], "not chunked"),
        ("GET", "1.0", 200, [], "not chunked"),
        ("HEAD", "1.1", 200, [], "not chunked"),
        ("GET", "1.1", 204, [], "not chunked"),
        ("GET", "1.1", 304, [], "not chunked"),
        ("CONNECT", "1.1", 200, [], "not chunked"),
    ],
)
def test_body_that_begins(
    method: str, version: str, status: int, headers: list[tuple[str, str]], reported: str
) -> None:
    """A body is open for chunks exactly where the head says chunked and may have a body."""
    heard = Heard()
    heard.request(f"{method} / HTTP/{version}", "Host: test")
    heard.server.next_event()
    heard.server.send(h11.Response(status_code=status, headers=headers))
    assert heard.reports == [reported]
    if reported == "chunked":
        heard.server.send(h11.Data(data=b"12345"))
        assert heard.reports == ["chunked"]
        heard.server.send(h11.EndOfMessage())
        assert heard.reports == ["chunked", "not chunked"]


def test_answer_of_101() -> None:
    """The upgrade is reported, and no other informational answer."""
    heard = Heard()
    heard.request("GET / HTTP/1.1", "Host: test", "Upgrade: websocket", "Connection: upgrade")
    heard.server.next_event()
    heard.server.send(h11.InformationalResponse(status_code=103, headers=[]))
    assert heard.reports == []
    heard.server.send(h11.InformationalResponse(status_code=101, headers=[]))
    assert heard.reports == ["upgraded"]
    assert heard.server.our_state not in OVER


def test_frame_that_breaks_the_protocol() -> None:
    """The close frame with the violation's code is given before Hypercorn hears of it."""
    frames: list[bytes] = []
    server = Rfc6455(frames.append)
    server.receive_data(b"\x81\x05hello")  # no mask
    [event] = server.events()
    assert isinstance(event, CloseConnection)
    assert server.state is ConnectionState.LOCAL_CLOSING
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(frames[0])
    [answer] = client.events()
    assert isinstance(answer, CloseConnection)
    assert answer.code == 1002


def test_close_that_is_in_order() -> None:
    """A close of the peer is no violation; what follows it is dropped."""
    frames: list[bytes] = []
    server = Rfc6455(frames.append)
    client = Connection(ConnectionType.CLIENT)
    server.receive_data(client.send(TextMessage(data="hello")))
    assert [type(event) for event in server.events()] == [TextMessage]
    server.receive_data(client.send(CloseConnection(code=1001)))
    [event] = server.events()
    assert isinstance(event, CloseConnection)
    client.receive_data(server.send(event.response()))
    server.receive_data(b"whatever")
    assert list(server.events()) == []
    assert frames == []
