"""One timer for many short delays: the rollup of all sessions, and their journals' lag.

A row of lists is enough: the line turns five times in its delay, each turn makes the calls of one
list, and a call is one append to a list, as many turns ahead as its wait is long. No task wakes up
for it: a timer, a task or a cancel scope for each delta would cost more than the delta. Must not
import anything of the engine.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable

import trio

_log = logging.getLogger("antiphon.engine")

_TURNS = 5
"""Turns in a delay: a call may be late by one. With hundreds of sessions nearly every call would
wake the line by itself, were it to be exact."""


class DelayLine:
    """Calls plain functions after a delay, late by a fifth of it at most; equal ones in order.

    `run` has to be running; what is handed in before waits for it.
    """

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self._turn_s = max(delay_s / _TURNS, 1e-6)
        self._ahead: deque[list[Callable[[], None]]] = deque([] for _ in range(_TURNS + 1))
        self._last = self._ahead[-1]
        self._next = 0  # the number, by the clock, of the turn that is waited for
        self._parked: trio.lowlevel.Task | None = None

    def call(self, function: Callable[[], None], wait_s: float | None = None) -> None:
        """Have a function called later. It must not block; its errors are logged.

        Args:
            function: what is called.
            wait_s: how long to wait, in seconds, instead of the whole delay; never longer.
        """
        if wait_s is None:
            self._last.append(function)
        else:
            now = trio.current_time()
            turns = math.ceil((now + wait_s) / self._turn_s) - self._turn_after(now)
            self._ahead[min(max(turns, 0), _TURNS)].append(function)
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)

    async def run(self) -> None:
        """Serve for ever.

        Cancellation: calls that are not due yet stay in the line and are not made.
        """
        while True:
            if not any(self._ahead):
                await self._wait_call()
            # By the clock and not by the first call: when one session's calls are made does not
            # depend on when another's were handed in.
            self._next = max(self._next, math.floor(trio.current_time() / self._turn_s)) + 1
            await trio.sleep_until(self._next * self._turn_s)
            due = self._ahead.popleft()
            self._last = []
            self._ahead.append(self._last)
            self._make(due)

    def _turn_after(self, now: float) -> int:
        """Give the number of the turn that will be made next."""
        current = math.floor(now / self._turn_s)
        return current + 1 if self._parked is not None else max(self._next, current)

    def _make(self, calls: list[Callable[[], None]]) -> None:
        for function in calls:
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
        waiting = sum(map(len, self._ahead))
        return f"<DelayLine {self.delay_s} s, {waiting} waiting>"
