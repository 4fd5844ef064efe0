"""How often a user may call."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.errors import InvalidRequest, RateLimited
from server.rates import Rate


async def call(rate: Rate, user: str = "ada") -> None:
    with rate.call(user):
        await trio.lowlevel.checkpoint()


async def test_so_many_in_any_window(autojump_clock: MockClock) -> None:
    """10 calls a minute; the refusal says when there is room again, and then there is."""
    rate = Rate(3, 60)
    for _ in range(3):
        await call(rate)
        await trio.sleep(10)
    with pytest.raises(RateLimited) as refused:
        await call(rate)
    assert refused.value.retry_after_s == 30
    await call(rate, "bob")
    await trio.sleep(29.9)
    with pytest.raises(RateLimited):
        await call(rate)
    await trio.sleep(0.2)
    await call(rate)


async def test_what_was_refused_or_cancelled_does_not_count(autojump_clock: MockClock) -> None:
    """Refusals do not count; nor does a call that was given up before it began."""
    rate = Rate(1, 60)
    for _ in range(5):
        with pytest.raises(InvalidRequest), rate.call("ada"):
            raise InvalidRequest("bad")
        with trio.move_on_after(1), rate.call("ada"):
            await trio.sleep_forever()
    await call(rate)
    for _ in range(5):
        with pytest.raises(RateLimited):
            await call(rate)
    await trio.sleep(60.1)
    await call(rate)


async def test_calls_side_by_side_do_not_overshoot(autojump_clock: MockClock) -> None:
    """A place is taken before the work begins."""
    rate = Rate(2, 60)
    with rate.call("ada"), rate.call("ada"):
        with pytest.raises(RateLimited):
            await call(rate)


async def test_users_who_stay_away_are_forgotten(autojump_clock: MockClock) -> None:
    """Memory is bounded by the users of the last two windows."""
    rate = Rate(2, 60)
    for number in range(100):
        await call(rate, f"user {number}")
    await trio.sleep(61)
    await call(rate, "ada")
    assert repr(rate) == "<Rate 2 in 60 s, 1 users>"
