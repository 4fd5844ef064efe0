"""A provider is asked again before its first delta only, and never in silence."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.errors import (
    ProviderAuth,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from engine.limits import Limits
from engine.providers.interface import Delta, GenerationRequest, Message, Provider
from engine.providers.retrying import Retry, RetryingProvider, retry_wait_s
from engine.testing.scripted_provider import Fail, Opened, ScriptedProvider, say

LIMITS = Limits(max_attempts=3, backoff_s=1, max_backoff_s=3, max_retry_after_s=60)
REQUEST = GenerationRequest(messages=(Message(role="user", content="hi"),), model="")
DOWN = Fail(ProviderUnavailable("down"))


async def _text(provider: Provider) -> str:
    async with provider.stream(REQUEST) as deltas:
        return "".join([delta.text async for delta in deltas])


async def test_failures_before_the_first_delta_are_retried_and_told(
    autojump_clock: MockClock,
) -> None:
    """`on_retry` is told of each retry before its wait."""
    inner = ScriptedProvider([DOWN, Opened()], [DOWN], say("ok"))
    told: list[tuple[float, Retry]] = []
    provider = RetryingProvider(
        inner,
        limits=LIMITS,
        on_retry=lambda retry: told.append((trio.current_time(), retry)),
        dice=lambda: 1.0,
    )
    assert await _text(provider) == "ok"
    assert [(at, retry.attempt, retry.wait_s) for at, retry in told] == [(0, 2, 1), (1, 3, 2)]
    assert [call.opened_at for call in inner.calls] == [0, 1, 3]
    assert provider.retries == 2


async def test_failure_after_a_delta_passes_through(autojump_clock: MockClock) -> None:
    """A half-streamed answer needs a new attempt of its part."""
    inner = ScriptedProvider([Delta(text="half"), DOWN], say("ok"))
    with pytest.raises(ProviderUnavailable):
        await _text(RetryingProvider(inner, limits=LIMITS))
    assert len(inner.calls) == 1


@pytest.mark.parametrize("error", [ProviderAuth("x"), ProviderRefused("x")])
async def test_error_that_will_come_again_is_not_retried(error: ProviderError) -> None:
    """Only retryable errors are retried."""
    inner = ScriptedProvider([Fail(error)])
    with pytest.raises(type(error)):
        await _text(RetryingProvider(inner, limits=LIMITS))
    assert len(inner.calls) == 1


async def test_attempts_are_bounded_and_the_last_error_is_raised(
    autojump_clock: MockClock,
) -> None:
    """`Limits.max_attempts`, the first included."""
    inner = ScriptedProvider([DOWN], [DOWN], [Fail(ProviderTimeout("last"))], say("too late"))
    with pytest.raises(ProviderTimeout, match="last"):
        await _text(RetryingProvider(inner, limits=LIMITS))
    assert len(inner.calls) == 3


async def test_cancel_during_the_wait_opens_nothing_more(autojump_clock: MockClock) -> None:
    """Cancellation: at any point, the waits included."""
    inner = ScriptedProvider([DOWN])
    with trio.move_on_after(0.2) as scope:
        await _text(RetryingProvider(inner, limits=LIMITS))
    assert scope.cancelled_caught
    assert (len(inner.calls), inner.open_calls) == (1, 0)


@pytest.mark.parametrize(
    ("error", "failures", "dice", "wait_s"),
    [
        (ProviderUnavailable("x"), 1, 0.0, 0.5),
        (ProviderUnavailable("x"), 1, 1.0, 1.0),
        (ProviderUnavailable("x"), 2, 1.0, 2.0),
        (ProviderUnavailable("x"), 3, 1.0, None),
        (ProviderRateLimited("x", retry_after_s=0.1), 1, 1.0, 1.0),
        (ProviderRateLimited("x", retry_after_s=30), 1, 0.0, 30),
        (ProviderRateLimited("x", retry_after_s=61), 1, 0.0, None),
        (ProviderRefused("x"), 1, 0.0, None),
    ],
)
def test_wait_before_the_next_attempt(
    error: ProviderError, failures: int, dice: float, wait_s: float | None
) -> None:
    """It doubles, half of it is jitter, Retry-After is a lower bound; too long is no retry."""
    assert retry_wait_s(error, failures, LIMITS, dice) == wait_s


def test_wait_is_bounded() -> None:
    """`Limits.max_backoff_s`: the longest wait that we choose."""
    limits = Limits(max_attempts=99, backoff_s=1, max_backoff_s=3)
    assert retry_wait_s(ProviderUnavailable("x"), 20, limits, 1.0) == 3
