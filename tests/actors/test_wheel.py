"""The wheel's promises: on time, never early, nothing left by a cancel, no callback kills it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from engine.actors import Wheel
from engine.actors.wheel import TICK_S


@pytest.fixture
async def wheel(autojump_clock: MockClock, nursery: trio.Nursery) -> AsyncIterator[Wheel]:
    wheel = Wheel()
    await nursery.start(wheel.run)
    yield wheel
    nursery.cancel_scope.cancel()


async def test_sleepers_wake_at_their_tick_in_order(
    autojump_clock: MockClock, wheel: Wheel
) -> None:
    """Hundreds of sleepers wake at their time, rounded up to a tick: never early."""
    rng = random.Random(1)
    waits = [rng.uniform(0, 3) for _ in range(500)]
    late: list[float] = []
    woken: list[float] = []

    async def sleeper(deadline: float) -> None:
        await wheel.sleep_until(deadline)
        late.append(trio.current_time() - deadline)
        woken.append(trio.current_time())

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for wait in waits:
            nursery.start_soon(sleeper, start + wait)
        await wait_all_tasks_blocked()
        assert wheel.statistics().live == 500
    assert len(late) == 500
    assert min(late) >= 0
    assert max(late) < TICK_S + 1e-9
    assert woken == sorted(woken)
    assert wheel.statistics().live == 0


async def test_sleepers_set_no_deadline_of_their_own(
    autojump_clock: MockClock, wheel: Wheel
) -> None:
    """However many sleep on the wheel, trio's clock has the wheel's deadline alone."""
    async with trio.open_nursery() as nursery:
        for n in range(100):
            nursery.start_soon(wheel.sleep, 1 + n)
        await wait_all_tasks_blocked()
        until_next = trio.lowlevel.current_statistics().seconds_to_next_deadline
        assert until_next == pytest.approx(1, abs=TICK_S)
        depth = wheel.statistics()
        assert (depth.live, depth.dead) == (100, 0)
        nursery.cancel_scope.cancel()


async def test_earlier_sleeper_brings_the_turn_forward(
    autojump_clock: MockClock, wheel: Wheel
) -> None:
    """A deadline that is added later and lies earlier is served first."""
    start = trio.current_time()
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await wheel.sleep(seconds)
        woken.append(round(trio.current_time() - start, 3))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleeper, 10)
        await wait_all_tasks_blocked()
        nursery.start_soon(sleeper, 1)
    assert woken == [1, 10]


async def test_sleepers_are_woken_without_a_step_of_the_wheels_task(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A thousand naps cost no step but the sleeper's own; a callback costs one of the wheel's."""

    class Steps(trio.abc.Instrument):
        def __init__(self) -> None:
            self.count = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.count += "Wheel.run" in task.name

    wheel, steps = Wheel(), Steps()
    await nursery.start(wheel.run)
    await wheel.sleep(0.1)
    trio.lowlevel.add_instrument(steps)
    for _ in range(1000):
        await wheel.sleep(0.01)
    assert steps.count == 0
    called: list[float] = []
    at = trio.current_time() + 1
    wheel.call_at(at, lambda: called.append(trio.current_time()))
    await wheel.sleep(2)
    assert called == [pytest.approx(at, abs=TICK_S)]
    assert steps.count > 0
    trio.lowlevel.remove_instrument(steps)
    nursery.cancel_scope.cancel()


