"""A timer wheel: one task that wakes thousands of sleepers and calls what is due.

Its one rule: a sleeper costs an entry in a list, and no cancel scope and no deadline of its own.
Deadlines are rounded up to ticks of 2 ms. Each tick has a list of what is due at it, and a heap
holds the ticks, so what is due at about the same time is served by one turn, which reschedules the
parked tasks directly. The simulated provider's pace sleeps here. Must not import anything of the
engine.

Who turns it: sleepers are woken by an instrument, right after the loop's wait, so that they run in
that very turn of the loop; the wheel's task holds a cancel scope whose deadline the loop waits for,
and which is moved on before it expires. Callbacks may do what only a task may do, so their ticks
are left to the wheel's task, whose scope then expires. It would also take over if the instrument
ever failed, which trio takes out then.

A cancelled sleeper and a cancelled callback leave a dead entry in their list, without a task or a
function; when most entries are dead they are swept out, so there are never more than twice as many
as living ones. All of this is of one `trio.run`: nothing here may be called from a thread.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Callable
from contextlib import suppress

import msgspec
import trio

_logger = logging.getLogger(__name__)

TICK_S = 0.002
"""Shorter waits are not told apart: 2 ms is a twelfth of the rollup's window, and nobody sees it. A
wake-up of the whole process costs as much as three deltas: of ticks of 1 ms it would need twice as
many."""

_TICKS_PER_S = 1 / TICK_S

_COMPACT_FROM = 64
"""Below this many dead entries, sweeping them out costs more than it frees."""


class WheelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel at one moment."""

    is_running: bool
    live: int
    """Sleepers and callbacks that wait."""
    dead: int
    """Entries that were cancelled and are not swept out yet."""
    next_at: float
    """When the wheel turns next, in seconds of trio's clock; inf: not before something is added."""


class Handle:
    """A callback or a sleeper that waits for its time."""

    __slots__ = ("_target", "_wheel")

    def __init__(self, wheel: Wheel, target: trio.lowlevel.Task | Callable[[], object]) -> None:
        self._wheel: Wheel | None = wheel  # None from the turn on that serves it
        self._target: trio.lowlevel.Task | Callable[[], object] | None = target

    def cancel(self) -> bool:
        """See to it that the callback is not called; False: it was called, or cancelled, before."""
        if self._target is None:
            return False
        self._target = None
        if self._wheel is not None:
            self._wheel._bury()
        return True

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self.cancel()
        return trio.lowlevel.Abort.SUCCEEDED

    def __repr__(self) -> str:
        return f"<Handle {'waiting' if self._target is not None else 'over'}>"


