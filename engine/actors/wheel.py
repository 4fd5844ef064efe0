"""A timer wheel: one task that wakes thousands of sleepers and calls what is due.

Its one rule: a sleeper costs an entry in a heap, and no cancel scope and no deadline of its own.
Deadlines are rounded up to ticks of 1 ms, so what is due at about the same time is served by one
turn of the wheel's task, which reschedules the parked tasks directly. The outlet's rollup and the
simulated provider's pace sleep here. Must not import anything of the engine.

A cancelled sleeper and a cancelled callback leave a dead entry in the heap, without a task or a
function; when most entries are dead the heap is rebuilt without them, so it stays within twice the
number of the living. All of this is of one `trio.run`: nothing here may be called from a thread.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Callable

import msgspec
import trio

_logger = logging.getLogger(__name__)

TICK_S = 0.001
"""Shorter waits are not told apart: 1 ms is a fortieth of the rollup's window."""

_COMPACT_FROM = 64
"""Below this many dead entries, rebuilding the heap costs more than it frees."""


class WheelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel at one moment."""

    is_running: bool
    live: int
    """Sleepers and callbacks that wait."""
    dead: int
    """Entries that were cancelled and are still in the heap."""
    next_at: float
    """When the wheel turns next, in seconds of trio's clock; inf: not before something is added."""


class Handle:
    """A callback that waits for its time."""

    __slots__ = ("_target", "_wheel")

    def __init__(self, wheel: Wheel, target: trio.lowlevel.Task | Callable[[], object]) -> None:
        self._wheel: Wheel | None = wheel
        self._target: trio.lowlevel.Task | Callable[[], object] | None = target

    def cancel(self) -> bool:
        """See to it that the callback is not called; False: it was called, or cancelled, before."""
        if self._target is None:
            return False
        self._target = None
        if self._wheel is not None:
            self._wheel._bury()
        return True

    def __repr__(self) -> str:
        return f"<Handle {'waiting' if self._target is not None else 'over'}>"


