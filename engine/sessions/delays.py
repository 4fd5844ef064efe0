"""One timer for many short, equal delays: the rollup of all sessions, and their journals' lag.

Calls come due in the order in which they were made, so a queue is enough and a call costs an
append; a timer, a task or a cancel scope for each delta would cost more than the delta. Wake-ups
are rounded up to a fifth of the delay, because with hundreds of sessions nearly every delta would
wake the line by itself. Must not import anything of the engine.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable

import trio

_log = logging.getLogger("antiphon.engine")


class DelayLine:
    """Calls plain functions `delay_s` to `1.2 * delay_s` after they were handed in, in order.

    `run` has to be running; what is handed in before waits for it.
    """

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self._grain_s = max(delay_s / 5, 1e-6)
        self._due: deque[tuple[float, Callable[[], None]]] = deque()
        self._parked: trio.lowlevel.Task | None = None

    def call(self, function: Callable[[], None]) -> None:
        """Have a function called after the delay. It must not block; its errors are logged."""
        self._due.append((trio.current_time() + self.delay_s, function))
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)

    async def run(self) -> None:
        """Serve for ever.

        Cancellation: calls that are not due yet stay in the queue and are not made.
        """
        due = self._due
        while True:
            if not due:
                await self._wait_call()
                continue
            first = due[0][0]
            rounded = math.ceil(first / self._grain_s) * self._grain_s
            await trio.sleep_until(max(first, rounded))  # a float may round to just before it
            now = trio.current_time()
            while due and due[0][0] <= now:
                _, function = due.popleft()
                try:
                    function()
                except Exception:  # one session's trouble stays its own
                    _log.exception("a delayed call failed")

    async def _wait_call(self) -> None:
        def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            self._parked = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._parked = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def __repr__(self) -> str:
        return f"<DelayLine {self.delay_s} s, {len(self._due)} waiting>"
