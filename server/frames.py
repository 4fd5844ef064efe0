"""What goes over a wire, as bytes: WebSocket frames (RFC 6455) and HTTP chunks (RFC 9112).

Pure functions, from payload to bytes. A frame is made once and written to any number of wires, so
a hundred readers of one session cost one framing. A server's frames are not masked (RFC 6455,
5.1) and never fragmented here. Must not import anything of the server.
"""

from __future__ import annotations

from struct import Struct

CLOSE_OPCODE = 0x88
"""The first byte of a close frame: FIN and opcode 8. Nothing may follow that frame."""

PING = b"\x89\x00"
"""A ping without a payload: the pong proves that the peer lives, not which ping it answers."""


_MIDDLE = Struct("!BBH").pack
_LONG = Struct("!BBQ").pack


def text_frame(payload: bytes) -> bytes:
    """Make the frame of one text message.

    Args:
        payload: the whole message in UTF-8; not checked here.
    """
    size = len(payload)
    if 126 <= size < 65536:  # what a delta is
        return _MIDDLE(0x81, 126, size) + payload
    return _frame(0x81, payload)


def binary_frame(payload: bytes) -> bytes:
    """Make the frame of one binary message."""
    return _frame(0x82, payload)


def ping_frame(payload: bytes = b"") -> bytes:
    """Make a ping.

    Args:
        payload: at most 125 bytes, which the pong repeats.

    Raises:
        ValueError: the payload is longer; the caller's fault.
    """
    if len(payload) > 125:
        raise ValueError(f"a control frame holds at most 125 bytes, not {len(payload)}")
    return _frame(0x89, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """Make a close frame. It has to be the last one on its wire.

    Args:
        code: RFC 6455, 7.4; 1000 to 4999, and none of 1004, 1005, 1006 and 1015, which are
            never sent.
        reason: a few words for people; cut to the 123 bytes that fit, between two characters.

    Raises:
        ValueError: the code may not be sent; the caller's fault.
    """
    if not 1000 <= code <= 4999 or code in (1004, 1005, 1006, 1015):
        raise ValueError(f"close code {code} may not be sent")
    words = reason.encode()[:123].decode(errors="ignore").encode()
    return _frame(CLOSE_OPCODE, code.to_bytes(2, "big") + words)


def chunk(data: bytes) -> bytes:
    """Make one chunk of an HTTP/1.1 body with `Transfer-Encoding: chunked`.

    Args:
        data: at least one byte; an empty chunk would end the body.

    Raises:
        ValueError: there are no data; the caller's fault.
    """
    if not data:
        raise ValueError("an empty chunk would end the body")
    return b"%x\r\n%b\r\n" % (len(data), data)


def _frame(head: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 65536:
        return _MIDDLE(head, 126, size) + payload
    return _LONG(head, 127, size) + payload
