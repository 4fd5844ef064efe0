"""Cut a server's bytes into WebSocket frames (RFC 6455, 5.2): messages apart from all the rest.

The one rule: only messages are taken out; control frames are handed on as they came, for whoever
answers pings and closes. Pure. A server's frames are not masked.
"""

from __future__ import annotations

from benchmarks.load.limits import MAX_MESSAGE_BYTES

CONTINUATION, CLOSE = 0, 8
"""Opcodes."""

NO_CODE = 1005
"""What stands for a close frame without a code (RFC 6455, 7.4.1)."""


class BadFrame(ValueError):
    """What came is no frame that a server may send."""


class FrameSplitter:
    """Splits one connection's bytes."""

    __slots__ = ("_buffer", "_pieces", "close_code")

    def __init__(self) -> None:
        self.close_code: int | None = None
        """The code of the close frame, once it has come; 1005 where it names none."""
        self._buffer = b""
        self._pieces: list[bytes] | None = None

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Take bytes; gives the messages that are complete, and control frames' bytes.

        Raises:
            BadFrame: it is masked, too long, or continues nothing.
        """
        buffer = self._buffer + data if self._buffer else data
        messages: list[bytes] = []
        control = b""
        place, end = 0, len(buffer)
        while end - place >= 2:
            size, head = buffer[place + 1], 2
            if size >= 126:
                if size > 127:
                    raise BadFrame("a server's frame is masked")
                head = 4 if size == 126 else 10
                if end - place < head:
                    break
                size = int.from_bytes(buffer[place + 2 : place + head], "big")
                if size > MAX_MESSAGE_BYTES:
                    raise BadFrame(f"a frame of {size} bytes")
            stop = place + head + size
            if stop > end:
                break
            first = buffer[place]
            if first & 0x08:
                control += buffer[place:stop]
                if first & 0x0F == CLOSE:
                    code = buffer[place + head : place + head + 2]
                    self.close_code = int.from_bytes(code, "big") if code else NO_CODE
            elif first & 0x80 and self._pieces is None and first & 0x0F:
                messages.append(buffer[place + head : stop])
            else:
                self._fragment(first, buffer[place + head : stop], messages)
            place = stop
        self._buffer = buffer[place:] if place < end else b""
        return messages, control

    def _fragment(self, first: int, payload: bytes, messages: list[bytes]) -> None:
        """Put a message together that came in pieces."""
        if (first & 0x0F == CONTINUATION) != (self._pieces is not None):
            raise BadFrame("a fragment that continues nothing, or a message within another")
        if self._pieces is None:
            self._pieces = []
        self._pieces.append(payload)
        if sum(map(len, self._pieces)) > MAX_MESSAGE_BYTES:
            raise BadFrame("a message in pieces, over the bound")
        if first & 0x80:
            messages.append(b"".join(self._pieces))
            self._pieces = None
