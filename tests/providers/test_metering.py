"""Every call is counted once, and every answer tells its usage."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.errors import ProviderUnavailable
from engine.events import Usage
from engine.providers.interface import Delta, GenerationRequest, Message
from engine.providers.metering import MeteredProvider, MeterStatistics
from engine.testing.scripted_provider import Fail, Hang, ScriptedProvider, Sleep, say

REQUEST = GenerationRequest(
    messages=(Message(role="user", content="x" * 38),), model="", instructions="y" * 8
)


async def _read(provider: MeteredProvider) -> list[Delta]:
    async with provider.stream(REQUEST) as deltas:
        return [delta async for delta in deltas]


async def test_reported_usage_passes_unchanged() -> None:
    """Usage is estimated only where the provider reported none."""
    usage = Usage(input_tokens=3, output_tokens=4)
    meter = MeteredProvider(ScriptedProvider(say("hello", usage=usage)))
    assert (await _read(meter))[-1].usage == usage
    statistics = meter.statistics()
    assert (statistics.input_tokens, statistics.output_tokens, statistics.estimated) == (3, 4, 0)


async def test_missing_usage_is_estimated_over_the_whole_answer() -> None:
    """Pieces are not rounded up one by one."""
    meter = MeteredProvider(ScriptedProvider(say(*"abcdefghi")))
    last = (await _read(meter))[-1]
    assert last.usage == Usage(input_tokens=12, output_tokens=3, estimated=True)
    assert meter.statistics().estimated == 1


async def test_tokens_that_a_provider_counted_are_used() -> None:
    """`Delta.tokens`: output tokens in `text`, where the provider knows."""
    script = [Delta(text="abc", tokens=2), Delta(text="d", tokens=1), Delta(finish="stop")]
    last = (await _read(MeteredProvider(ScriptedProvider(script))))[-1]
    assert last.usage is not None
    assert last.usage.output_tokens == 3


async def test_each_call_ends_in_one_count(autojump_clock: MockClock) -> None:
    """`calls` = completed + failed + cancelled + left + open."""
    failing = [Delta(text="abcd"), Fail(ProviderUnavailable("down"))]
    inner = ScriptedProvider(say("ok"), failing, [Delta(text="a"), Hang()], say("long"), [Hang()])
    meter = MeteredProvider(inner)
    await _read(meter)
    with pytest.raises(ProviderUnavailable):
        await _read(meter)
    with trio.move_on_after(1):
        await _read(meter)
    async with meter.stream(REQUEST) as deltas:
        await anext(deltas)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read, meter)
        await trio.testing.wait_all_tasks_blocked()
        statistics = meter.statistics()
        nursery.cancel_scope.cancel()
    assert statistics == MeterStatistics(
        calls=5,
        completed=1,
        failed=1,
        cancelled=1,
        left=1,
        open=1,
        input_tokens=4 * 12,
        output_tokens=1 + 1 + 1 + 1,
        estimated=4,
        ttft_count=4,
    )
    assert meter.statistics().open == 0


async def test_time_to_the_first_delta_is_measured(autojump_clock: MockClock) -> None:
    """From the call to its first delta with something in it."""
    silent = [Delta(response_id="r"), Sleep(2), *say("a")]
    meter = MeteredProvider(ScriptedProvider(silent, say("a", pace_s=1)))
    await _read(meter)
    await _read(meter)
    statistics = meter.statistics()
    assert (statistics.ttft_count, statistics.ttft_sum_s, statistics.ttft_max_s) == (2, 3, 2)
