"""What happens around a request to a source: pace, breaker and retries, each a wrapper.

The one rule: a policy is a `Fetcher` around a `Fetcher`, knows nothing of what is inside, and keeps
no state but its own. They nest in the order of `guarded`: a retry asks the breaker again and waits
for the pace again, so that a retry is never ruder than a first request.

Must not import a connector, sessions, pipelines or providers.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import trio

from engine.errors import SourceFailed
from engine.knowledge.fetching import Fetch, Fetcher
from engine.limits import Limits
from engine.supervision.breaker import Breaker


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a source wants to be asked; each connector names the place where it says so."""

    per_s: float
    """Requests a second in the long run."""
    burst: int
    """Requests that may go out at once after a pause."""
    lanes: int = 8
    """Questions (each of one or more requests) at a time."""


class PacedFetcher:
    """Lets requests out at a source's pace (a token bucket); the others wait in order.

    Backpressure: a caller waits here until its turn comes; its own time-out bounds the wait.
    """

    def __init__(self, inner: Fetcher, pace: Pace) -> None:
        self._inner = inner
        self._pace = pace
        self._next_at = float("-inf")

    async def fetch(self, fetch: Fetch) -> bytes:
        """Wait for the turn, then ask.

        Cancellation: while waiting, the turn stays used: the pace is never exceeded for it.
        """
        # The time at which the bucket would be full again; look and leap, no await between.
        now = trio.current_time()
        interval_s = 1 / self._pace.per_s
        self._next_at = max(self._next_at, now - (self._pace.burst - 1) * interval_s) + interval_s
        await trio.sleep_until(self._next_at - interval_s)
        return await self._inner.fetch(fetch)


class BreakingFetcher:
    """Refuses at once while its breaker is open."""

    def __init__(self, inner: Fetcher, breaker: Breaker, *, source: str) -> None:
        self._inner = inner
        self._breaker = breaker
        self._source = source

    async def fetch(self, fetch: Fetch) -> bytes:
        """Ask, unless the breaker is open.

        A refusal and an odd answer show that the source is alive; only transient failures open the
        breaker. Cancellation: counts as no outcome.
        """
        if not self._breaker.admit(trio.current_time()):
            raise SourceFailed(
                f"{self._source} failed repeatedly and is left alone for a while",
                fault="unavailable",
                retry_after_s=self._breaker.retry_after_s(trio.current_time()) or None,
            )
        try:
            body = await self._inner.fetch(fetch)
        except SourceFailed as failure:
            if failure.is_transient:
                self._breaker.fail(trio.current_time())
            else:
                self._breaker.succeed()
            raise
        except BaseException:
            self._breaker.forget()
            raise
        self._breaker.succeed()
        return body


class RetryingFetcher:
    """Repeats requests that failed for a passing reason, with growing waits.

    Args:
        jitter: gives a number from 0 to 1; a test brings its own.
    """

    def __init__(
        self, inner: Fetcher, limits: Limits, *, jitter: Callable[[], float] = random.random
    ) -> None:
        self._inner = inner
        self._limits = limits
        self._jitter = jitter

    async def fetch(self, fetch: Fetch) -> bytes:
        """Ask up to `source_attempts` times.

        A Retry-After is honoured; one above `source_max_wait_s` ends the attempts, since by then
        the exhibition has moved on.
        """
        attempt = 1
        while True:
            try:
                return await self._inner.fetch(fetch)
            except SourceFailed as failure:
                wait_s = self._wait_s(attempt, failure)
                if wait_s is None:
                    raise
            await trio.sleep(wait_s)
            attempt += 1

    def _wait_s(self, attempt: int, failure: SourceFailed) -> float | None:
        if not failure.is_transient or attempt >= self._limits.source_attempts:
            return None
        backoff_s = self._limits.source_backoff_s * 2 ** (attempt - 1) * (0.5 + self._jitter())
        wait_s = max(backoff_s, failure.retry_after_s or 0.0)
        return wait_s if wait_s <= self._limits.source_max_wait_s else None


def guarded(
    inner: Fetcher, *, source: str, pace: Pace, breaker: Breaker, limits: Limits
) -> Fetcher:
    """Wrap a fetcher with pace, breaker and retries, in the order that makes them right."""
    paced = PacedFetcher(inner, pace)
    return RetryingFetcher(BreakingFetcher(paced, breaker, source=source), limits)
