"""Cut a stream into server-sent events (HTML standard, 9.2.6): name and data of each. Pure."""

from __future__ import annotations

from benchmarks.load.limits import MAX_MESSAGE_BYTES


class BadEvent(ValueError):
    """An event is over the bound."""


class EventSplitter:
    """Splits one answer's bytes. Lines may end with LF or CRLF; comments and ids are skipped."""

    __slots__ = ("_buffer", "_data", "_event")

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._event = ""

    def feed(self, data: bytes) -> list[tuple[bytes, str]]:
        """Take bytes; gives data and name of the events that are complete.

        Raises:
            BadEvent: a line is too long.
        """
        found: list[tuple[bytes, str]] = []
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > MAX_MESSAGE_BYTES:
            raise BadEvent("a line over the bound")
        for line in lines:
            if line.endswith(b"\r"):
                line = line[:-1]
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(b"event:"):
                self._event = line[6:].strip().decode(errors="replace")
            elif not line:
                if self._data:
                    found.append((b"\n".join(self._data), self._event))
                self._data, self._event = [], ""
        return found
