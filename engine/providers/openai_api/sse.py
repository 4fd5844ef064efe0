"""Split a body of server-sent events into the data of its events.

The one rule: bytes in, data out, nothing is awaited. The providers' events say their type inside
the data, so `event:`, `id:`, `retry:` and comments are read over. Lines end in LF, CRLF or CR, and
an event ends at an empty line (https://html.spec.whatwg.org/multipage/server-sent-events.html).
Must not import anything of the engine but its errors.
"""

from __future__ import annotations

from engine.errors import ProviderBadOutput


class DataSplitter:
    """Collects a body's chunks and gives the data of each event that is complete.

    Args:
        max_event_bytes: the largest event; a larger one raises ProviderBadOutput, so that a
            provider that never ends a line cannot fill the memory.
    """

    def __init__(self, *, max_event_bytes: int) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._held_bytes = 0
        self._max_event_bytes = max_event_bytes

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next chunk and give the data of the events that it completes.

        Raises:
            ProviderBadOutput: an event is larger than `max_event_bytes`.
        """
        block = self._rest + chunk if self._rest else chunk
        if b"\r" in block:
            # A CR at the end may be the first half of a CRLF: it waits for the next chunk.
            held = b"\r" if block.endswith(b"\r") else b""
            block = block[: len(block) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            block += held
        lines = block.split(b"\n")
        self._rest = lines.pop()
        events = self._take(lines)
        if self._held_bytes + len(self._rest) > self._max_event_bytes:
            raise ProviderBadOutput(f"an event is larger than {self._max_event_bytes} bytes")
        return events

    def finish(self) -> list[bytes]:
        """End the body: a last event counts although its empty line is missing."""
        lines = [*self._rest.rstrip(b"\r").split(b"\n"), b""]
        self._rest = b""
        return self._take(lines)

    def _take(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                data = line[6:] if line.startswith(b"data: ") else line[5:]
                self._data.append(data)
                self._held_bytes += len(data)
            elif not line and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
                self._held_bytes = 0
        return events
