"""One timer for many short, equal delays: the rollup of all sessions, and their journals' lag.

Calls come due in the order in which they were made, so a row of lists is enough: the line turns
five times in a delay, a call is one append to the newest list, and a list is called when it is five
turns old. No clock is read for a call, and no task wakes up: a timer, a task or a cancel scope for
each delta would cost more than the delta. Must not import anything of the engine.
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
    """Calls plain functions `delay_s` to `1.2 * delay_s` after they were handed in, in order.

    `run` has to be running; what is handed in before waits for it.
    """

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self._turn_s = max(delay_s / _TURNS, 1e-6)
        self._newest: list[Callable[[], None]] = []
        self._older: deque[list[Callable[[], None]]] = deque()  # the oldest first
        self._parked: trio.lowlevel.Task | None = None

    def call(self, function: Callable[[], None]) -> None:
        """Have a function called after the delay. It must not block; its errors are logged."""
        self._newest.append(function)
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)

    async def run(self) -> None:
        """Serve for ever.

        Cancellation: calls that are not due yet stay in the line and are not made.
        """
        older = self._older
        turn = 0
        while True:
            if not (self._newest or any(older)):
                older.clear()
                await self._wait_call()
            # By the clock and not by the first call: when one session's calls are made does not
            # depend on when another's were handed in.
            turn = max(turn, math.floor(trio.current_time() / self._turn_s)) + 1
            await trio.sleep_until(turn * self._turn_s)
            older.append(self._newest)
            self._newest = []
            if len(older) > _TURNS:
                self._make(older.popleft())

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
        waiting = len(self._newest) + sum(map(len, self._older))
        return f"<DelayLine {self.delay_s} s, {waiting} waiting>"