class Wheel:
    """One task's heap of deadlines. Run it once, in a nursery around all that sleeps on it.

    Args:
        on_error: is told of an exception that a callback raised, after it was logged; the wheel
            turns on. What it raises itself is logged too.
    """

    def __init__(self, *, on_error: Callable[[Exception], object] | None = None) -> None:
        self._on_error = on_error
        self._heap: list[tuple[int, int, Handle]] = []
        self._order = 0
        self._dead = 0
        self._next_tick: float = math.inf
        self._scope: trio.CancelScope | None = None

    @property
    def is_running(self) -> bool:
        """Whether a task turns the wheel at present."""
        return self._scope is not None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Turn the wheel until cancelled.

        Raises:
            RuntimeError: another task turns it already.

        Cancellation: sleepers are handed over to trio's own clock and wake at their time;
            callbacks wait until the wheel is run again.
        """
        if self._scope is not None:
            raise RuntimeError("this wheel is turned by another task already")
        self._scope = trio.CancelScope()
        try:
            task_status.started()
            while True:
                self._turn()
                with trio.CancelScope(deadline=self._next_tick * TICK_S) as self._scope:
                    await trio.sleep_forever()
        finally:
            self._scope = None
            self._next_tick = math.inf
            self._release_sleepers()

    async def sleep(self, seconds: float) -> None:
        """Sleep for some seconds, rounded up to a tick; as `sleep_until`.

        Raises:
            ValueError: the number is negative or NaN.
        """
        if not seconds >= 0:
            raise ValueError(f"one sleeps for a number of seconds from 0, not {seconds!r}")
        await self.sleep_until(trio.current_time() + seconds)

    async def sleep_until(self, deadline: float) -> None:
        """Sleep until a time of trio's clock: never shorter, and at most about a tick longer.

        Always a checkpoint. If nobody turns the wheel, trio's own clock does the work.

        Raises:
            ValueError: the deadline is NaN.

        Cancellation: the sleeper's entry is dead, and swept out with the next ones.
        """
        if math.isnan(deadline):
            raise ValueError("a deadline is not NaN")
        if self._scope is not None and trio.current_time() < deadline < math.inf:
            handle = self._add(deadline, trio.lowlevel.current_task())

            def abort(_: object) -> trio.lowlevel.Abort:
                handle.cancel()
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
            if trio.current_time() >= deadline:
                return
        # Nobody turns the wheel (any more), or there is nothing to wait for but a checkpoint.
        await trio.sleep_until(deadline)

    def call_at(self, deadline: float, fn: Callable[[], object]) -> Handle:
        """Call a function at a time of trio's clock, rounded up to a tick, in the wheel's task.

        The function must be quick and cannot wait. Functions of one tick are called in the order in
        which they were added. One whose time has come is called in the wheel's next turn, never
        from here. While nobody turns the wheel it waits, and is called when somebody does.

        Raises:
            ValueError: the deadline is not finite.
        """
        if not math.isfinite(deadline):
            raise ValueError(f"a callback's deadline is finite, not {deadline!r}")
        return self._add(deadline, fn)

    def statistics(self) -> WheelStatistics:
        """Give a frozen view of the wheel at this moment."""
        return WheelStatistics(
            is_running=self.is_running,
            live=len(self._heap) - self._dead,
            dead=self._dead,
            next_at=self._next_tick * TICK_S,
        )

    def __repr__(self) -> str:
        state = "running" if self.is_running else "idle"
        return f"<Wheel {state}, {len(self._heap) - self._dead} waiting>"

    def _add(self, deadline: float, target: trio.lowlevel.Task | Callable[[], object]) -> Handle:
        # Rounding to a billionth of a second first: 0.003 / 0.001 is a little more than 3.
        tick = math.ceil(round(deadline / TICK_S, 6))
        handle = Handle(self, target)
        self._order += 1
        heapq.heappush(self._heap, (tick, self._order, handle))
        if tick < self._next_tick and self._scope is not None:
            self._next_tick = tick
            self._scope.deadline = tick * TICK_S
        return handle

    def _turn(self) -> None:
        """Serve what is due, and set when to turn next.

        What is due is taken out first: a callback that adds another for this very moment has it
        called in the next turn, after everybody else has run, and cannot keep the wheel here.
        """
        now = trio.current_time()
        due: list[Handle] = []
        while self._heap and self._heap[0][0] * TICK_S <= now:
            handle = heapq.heappop(self._heap)[2]
            if handle._target is None:
                self._dead -= 1
            else:
                handle._wheel = None
                due.append(handle)
        self._next_tick = self._heap[0][0] if self._heap else math.inf
        for handle in due:
            # A callback before it in this turn may have cancelled it.
            target, handle._target = handle._target, None
            if isinstance(target, trio.lowlevel.Task):
                trio.lowlevel.reschedule(target)
            elif target is not None:
                self._call(target)
        self._next_tick = self._heap[0][0] if self._heap else math.inf

    def _call(self, fn: Callable[[], object]) -> None:
        try:
            fn()
        except Exception as error:  # one callback's defect must not stop everybody's clock
            _logger.exception("a callback of the wheel failed: %r", fn)
            if self._on_error is None:
                return
            try:
                self._on_error(error)
            except Exception:  # the same, for the one who is told
                _logger.exception("the wheel's on_error failed: %r", self._on_error)

    def _bury(self) -> None:
        """Count an entry as dead, and sweep when the dead are the most."""
        self._dead += 1
        if self._dead >= _COMPACT_FROM and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2]._target is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    def _release_sleepers(self) -> None:
        """Wake the sleepers and keep the callbacks; nobody turns the wheel any more."""
        kept: list[tuple[int, int, Handle]] = []
        for entry in self._heap:
            handle = entry[2]
            if isinstance(handle._target, trio.lowlevel.Task):
                trio.lowlevel.reschedule(handle._target)
                handle._target = None
            elif handle._target is not None:
                kept.append(entry)
        heapq.heapify(kept)
        self._heap = kept
        self._dead = 0
