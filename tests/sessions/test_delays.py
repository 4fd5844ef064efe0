"""One timer for many equal delays: when calls are made, in which order, and what an error ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from engine.sessions.delays import DelayLine


@asynccontextmanager
async def open_line(delay_s: float) -> AsyncIterator[DelayLine]:
    line = DelayLine(delay_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.run)
        yield line
        nursery.cancel_scope.cancel()


async def test_calls_are_made_within_the_delay_and_a_fifth_in_order(
    autojump_clock: MockClock,
) -> None:
    """A call is made `delay_s` to `1.2 * delay_s` after it was handed in, and in that order."""
    made: list[tuple[int, float]] = []

    def call(number: int, at: float) -> None:
        made.append((number, trio.current_time() - at))

    async with open_line(1.0) as line:
        for number in range(100):
            line.call(partial(call, number, trio.current_time()))
            await trio.sleep(0.037)
        await trio.sleep(1.3)
    assert [number for number, _ in made] == list(range(100))
    assert min(late for _, late in made) >= 1.0 - 1e-9
    assert max(late for _, late in made) <= 1.2 + 1e-9


async def test_call_may_wait_for_less_than_the_delay(autojump_clock: MockClock) -> None:
    """With `wait_s` a call comes after that long, late by a fifth of the delay at most."""
    made: list[float] = []

    def call(due: float) -> None:
        made.append(trio.current_time() - due)

    waits = [0.0, 0.01, 0.2, 0.21, 0.5, 0.99, 1.0]
    async with open_line(1.0) as line:
        for wait_s in waits * 20:
            line.call(partial(call, trio.current_time() + wait_s), wait_s)
            await trio.sleep(0.043)
        await trio.sleep(1.3)
    assert len(made) == len(waits) * 20
    assert min(made) >= -1e-9
    assert max(made) <= 0.2 + 1e-9


async def test_call_before_run_waits_for_it(autojump_clock: MockClock) -> None:
    """What is handed in before `run` waits for it, and then for its delay."""
    line = DelayLine(1.0)
    made: list[float] = []
    line.call(lambda: made.append(trio.current_time()))
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.run)
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    (at,) = made
    assert begin + 1.0 - 1e-9 <= at <= begin + 1.2 + 1e-9


async def test_idle_line_wakes_for_the_next_call(autojump_clock: MockClock) -> None:
    """A line that had nothing to do for a while serves the next call in its time."""
    made: list[float] = []
    async with open_line(0.1) as line:
        for _ in range(3):
            await trio.sleep(10)
            begin = trio.current_time()
            line.call(lambda: made.append(trio.current_time()))
            await trio.sleep(0.13)
            assert 0.1 - 1e-9 <= made.pop() - begin <= 0.12 + 1e-9


async def test_cancelled_line_makes_no_call(autojump_clock: MockClock) -> None:
    """Cancellation: calls that are not due yet are not made."""
    made: list[int] = []
    async with open_line(1.0) as line:
        line.call(lambda: made.append(1))
        await trio.sleep(0.9)
    await trio.sleep(5)
    assert made == []


async def test_error_of_a_call_is_logged_and_ends_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """One session's trouble stays its own."""
    made: list[int] = []

    def fail() -> None:
        raise RuntimeError("planted")

    async with open_line(1.0) as line:
        line.call(fail)
        line.call(lambda: made.append(1))
        await trio.sleep(1.3)
    assert made == [1]
    assert "a delayed call failed" in caplog.text
