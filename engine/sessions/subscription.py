"""A reader of a session's log: a cursor, and nothing else that would have to be kept in step.

Live, late, resumed and replayed readers are this one path: read behind the window from the journal,
then from the window, then follow. A reader that is idle can be pushed to without waking a task: its
`wake` is called from the log's numbering step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

import msgspec
import trio

from engine.events import Entry
from engine.merging import cut_after, until
from engine.sessions.log import Log
from engine.sessions.view import View

_logger = logging.getLogger("antiphon.engine")

BATCH_BYTES = 64 * 1024
"""What a reader takes at once unless it says otherwise."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for is no longer held; reading goes on at `earliest`."""

    requested: int
    """The first offset that was asked for."""
    earliest: int
    latest: int


Batch: TypeAlias = tuple[Entry | Gap, ...]


class Subscription:
    """One reader's place in one session's log.

    Args:
        log: what is read.
        after_seq: the last offset that the reader already has; 0 reads from the start.
        wake: called (synchronously, from the numbering step; it must not block or raise) when the
            armed reader has something to take. Without it, use `receive`.
        on_close: called once when the subscription is closed.
    """

    __slots__ = ("_is_closed", "_on_close", "_task", "_wake", "cursor", "log")

    def __init__(
        self,
        log: Log,
        after_seq: int = 0,
        *,
        wake: Callable[[Subscription], None] | None = None,
        on_close: Callable[[Subscription], None] | None = None,
    ) -> None:
        self.cursor = after_seq
        self.log = log
        self._wake = wake
        self._on_close = on_close
        self._task: trio.lowlevel.Task | None = None
        self._is_closed = False
        log.readers.add(self)
        log.moved(min(after_seq, log.visible))  # what it has already nobody has to wait for

    # ---- state -----------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """Whose log it reads."""
        return self.log.session_id

    @property
    def epoch(self) -> str:
        """The log's present life."""
        return self.log.epoch

    @property
    def has_more(self) -> bool:
        """Whether there is something to take right now."""
        return self.cursor < self.log.visible

    @property
    def is_behind(self) -> bool:
        """Whether the next entry has left the window, so that the journal has to be read."""
        return self.cursor + 1 < self.log.earliest_in_window

    @property
    def is_ended(self) -> bool:
        """Whether the terminal event was taken: nothing will follow."""
        return self.log.is_ended and self.cursor >= self.log.visible

    @property
    def lag(self) -> int:
        """How many offsets the reader is behind what it may see."""
        return max(0, self.log.visible - self.cursor)

    # ---- taking ----------------------------------------------------------------------------------

    def take_nowait(self, max_bytes: int = BATCH_BYTES) -> tuple[Entry, ...]:
        """Take what follows the cursor in the window, adjacent deltas merged; () where nothing is.

        Only for a reader that is not `is_behind`.
        """
        log = self.log
        if self.cursor >= log.visible:
            return ()
        entries = log.window(self.cursor, max_bytes)
        self.cursor = entries[-1].seq
        log.moved(self.cursor)
        return entries

    def take_newest(self) -> Entry | None:
        """Take the newest entry, if it is all that waits; None, and nothing is taken, if not."""
        entry = self.log.take_newest(self.cursor)
        if entry is not None:
            self.cursor = entry.seq
        return entry

    async def take(self, max_bytes: int = BATCH_BYTES) -> Batch:
        """Take what follows the cursor, from the journal where it has left the window.

        Gives () where there is nothing now. A `Gap` says that something is no longer held.

        Cancellation: the cursor has not moved. Always a checkpoint.
        """
        await trio.lowlevel.checkpoint()
        if not self.is_behind:
            return self.take_nowait(max_bytes)
        return await self._take_behind(max(max_bytes, BATCH_BYTES))

    async def receive(self, max_bytes: int = BATCH_BYTES) -> Batch:
        """Wait until there is something, and take it; () says that the session has ended.

        For readers without `wake`. Raises trio.ClosedResourceError after `close`.

        Cancellation: the cursor has not moved, nothing is lost.
        """
        while True:
            if self._is_closed:
                raise trio.ClosedResourceError
            batch = await self.take(max_bytes)
            if batch or self.is_ended:
                return batch
            if not self.has_more:
                await self._park()

    async def _take_behind(self, max_bytes: int) -> Batch:
        log = self.log
        # A milestone may be durable before its commit has been noticed, and shown, here; and what
        # lies beyond what this life made durable may be of the next one, at another process.
        last = min(log.visible, log.durable)
        read = await log.journal.read(log.session_id, self.cursor, max_bytes=max_bytes)
        if self.log is not log:
            return ()
        entries = until(read, last)
        first = cut_after(entries[0], self.cursor) if entries else None
        if first is None or first.first_seq > self.cursor + 1:
            earliest = first.first_seq if first is not None else log.earliest_in_window
            gap = Gap(requested=self.cursor + 1, earliest=earliest, latest=log.visible)
            self.cursor = earliest - 1
            return (gap,)
        self.cursor = entries[-1].seq
        log.moved(self.cursor)
        return (first, *entries[1:])

    def snapshot(self) -> View:
        """Skip to the present, and give what the session looks like there.

        The view is the log's own: use it at once, before the next checkpoint.
        """
        self.cursor = self.log.visible
        self.log.moved(self.cursor)
        return self.log.view

    # ---- being woken -----------------------------------------------------------------------------

    def arm(self) -> bool:
        """Ask for one call of `wake` with the next entry; False: the session has ended.

        Only when there is nothing to take (`has_more` is false): look and leap, with no checkpoint
        between the two.
        """
        log = self.log
        if log.is_ended:
            return False
        log.arm(self)
        return True

    def wake_up(self) -> None:
        """Wake the reader; for the log."""
        if self._task is not None:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task)
        elif self._wake is not None and not self._is_closed:
            try:
                self._wake(self)
            except Exception:  # a reader's trouble never reaches the session (I6)
                _logger.exception("a reader of session %s failed", self.log.session_id)

    def move(self, log: Log, after_seq: int) -> None:
        """Read on in another log: the session's next life, or the same one where it is at work.

        Args:
            log: what is read from now on.
            after_seq: the reader's place there.
        """
        self.log.readers.discard(self)
        is_idle = self.log.disarm(self)
        self.log, self.cursor = log, after_seq
        log.readers.add(self)
        log.moved(min(after_seq, log.visible))
        if is_idle and (self.has_more or self.is_ended):
            self.wake_up()
        elif is_idle:
            log.arm(self)

    def close(self) -> None:
        """Stop reading. A waiting `receive` raises ClosedResourceError. Closing twice is fine."""
        if self._is_closed:
            return
        self._is_closed = True
        self.log.readers.discard(self)
        self.log.disarm(self)
        if self._task is not None:
            self.wake_up()
        if self._on_close is not None:
            self._on_close(self)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def _park(self) -> None:
        def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            self._task = None
            self.log.disarm(self)
            return trio.lowlevel.Abort.SUCCEEDED

        self._task = trio.lowlevel.current_task()
        self.log.arm(self)
        await trio.lowlevel.wait_task_rescheduled(abort)

    def __repr__(self) -> str:
        return f"<Subscription of {self.log.session_id} at {self.cursor}, {self.lag} behind>"
