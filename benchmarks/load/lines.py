"""Lines from a pipe, whole ones, whatever the pieces in which they come."""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """What can be read."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Wait for some bytes; empty at the end."""
        ...


class Lines:
    """Reads lines.

    Args:
        source: where from.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pieces: list[bytes] = []
        self._whole: list[bytes] = []

    async def next(self) -> bytes | None:
        """Wait for the next line, without its end; None: there are no more.

        Cancellation: nothing is lost.
        """
        while not self._whole:
            data = bytes(await self._source.receive_some(65536))
            if not data:
                return None
            first, *rest = data.split(b"\n")
            self._pieces.append(first)
            if rest:
                *whole, last = rest
                self._whole = [*whole[::-1], b"".join(self._pieces)]
                self._pieces = [last]
        return self._whole.pop()