async def test_wheel_turns_on_when_its_instrument_fails(
    autojump_clock: MockClock,
    wheel: Wheel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """trio takes a failing instrument out: the wheel's own task then wakes the sleepers."""
    await wheel.sleep(1)

    def fail() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(wheel, "_wake_sleepers", fail)
    at = trio.current_time() + 3
    await wheel.sleep_until(at)
    assert trio.current_time() == pytest.approx(at, abs=TICK_S)
    assert len(caplog.records) == 1
    assert wheel.is_running


async def test_sleep_for_no_time_is_a_checkpoint(autojump_clock: MockClock, wheel: Wheel) -> None:
    """A deadline in the past lets others run, and sees a cancel."""
    with trio.testing.assert_checkpoints():
        await wheel.sleep_until(trio.current_time() - 1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await wheel.sleep(0)
    assert scope.cancelled_caught


async def test_cancelled_sleeper_leaves_no_live_entry(
    autojump_clock: MockClock, wheel: Wheel
) -> None:
    """A cancelled sleeper leaves nothing that wakes, and the time-out is on time."""
    start = trio.current_time()
    with trio.move_on_after(1) as scope:
        await wheel.sleep(5)
    assert scope.cancelled_caught
    assert trio.current_time() - start == 1
    assert wheel.statistics().live == 0


async def test_heap_of_dead_entries_is_compacted(autojump_clock: MockClock, wheel: Wheel) -> None:
    """Cancelled sleepers do not pile up: dead entries never outnumber the living for long."""
    survivor = trio.Event()

    async def survive() -> None:
        await wheel.sleep(1000)
        survivor.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(survive)
        for _ in range(20):
            async with trio.open_nursery() as batch:
                for _ in range(100):
                    batch.start_soon(wheel.sleep, 500)
                await wait_all_tasks_blocked()
                batch.cancel_scope.cancel()
            now = wheel.statistics()
            assert now.live == 1
            assert now.dead < 64
    assert survivor.is_set()
    assert wheel.statistics().dead == 0


async def test_callbacks_of_one_tick_are_called_in_order(
    autojump_clock: MockClock, wheel: Wheel
) -> None:
    """Callbacks are called by time, and within a tick in the order in which they were added."""
    called: list[str] = []
    now = trio.current_time()
    wheel.call_at(now + 2, partial(called.append, "c"))
    wheel.call_at(now + 1, partial(called.append, "a"))
    wheel.call_at(now + 1, partial(called.append, "b"))
    await wheel.sleep(1.5)
    assert called == ["a", "b"]
    await wheel.sleep(1)
    assert called == ["a", "b", "c"]


async def test_cancelled_callback_is_not_called(autojump_clock: MockClock, wheel: Wheel) -> None:
    """`cancel` is True once; even a callback of the same turn can cancel the next one."""
    called: list[str] = []
    at = trio.current_time() + 1
    first = wheel.call_at(at, partial(called.append, "first"))
    assert first.cancel()
    assert not first.cancel()
    second = wheel.call_at(at, lambda: called.append(f"second {third.cancel()}"))
    third = wheel.call_at(at, partial(called.append, "third"))
    await wheel.sleep(2)
    assert called == ["second True"]
    assert not second.cancel()
    now = wheel.statistics()
    assert (now.live, now.dead) == (0, 0)


async def test_callback_may_cancel_a_sleeper_of_the_same_turn(
    autojump_clock: MockClock, wheel: Wheel
) -> None:
    """A sleeper that is cancelled in the turn that was to wake it ends cancelled, once."""
    at = trio.current_time() + 1
    with trio.CancelScope() as scope:
        wheel.call_at(at, scope.cancel)
        await wheel.sleep_until(at)
    assert scope.cancelled_caught
    now = wheel.statistics()
    assert (now.live, now.dead) == (0, 0)


async def test_callback_for_this_moment_lets_others_run_first(
    autojump_clock: MockClock, wheel: Wheel
) -> None:
    """A callback that adds itself again for now cannot keep the wheel to itself."""
    called = 0

    def again() -> None:
        nonlocal called
        called += 1
        if called < 1000:
            wheel.call_at(trio.current_time(), again)

    again()
    for _ in range(10):
        await trio.lowlevel.checkpoint()
    assert 1 < called < 1000
    await wheel.sleep(1)
    assert called == 1000


async def test_error_of_a_callback_is_reported_and_the_wheel_turns_on(
    autojump_clock: MockClock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in a callback, and one in the handler, kill neither wheel nor neighbours."""
    errors: list[str] = []

    def report(error: Exception) -> None:
        errors.append(str(error))
        raise RuntimeError("the handler is broken too")

    def fail() -> None:
        raise ValueError("broken")

    wheel = Wheel(on_error=report)
    await nursery.start(wheel.run)
    called: list[int] = []
    at = trio.current_time() + 1
    wheel.call_at(at, fail)
    wheel.call_at(at, partial(called.append, 1))
    await wheel.sleep(2)
    assert errors == ["broken"]
    assert called == [1]
    assert wheel.is_running
    assert len(caplog.records) == 2
    nursery.cancel_scope.cancel()


async def test_sleep_without_a_running_wheel_uses_trios_clock(autojump_clock: MockClock) -> None:
    """If nobody turns the wheel, sleeping works all the same."""
    wheel = Wheel()
    await wheel.sleep(1.5)
    assert trio.current_time() == 1.5
    assert wheel.statistics().live == 0


async def test_sleepers_outlive_the_wheel_and_wake_on_time(autojump_clock: MockClock) -> None:
    """A wheel that is stopped hands its sleepers over to trio's clock; callbacks wait."""
    wheel = Wheel()
    called: list[float] = []
    woken: list[float] = []

    async def sleeper() -> None:
        await wheel.sleep(5)
        woken.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as inner:
            await inner.start(wheel.run)
            nursery.start_soon(sleeper)
            wheel.call_at(3, lambda: called.append(trio.current_time()))
            await trio.sleep(1)
            inner.cancel_scope.cancel()
        assert not wheel.is_running
    assert woken == [5]
    assert called == []
    async with trio.open_nursery() as nursery:
        await nursery.start(wheel.run)
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert called == [5]


async def test_wheel_is_turned_by_one_task(autojump_clock: MockClock, wheel: Wheel) -> None:
    """A second task that would turn the wheel is refused, and the first goes on."""
    with pytest.raises(RuntimeError):
        await wheel.run()
    await wheel.sleep(1)
    assert wheel.is_running


async def test_impossible_deadlines_are_refused(autojump_clock: MockClock, wheel: Wheel) -> None:
    """NaN is no deadline, a callback has a finite one, and nobody sleeps for less than nothing."""
    for seconds in (float("nan"), -1.0):
        with pytest.raises(ValueError, match="sleeps"):
            await wheel.sleep(seconds)
    with pytest.raises(ValueError, match="NaN"):
        await wheel.sleep_until(float("nan"))
    with pytest.raises(ValueError, match="finite"):
        wheel.call_at(float("inf"), print)
    with trio.move_on_after(7) as scope:
        await wheel.sleep(float("inf"))
    assert scope.cancelled_caught
