"""A limited provider keeps to its account's bounds and never leaks a slot."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from engine.errors import ProviderRateLimited
from engine.events import Usage
from engine.limits import Limits
from engine.providers.interface import Delta, GenerationRequest, Message
from engine.providers.limiting import LimitedProvider, LimiterStatistics, TokenBucket
from engine.testing.scripted_provider import Hang, ScriptedProvider, Sleep, say


def _ask(content: str = "hi", max_tokens: int | None = None) -> GenerationRequest:
    message = Message(role="user", content=content)
    return GenerationRequest(messages=(message,), model="", max_tokens=max_tokens)


async def _read(provider: LimitedProvider, request: GenerationRequest) -> None:
    async with provider.stream(request) as deltas:
        async for _ in deltas:
            pass


async def test_calls_beyond_the_limit_wait_in_the_order_they_came(
    autojump_clock: MockClock,
) -> None:
    """Calls wait in the order in which they came."""
    inner = ScriptedProvider([Sleep(1), Delta(finish="stop")])
    provider = LimitedProvider(inner, concurrency=1)
    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(_read, provider, _ask(f"{number}"))
            await wait_all_tasks_blocked()
        assert provider.statistics() == LimiterStatistics(running=1, waiting=5)
    assert [r.messages[0].content for r in inner.requests] == list("012345")
    assert [call.opened_at for call in inner.calls] == [0, 1, 2, 3, 4, 5]


async def test_cancel_while_waiting_leaks_no_slot(autojump_clock: MockClock) -> None:
    """I14: whatever way a call ends, its slot is free again."""
    inner = ScriptedProvider([Hang()], [Hang()], say("ok"))
    provider = LimitedProvider(inner, concurrency=1)
    for _ in range(2):
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(_read, provider, _ask())
    assert provider.statistics() == LimiterStatistics(running=0, waiting=0)
    with trio.fail_after(1):
        await _read(provider, _ask())


@given(data=st.data())
def test_random_cancels_leak_no_slot(data: st.DataObject) -> None:
    """I14: whoever is cancelled, and whenever, all slots come back."""
    starts = data.draw(st.lists(st.floats(0, 5), min_size=1, max_size=12))
    lives = data.draw(st.lists(st.floats(0, 5), min_size=len(starts), max_size=len(starts)))

    async def main() -> None:
        inner = ScriptedProvider([Sleep(1.5), Delta(text="a"), Sleep(0.5), Delta(finish="stop")])
        provider = LimitedProvider(inner, concurrency=2, requests_per_minute=60)

        async def call(start_s: float, life_s: float) -> None:
            await trio.sleep(start_s)
            with trio.move_on_after(life_s):
                await _read(provider, _ask())
            assert inner.open_calls <= 2

        async with trio.open_nursery() as nursery:
            for start_s, life_s in zip(starts, lives, strict=True):
                nursery.start_soon(call, start_s, life_s)
        assert provider.statistics() == LimiterStatistics(running=0, waiting=0)
        assert inner.open_calls == 0

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_requests_per_minute_flow_in_evenly(autojump_clock: MockClock) -> None:
    """After a full bucket, one request passes each 60 / rate seconds, in order."""
    inner = ScriptedProvider(say("ok"))
    provider = LimitedProvider(inner, requests_per_minute=6)
    async with trio.open_nursery() as nursery:
        for number in range(9):
            nursery.start_soon(_read, provider, _ask(f"{number}"))
            await wait_all_tasks_blocked()
    assert [call.opened_at for call in inner.calls] == pytest.approx([0] * 6 + [10, 20, 30])
    assert [r.messages[0].content for r in inner.requests] == list("012345678")


async def test_tokens_are_reserved_before_and_settled_after(autojump_clock: MockClock) -> None:
    """What was reserved and not used is put back at once."""
    usage = Usage(input_tokens=10, output_tokens=90)
    provider = LimitedProvider(ScriptedProvider(say("a", usage=usage)), tokens_per_minute=1000)
    for _ in range(3):  # each reserves 801 and uses 100
        await _read(provider, _ask(max_tokens=800))
    # 1000, 900 and 800 were there; one token more flows in within 60 ms
    assert trio.current_time() == pytest.approx(0.06)
    await _read(provider, _ask(max_tokens=800))  # 701 are there, 100 flow in within 6 s
    assert trio.current_time() == pytest.approx(6.06)


async def test_wait_that_is_too_long_is_refused(autojump_clock: MockClock) -> None:
    """ProviderRateLimited: the allowance is used up for longer than anybody waits."""
    inner = ScriptedProvider(say("ok"))
    limits = Limits(max_retry_after_s=5)
    provider = LimitedProvider(inner, requests_per_minute=1, limits=limits)
    await _read(provider, _ask())
    with pytest.raises(ProviderRateLimited) as caught:
        await _read(provider, _ask())
    assert caught.value.retry_after_s == pytest.approx(60)
    assert len(inner.calls) == 1
    assert provider.statistics().running == 0


@given(
    rate=st.floats(1, 1e6),
    amounts=st.lists(st.floats(0, 1e6), max_size=20),
)
def test_bucket_never_gives_more_than_it_holds_and_what_flows_in(
    rate: float, amounts: list[float]
) -> None:
    """It starts full and holds what flows in during a minute."""
    now, taken = 0.0, 0.0
    bucket = TokenBucket(rate, now)
    for amount in amounts:
        amount = min(amount, rate)
        now += bucket.wait_s(amount, now)
        assert bucket.wait_s(amount, now) == 0
        bucket.take(amount, now)
        taken += amount
        assert taken <= rate * (1 + now / 60) * (1 + 1e-4)
