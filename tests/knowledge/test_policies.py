"""Pace, breaker and retries around a fetcher, on the virtual clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from engine.errors import SourceFailed
from engine.knowledge.fetching import Fetch
from engine.knowledge.policies import (
    BreakingFetcher,
    Pace,
    PacedFetcher,
    RetryingFetcher,
    guarded,
)
from engine.limits import Limits
from engine.supervision.breaker import Breaker

ASK = Fetch(url="http://service/x", params=(("q", "a b"),))
LIMITS = Limits(source_attempts=3, source_backoff_s=1.0, source_max_wait_s=4.0)


class Service:
    """The end of the chain: does what a script says, and notes when it was asked."""

    def __init__(self, *script: Callable[[], bytes] | SourceFailed) -> None:
        self.script = list(script)
        self.asked_at: list[float] = []

    async def fetch(self, fetch: Fetch) -> bytes:
        self.asked_at.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        step = self.script.pop(0) if self.script else lambda: b"{}"
        if isinstance(step, SourceFailed):
            raise step
        return step()


class Hanging(Service):
    async def fetch(self, fetch: Fetch) -> bytes:
        self.asked_at.append(trio.current_time())
        await trio.sleep_forever()
        raise AssertionError


def failed(**fields: object) -> SourceFailed:
    return SourceFailed("it failed", **{"fault": "unavailable", **fields})  # type: ignore[arg-type]


async def test_burst_goes_out_at_once_then_the_pace_holds(autojump_clock: MockClock) -> None:
    """A bucket of three at two a second: 0, 0, 0, then each half second."""
    service = Service()
    paced = PacedFetcher(service, Pace(per_s=2, burst=3))
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(paced.fetch, ASK)
    assert [round(at - began, 6) for at in service.asked_at] == [0, 0, 0, 0.5, 1.0, 1.5]


async def test_pace_refills_in_a_pause_but_not_beyond_its_burst(autojump_clock: MockClock) -> None:
    """After any pause the burst is whole again, never more."""
    service = Service()
    paced = PacedFetcher(service, Pace(per_s=1, burst=2))
    await trio.sleep(100)
    began = trio.current_time()
    for _ in range(3):
        await paced.fetch(ASK)
    assert [round(at - began, 6) for at in service.asked_at] == [0, 0, 1]


async def test_cancelled_turn_does_not_break_the_pace(autojump_clock: MockClock) -> None:
    """A caller that gives up waiting frees nothing and blocks nobody."""
    service = Service()
    paced = PacedFetcher(service, Pace(per_s=1, burst=1))
    await paced.fetch(ASK)
    with trio.move_on_after(0.5):
        await paced.fetch(ASK)
    await paced.fetch(ASK)
    assert [round(at - service.asked_at[0], 6) for at in service.asked_at] == [0, 2]


@pytest.mark.parametrize("fault", ["timeout", "unavailable", "rate_limited"])
async def test_passing_failures_are_retried_with_growing_waits(
    autojump_clock: MockClock, fault: str
) -> None:
    """Three attempts, a second and two seconds apart; then the last failure is raised."""
    service = Service(*[failed(fault=fault) for _ in range(3)])
    retrying = RetryingFetcher(service, LIMITS, jitter=lambda: 0.5)
    with pytest.raises(SourceFailed):
        await retrying.fetch(ASK)
    began = service.asked_at[0]
    assert [round(at - began, 6) for at in service.asked_at] == [0, 1, 3]


@pytest.mark.parametrize("fault", ["refused", "bad_answer"])
async def test_lasting_failures_are_not_retried(fault: str) -> None:
    """A refusal or an odd answer will be the same again."""
    service = Service(failed(fault=fault))
    with pytest.raises(SourceFailed):
        await RetryingFetcher(service, LIMITS).fetch(ASK)
    assert len(service.asked_at) == 1


async def test_retry_after_is_honoured_up_to_the_bound(autojump_clock: MockClock) -> None:
    """A Retry-After of 3 s is waited for; one of a minute ends the attempts."""
    service = Service(
        failed(fault="rate_limited", retry_after_s=3.0),
        failed(fault="rate_limited", retry_after_s=60.0),
    )
    with pytest.raises(SourceFailed):
        await RetryingFetcher(service, LIMITS, jitter=lambda: 0.0).fetch(ASK)
    assert [round(at - service.asked_at[0], 6) for at in service.asked_at] == [0, 3]


async def test_open_breaker_refuses_without_asking(autojump_clock: MockClock) -> None:
    """Two failures open it; it says when to come again; a good probe closes it."""
    service = Service(failed(), failed())
    breaker = Breaker(failures=2, reset_s=30)
    breaking = BreakingFetcher(service, breaker, source="met")
    for _ in range(2):
        with pytest.raises(SourceFailed, match="it failed"):
            await breaking.fetch(ASK)
    with pytest.raises(SourceFailed, match="left alone") as refused:
        await breaking.fetch(ASK)
    assert refused.value.retry_after_s == pytest.approx(30)
    assert len(service.asked_at) == 2
    await trio.sleep(30)
    assert await breaking.fetch(ASK) == b"{}"
    assert breaker.state == "closed"


async def test_cancelled_probe_is_given_back(autojump_clock: MockClock) -> None:
    """A probe whose caller was cancelled does not leave the breaker half open for ever."""
    breaker = Breaker(failures=1, reset_s=10)
    breaker.fail(trio.current_time())
    await trio.sleep(10)
    with trio.move_on_after(1):
        await BreakingFetcher(Hanging(), breaker, source="met").fetch(ASK)
    assert await BreakingFetcher(Service(), breaker, source="met").fetch(ASK) == b"{}"


async def test_refusals_do_not_open_the_breaker() -> None:
    """A source that refuses is alive."""
    service = Service(*[failed(fault="refused") for _ in range(5)])
    breaker = Breaker(failures=2, reset_s=30)
    for _ in range(5):
        with pytest.raises(SourceFailed, match="it failed"):
            await BreakingFetcher(service, breaker, source="met").fetch(ASK)
    assert breaker.state == "closed"


async def test_guarded_source_that_is_down_is_given_up_soon(autojump_clock: MockClock) -> None:
    """Fifteen questions to a dead source cost four requests and some seconds in all."""
    service = Service(*[failed() for _ in range(100)])
    breaker = Breaker(failures=4, reset_s=30)
    fetcher = guarded(
        service, source="met", pace=Pace(per_s=10, burst=10), breaker=breaker, limits=LIMITS
    )
    began = trio.current_time()
    for _ in range(15):
        with pytest.raises(SourceFailed):
            await fetcher.fetch(ASK)
    assert len(service.asked_at) == 4
    assert trio.current_time() - began < 10


def test_cache_key_holds_the_question_and_no_header() -> None:
    """Parameters are part of the key; a key in a header is not."""
    keyed = Fetch(url=ASK.url, params=ASK.params, headers=(("X-Api-Key", "secret"),))
    assert keyed.cache_key == ASK.cache_key == "http://service/x?q=a+b"
