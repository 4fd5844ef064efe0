"""Only a provider's own faults open its breaker."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.errors import (
    ProviderAuth,
    ProviderBadOutput,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from engine.providers.breaking import BreakingProvider
from engine.providers.interface import Delta, GenerationRequest, Message
from engine.supervision.breaker import Breaker
from engine.testing.scripted_provider import Fail, Hang, ScriptedProvider, say

REQUEST = GenerationRequest(messages=(Message(role="user", content="hi"),), model="")
DOWN = [Fail(ProviderUnavailable("down"))]


def _breaking(inner: ScriptedProvider, failures: int = 1) -> BreakingProvider:
    breaker = Breaker(failures=failures, calls=2 * failures, reset_s=10)
    return BreakingProvider(inner, breaker=breaker)


async def _read(provider: BreakingProvider) -> None:
    async with provider.stream(REQUEST) as deltas:
        async for _ in deltas:
            pass


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ProviderUnavailable("x"), "open"),
        (ProviderTimeout("x"), "open"),
        (ProviderBadOutput("x"), "open"),
        (ProviderRateLimited("x"), "closed"),
        (ProviderAuth("x"), "closed"),
        (ProviderRefused("x"), "closed"),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
async def test_provider_faults_alone_count(error: ProviderError, state: str, begun: bool) -> None:
    """A refusal, a bad key or a 429 says nothing about its health."""
    script = [Delta(text="a"), Fail(error)] if begun else [Fail(error)]
    provider = _breaking(ScriptedProvider(script))
    with pytest.raises(type(error)):
        await _read(provider)
    assert provider.breaker.state == state


async def test_open_breaker_refuses_at_once_then_lets_one_probe_through(
    autojump_clock: MockClock,
) -> None:
    """closed, open, half open, closed; `info` tells."""
    inner = ScriptedProvider(DOWN, say("ok"))
    provider = _breaking(inner)
    assert provider.info().healthy
    with pytest.raises(ProviderUnavailable, match="down"):
        await _read(provider)
    await trio.sleep(4)
    with pytest.raises(ProviderUnavailable, match="left alone") as caught:
        await _read(provider)
    assert caught.value.retry_after_s == pytest.approx(6)
    assert (len(inner.calls), provider.info().healthy) == (1, False)
    assert "open" in provider.info().reason
    await trio.sleep(6)
    await _read(provider)
    assert provider.info().healthy


async def test_cancelled_probe_gives_its_place_to_the_next_call(
    autojump_clock: MockClock,
) -> None:
    """A cancel is no outcome."""
    provider = _breaking(ScriptedProvider(DOWN, [Hang()], say("ok")))
    with pytest.raises(ProviderUnavailable):
        await _read(provider)
    await trio.sleep(10)
    with trio.move_on_after(1):
        await _read(provider)
    await _read(provider)
    assert provider.breaker.state == "closed"


async def test_error_that_the_reader_catches_inside_counts(autojump_clock: MockClock) -> None:
    """What counts is that the answer failed, not where the error was caught."""
    provider = _breaking(ScriptedProvider([Delta(text="a"), *DOWN]))
    async with provider.stream(REQUEST) as deltas:
        await anext(deltas)
        with pytest.raises(ProviderUnavailable):
            await anext(deltas)
    assert provider.breaker.state == "open"


async def test_error_of_the_reader_itself_does_not_count() -> None:
    """An error that the reader raises is not the provider's."""
    provider = _breaking(ScriptedProvider(say("a")))
    with pytest.raises(ProviderUnavailable):
        async with provider.stream(REQUEST):
            raise ProviderUnavailable("another provider's")
    assert provider.breaker.state == "closed"


async def test_straggler_does_not_decide_for_the_probe(autojump_clock: MockClock) -> None:
    """A call that set out before the breaker opened says nothing about now."""
    inner = ScriptedProvider([Hang()], DOWN, [Hang()], say("ok"))
    provider = _breaking(inner)
    straggler = trio.CancelScope()

    async def straggle() -> None:
        with straggler:
            await _read(provider)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(straggle)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ProviderUnavailable):
            await _read(provider)
        await trio.sleep(10)
        nursery.start_soon(_read, provider)  # the probe
        await trio.testing.wait_all_tasks_blocked()
        straggler.cancel()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ProviderUnavailable, match="left alone"):
            await _read(provider)
        nursery.cancel_scope.cancel()
