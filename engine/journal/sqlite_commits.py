"""What waits for the SQLite journal's writer: writes, which are their own promises, in a queue.

The rule: the loop's thread puts writes in and waits for them, the writer's thread takes them out
and ends them. They share a deque, a few numbers and a bell, and no lock: each step below is atomic
by the interpreter's own lock, and the order of the steps is what makes them safe. Where nobody
waits, neither thread wakes the other more than once for a group: a wake-up costs more than the
write of a delta. Must not import another journal.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import trio

from engine.errors import AntiphonError, JournalFailed
from engine.journal.interface import Batch


class Write:
    """A write on its way, and the promise of it; `error` is what is wrong with it."""

    __slots__ = ("_number", "_queue", "error")

    def __init__(self) -> None:
        self.error: AntiphonError | None = None
        self._queue: Queue | None = None
        self._number = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._number} of {self._queue}>"

    @property
    def is_done(self) -> bool:
        """See `Commit.is_done`."""
        if self._queue is None or self._queue.ended < self._number:
            return False
        self._check()
        return True

    async def wait(self) -> None:
        """See `Commit.wait`."""
        assert self._queue is not None, "it has to be put into a queue first"
        await self._queue.wait_ended(self._number)
        self._check()

    def _check(self) -> None:
        if self.error is not None:
            # A new one for each who asks: an exception that is raised twice collects tracebacks.
            raise type(self.error)(self.error.message) from self.error


class Append(Write):
    """A batch to be written, of about a size."""

    __slots__ = ("batch", "size_bytes")

    def __init__(self, batch: Batch, size_bytes: int) -> None:
        self.error = None  # as in Write, without a call: there are as many as deltas
        self._queue = None
        self._number = 0
        self.batch = batch
        self.size_bytes = size_bytes


class Call(Write):
    """Any other change; `change` is given the writer, in its turn, and its answer is `result`."""

    __slots__ = ("change", "result", "size_bytes")

    def __init__(self, change: Callable[[Any], Any], size_bytes: int = 0) -> None:
        super().__init__()
        self.change = change
        self.size_bytes = size_bytes
        self.result: Any = None


class Queue:
    """Writes from the loop's thread to the writer's, in order, taken in groups.

    Unbounded by itself: whoever puts looks at `pending_bytes`.

    Args:
        gather_s: how long writes are gathered that nobody waits for.
    """

    def __init__(self, gather_s: float) -> None:
        self.put_count = 0
        """Writes that were put in; a write's number is its place among them."""
        self.ended = 0
        """Writes that are over, durable or failed."""
        self.is_closed = False
        self._gather_s = gather_s
        self._writes: deque[Append | Call] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._is_wanted = False  # somebody waits for a write that is not taken yet
        self._taken = 0
        self._put_bytes = 0
        self._ended_bytes = 0
        self._waiters: list[tuple[int, trio.lowlevel.Task]] = []

    def __repr__(self) -> str:
        return f"<Queue: {self.ended} of {self.put_count} writes over>"

    @property
    def pending_bytes(self) -> int:
        """About how much was put in and is not over."""
        return self._put_bytes - self._ended_bytes

    # ---- the loop's thread ----------------------------------------------------------------------

    def put(self, write: Append | Call) -> None:
        """Have a write done, after all that were put in before."""
        self.put_count += 1
        self._put_bytes += write.size_bytes
        write._queue = self
        write._number = self.put_count
        self._writes.append(write)
        # Asked after it is in: of a longer queue the writer knows, or it took this write as well.
        if len(self._writes) == 1:
            self._bell.put(None)

    async def wait_ended(self, number: int) -> None:
        """Wait until a write is over, and have it written at once.

        Cancellation: it is written all the same.
        """
        if self.ended < number:
            waiter = (number, trio.lowlevel.current_task())
            self._waiters.append(waiter)
            # Asked again after the writer can see the waiter: else nobody would wake it.
            if self.ended < number:
                self.want(number)

                def abort(_: object) -> trio.lowlevel.Abort:
                    self._waiters.remove(waiter)
                    return trio.lowlevel.Abort.SUCCEEDED

                await trio.lowlevel.wait_task_rescheduled(abort)
                return
            self._waiters.remove(waiter)
        await trio.lowlevel.checkpoint()

    def want(self, number: int) -> None:
        """Have no more gathered if a write is not taken yet."""
        if number > self._taken and not self._is_wanted:
            self._is_wanted = True
            self._bell.put(None)

    def wake(self) -> None:
        """Wake those whose writes are over."""
        waiting: list[tuple[int, trio.lowlevel.Task]] = []
        for waiter in self._waiters:
            if waiter[0] <= self.ended:
                trio.lowlevel.reschedule(waiter[1])
            else:
                waiting.append(waiter)
        self._waiters = waiting  # never empty in between: the writer may look at it just now

    def close(self) -> None:
        """Have what is in it written as one group; nothing may be put in any more."""
        self.is_closed = True
        self._bell.put(None)

    def refuse(self, failure: JournalFailed) -> None:
        """End all that nobody will write; the writer's thread is over."""
        self.end(self._take(), failure)
        self.wake()

    # ---- the writer's thread --------------------------------------------------------------------

    def take(self, patience_s: float | None) -> list[Append | Call]:
        """Wait for writes, gather them, and give them.

        Args:
            patience_s: how long to wait for the first; then the group is empty. None: for ever.
        """
        deadline = None if patience_s is None else time.monotonic() + patience_s
        while not (self._writes or self.is_closed):  # a bell may be of writes that were taken
            if not self._wait_bell(deadline):
                return []
        deadline = time.monotonic() + self._gather_s
        while not (self._is_wanted or self.is_closed):
            if not self._wait_bell(deadline):
                break
        return self._take()

    def end(self, group: Sequence[Append | Call], failure: JournalFailed | None) -> bool:
        """Say that a group is over; gives whether somebody waits and is to be woken."""
        if failure is not None:
            for write in group:
                write.error = failure
        self._ended_bytes += sum(write.size_bytes for write in group)
        self.ended += len(group)  # last: whoever sees this sees the errors too
        return bool(self._waiters)

    def _take(self) -> list[Append | Call]:
        # In this order: who wants a write after the first line has put it in before the second.
        self._is_wanted = False
        group = [self._writes.popleft() for _ in range(len(self._writes))]
        self._taken += len(group)
        return group

    def _wait_bell(self, deadline: float | None) -> bool:
        """Wait until somebody rings, or a time; gives which of the two it was."""
        try:
            if deadline is None:
                self._bell.get()
            else:
                self._bell.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return False
        return True
