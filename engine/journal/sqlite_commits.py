"""What waits for the SQLite journal's writer: writes, the group they share, and their promises.

The rule: the loop's thread fills a group, the writer's thread works on it, and the loop's thread
ends it; never two at once. Must not import another journal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from engine.errors import AntiphonError, JournalFailed
from engine.journal.interface import Batch


class Append:
    """A batch to be written, of about a size; `error` is what is wrong with it alone."""

    __slots__ = ("batch", "error", "result", "size_bytes")

    def __init__(self, batch: Batch, size_bytes: int) -> None:
        self.batch = batch
        self.size_bytes = size_bytes
        self.error: AntiphonError | None = None
        self.result = None


class Call:
    """Any other change; `change` is given the writer, in its turn, and its answer is `result`."""

    __slots__ = ("change", "error", "result")

    def __init__(self, change: Callable[[Any], Any]) -> None:
        self.change = change
        self.error: AntiphonError | None = None
        self.result: Any = None


class Group:
    """Writes that become durable together."""

    __slots__ = ("bytes", "done", "failure", "wanted", "writes")

    def __init__(self) -> None:
        self.writes: list[Append | Call] = []
        self.bytes = 0
        self.wanted = trio.Event()
        """Somebody waits: no more is gathered."""
        self.done = trio.Event()
        self.failure: JournalFailed | None = None

    def end(self, failure: JournalFailed | None = None) -> None:
        """Wake everyone who waits; after this nothing of the group changes."""
        self.failure = failure
        self.writes = []
        self.done.set()


class QueuedCommit:
    """The promise of a write."""

    __slots__ = ("_group", "_write")

    def __init__(self, group: Group, write: Append | Call) -> None:
        self._group = group
        self._write = write

    def __repr__(self) -> str:
        return f"<QueuedCommit: {'done' if self._group.done.is_set() else 'on its way'}>"

    @property
    def is_done(self) -> bool:
        """See `Commit.is_done`."""
        if not self._group.done.is_set():
            return False
        self._check()
        return True

    async def wait(self) -> None:
        """See `Commit.wait`."""
        self._group.wanted.set()
        await self._group.done.wait()
        self._check()

    async def result(self) -> Any:
        """Wait, and give what a `Call` gave."""
        await self.wait()
        return self._write.result

    def _check(self) -> None:
        error = self._group.failure or self._write.error
        if error is not None:
            # A new one for each who asks: an exception that is raised twice collects tracebacks.
            raise type(error)(error.message) from error
