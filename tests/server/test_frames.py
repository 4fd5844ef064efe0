"""Frames and chunks, read back by the parsers of wsproto and h11."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from server.frames import PING, binary_frame, chunk, close_frame, ping_frame, text_frame


def read(data: bytes) -> list[Event]:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    return list(client.events())


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_frame_of_each_size(size: int) -> None:
    """RFC 6455, 5.2: the shortest form of the length is used, and a server's frame has no mask."""
    words = "x" * size
    assert [(e.data, e.message_finished) for e in read(text_frame(words.encode()))] == [  # type: ignore[attr-defined]
        (words, True)
    ]
    [event] = read(binary_frame(words.encode()))
    assert isinstance(event, BytesMessage)
    assert len(text_frame(words.encode())) == size + (
        2 if size < 126 else 4 if size < 65536 else 10
    )


@given(st.text(max_size=300))
def test_text_of_any_kind(words: str) -> None:
    """A frame gives back what went in."""
    [event] = read(text_frame(words.encode()))
    assert isinstance(event, TextMessage)
    assert event.data == words


@given(st.text(max_size=200))
def test_close_reason_of_any_length(reason: str) -> None:
    """A reason is cut to 123 bytes, and never inside a character."""
    [event] = read(close_frame(4008, reason))
    assert isinstance(event, CloseConnection)
    assert event.code == 4008
    assert reason.startswith(event.reason or "")
    assert len(reason.encode()) <= 123 + 3 or len((event.reason or "").encode()) > 119


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 5000])
def test_close_code_that_is_never_sent(code: int) -> None:
    """RFC 6455, 7.4: these codes must not be set in a close frame."""
    with pytest.raises(ValueError, match=str(code)):
        close_frame(code)


def test_ping() -> None:
    """A ping holds at most 125 bytes."""
    assert read(PING) == [Ping(payload=b"")]
    assert read(ping_frame(b"a" * 125)) == [Ping(payload=b"a" * 125)]
    with pytest.raises(ValueError, match="126"):
        ping_frame(b"a" * 126)


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=5))
def test_chunks_in_a_row(parts: list[bytes]) -> None:
    """Chunks are read back as one body; an empty one is refused, for it would end the body."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "test")]))
    client.send(h11.EndOfMessage())
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    client.receive_data(head + b"".join(map(chunk, parts)) + b"0\r\n\r\n")
    body = b""
    while type(event := client.next_event()) is not h11.EndOfMessage:
        if type(event) is h11.Data:
            body += event.data
    assert body == b"".join(parts)
    with pytest.raises(ValueError, match="end the body"):
        chunk(b"")