class Wheel:
    """One task's deadlines. Run it once, in a nursery around all that sleeps on it.

    Args:
        on_error: is told of an exception that a callback raised, after it was logged; the wheel
            turns on. What it raises itself is logged too.
    """

    def __init__(self, *, on_error: Callable[[Exception], object] | None = None) -> None:
        self._on_error = on_error
        self._ticks: list[int] = []  # a heap of the keys of _due
        self._due: dict[int, list[Handle]] = {}
        self._calling: set[int] = set()  # ticks with a callback among what is due
        self._count = 0  # entries in _due, dead ones too
        self._dead = 0
        self._next_tick: float = math.inf
        self._scope: trio.CancelScope | None = None
        self._waker: _Waker | None = None

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
            if self._waker is not None:
                with suppress(KeyError):  # trio took it out
                    trio.lowlevel.remove_instrument(self._waker)
                self._waker = None
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
        if self._scope is not None and -math.inf < deadline < math.inf:
            if self._waker is None:
                self._waker = _Waker(self)
                trio.lowlevel.add_instrument(self._waker)
            handle = self._add(deadline, trio.lowlevel.current_task())
            await trio.lowlevel.wait_task_rescheduled(handle._abort)
            if handle._wheel is None:  # a turn served it: its time has come
                return
        elif math.isnan(deadline):
            raise ValueError("a deadline is not NaN")
        await trio.sleep_until(deadline)  # nobody turns the wheel (any more), or it is for ever

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
            live=self._count - self._dead,
            dead=self._dead,
            next_at=self._next_tick * TICK_S,
        )

    def __repr__(self) -> str:
        state = "running" if self.is_running else "idle"
        return f"<Wheel {state}, {self._count - self._dead} waiting>"

    def _add(self, deadline: float, target: trio.lowlevel.Task | Callable[[], object]) -> Handle:
        # The first tick that is not before the deadline; the product alone may be off by a bit.
        tick = math.ceil(deadline * _TICKS_PER_S)
        if tick * TICK_S < deadline:
            tick += 1
        elif (tick - 1) * TICK_S >= deadline:
            tick -= 1
        handle = Handle(self, target)
        self._count += 1
        if not isinstance(target, trio.lowlevel.Task):
            self._calling.add(tick)
        due = self._due.get(tick)
        if due is not None:
            due.append(handle)
            return handle
        self._due[tick] = [handle]
        heapq.heappush(self._ticks, tick)
        if tick < self._next_tick and self._scope is not None:
            self._next_tick = tick
            self._scope.deadline = tick * TICK_S
        return handle

    def _wake_sleepers(self) -> None:
        """Serve ticks that are due, up to one with a callback, and set when to turn next."""
        ticks = self._ticks
        now = trio.current_time()
        if self._scope is None or self._next_tick * TICK_S > now:
            return
        while ticks and ticks[0] * TICK_S <= now and ticks[0] not in self._calling:
            due = self._due.pop(heapq.heappop(ticks))
            self._count -= len(due)
            for handle in due:
                task, handle._target, handle._wheel = handle._target, None, None
                if task is None:
                    self._dead -= 1
                else:
                    assert isinstance(task, trio.lowlevel.Task)
                    trio.lowlevel.reschedule(task)
        self._next_tick = ticks[0] if ticks else math.inf
        self._scope.deadline = self._next_tick * TICK_S  # a past one expires in this very turn

    def _turn(self) -> None:
        """Serve what is due, and set when to turn next.

        What is due is taken out first: a callback that adds another for this very moment has it
        called in the next turn, after everybody else has run, and cannot keep the wheel here.
        """
        now = trio.current_time()
        due: list[Handle] = []
        while self._ticks and self._ticks[0] * TICK_S <= now:
            tick = heapq.heappop(self._ticks)
            self._calling.discard(tick)
            due += self._due.pop(tick)
        self._count -= len(due)
        for handle in due:
            if handle._target is None:
                self._dead -= 1
            else:
                handle._wheel = None
        self._next_tick = self._ticks[0] if self._ticks else math.inf
        for handle in due:
            # A callback before it in this turn may have cancelled it.
            target, handle._target = handle._target, None
            if isinstance(target, trio.lowlevel.Task):
                trio.lowlevel.reschedule(target)
            elif target is not None:
                self._call(target)
        self._next_tick = self._ticks[0] if self._ticks else math.inf

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
        if self._dead >= _COMPACT_FROM and self._dead * 2 > self._count:
            self._sweep()

    def _release_sleepers(self) -> None:
        """Wake the sleepers and keep the callbacks; nobody turns the wheel any more."""
        for due in self._due.values():
            for handle in due:
                if isinstance(handle._target, trio.lowlevel.Task):
                    trio.lowlevel.reschedule(handle._target)
                    handle._target = None
        self._sweep()

    def _sweep(self) -> None:
        """Take out the dead."""
        living = {
            tick: [handle for handle in due if handle._target is not None]
            for tick, due in self._due.items()
        }
        self._due = {tick: due for tick, due in living.items() if due}
        self._calling.intersection_update(self._due)
        self._ticks = sorted(self._due)  # which is a heap
        self._count = sum(map(len, self._due.values()))
        self._dead = 0


class _Waker(trio.abc.Instrument):
    """Wakes a wheel's sleepers between the loop's wait and the tasks that it made runnable."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel

    def after_io_wait(self, timeout: float) -> None:
        self._wheel._wake_sleepers()
