"""How often a user may call."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.errors import InvalidRequest, RateLimited
from server.rates import LONGEST_TURN_S, Pace, Rate


async def call(rate: Rate, user: str = "ada") -> None:
    async with rate.call(user):
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
        with pytest.raises(InvalidRequest):
            async with rate.call("ada"):
                raise InvalidRequest("bad")
        with trio.move_on_after(1):
            async with rate.call("ada"):
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
    async with rate.call("ada"), rate.call("ada"):
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


async def test_what_comes_faster_than_the_pace_waits(autojump_clock: MockClock) -> None:
    """A burst is free, then one each interval; nobody else waits."""
    pace = Pace(10, burst=5)
    began_at = trio.current_time()
    for number in range(15):
        await pace.turn("ada")
        expected = max(0, number - 5) * 0.1
        assert trio.current_time() - began_at == pytest.approx(expected, abs=1e-6)
    before = trio.current_time()
    await pace.turn("bob")
    assert trio.current_time() == before
    await trio.sleep(10)
    before = trio.current_time()
    for _ in range(5):
        await pace.turn("ada")
    assert trio.current_time() == before


async def test_too_many_that_wait_are_refused(autojump_clock: MockClock) -> None:
    """What waits is bounded: a further request is refused with the time after which to come."""
    pace = Pace(10, burst=1)
    codes: list[str] = []

    async def turn() -> None:
        try:
            await pace.turn("ada")
        except RateLimited as error:
            codes.append(f"{error.code} {error.retry_after_s is not None}")

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(turn)
    assert trio.current_time() == pytest.approx(LONGEST_TURN_S, abs=0.11)
    assert codes == ["rate_limited True"] * (100 - (1 + int(LONGEST_TURN_S * 10) + 1))


async def test_no_pace_without_authentication(autojump_clock: MockClock) -> None:
    """Without authentication (loopback) there are no limits for a user."""
    pace = Pace()
    for _ in range(10_000):
        await pace.turn("")
    assert trio.current_time() == 0
