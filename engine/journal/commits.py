"""Group commit by a task of the loop: writes, the group they share, their promises.

The rule: whoever owns a group fills it, has it written, and ends it; never two at once.
Must not import a journal.
"""

from __future__ import annotations

from typing import Any, Protocol

import trio

from engine.errors import AntiphonError, JournalFailed


class Write(Protocol):
    """One change on its way."""

    error: AntiphonError | None
    """What is wrong with it alone."""
    result: Any
    """What whoever waits for it is given."""


class Group:
    """Writes that become durable together."""

    __slots__ = ("bytes", "done", "failure", "wanted", "writes")

    def __init__(self) -> None:
        self.writes: list[Any] = []
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

    def __init__(self, group: Group, write: Write) -> None:
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
        """Wait, and give the write's result."""
        await self.wait()
        return self._write.result

    def _check(self) -> None:
        error = self._group.failure or self._write.error
        if error is not None:
            # A new one for each who asks: an exception that is raised twice collects tracebacks.
            raise type(error)(error.message) from error
