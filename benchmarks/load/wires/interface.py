"""What a request needs of a connection, whatever is spoken on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from benchmarks.load.adapters.interface import Sent

Take = Callable[[bytes, str], None]
"""Is given each message and its event's name, in the moment in which it arrives."""

LOST = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)
"""How a connection ends that cannot go on."""


class Lost(Exception):
    """The connection cannot be used, or was closed; `code` says how, for the report."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Connection(Protocol):
    """One open connection."""

    ended: trio.Event
    """Set when nothing more will arrive."""
    why: str
    """How it ended, once it has."""

    async def send(self, sent: Sent) -> None:
        """Send a request or a message.

        Raises:
            Lost: it cannot be sent.
        """
        ...

    def cut(self) -> None:
        """Break it off, without a word: nothing arrives from now on."""
        ...


def alone(group: BaseExceptionGroup) -> BaseException:
    """Give what alone is in a group: that a nursery is at work is a detail of the wire."""
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return inner
