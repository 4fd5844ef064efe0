"""Keep a provider within what its account allows: calls at once, requests and tokens a minute.

The one rule: whoever waits longest goes first, and whatever way a call ends, its slot is free again
(I14). A call takes its slot first and then waits for the minute's buckets, so that a cancel while
waiting has nothing to give back but the slot. Tokens are reserved before a call and settled after
it. Must not import a sibling.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from engine.errors import ProviderRateLimited
from engine.limits import Limits
from engine.providers.interface import (
    Delta,
    GenerationRequest,
    Profile,
    Provider,
    ProviderInfo,
    input_tokens,
)
from engine.providers.reading import Reading

MINUTE_S = 60.0


class TokenBucket:
    """Amounts that flow in evenly and are taken out; pure, the caller brings the time.

    It starts full and holds what flows in during a minute. It may be overdrawn by `settle`, where a
    call used more than it had reserved: then later ones wait for longer.

    Args:
        per_minute: what flows in during a minute, and the most that it holds.
        now: the monotonic clock, in seconds.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._capacity = per_minute
        self._level = per_minute
        self._at = now

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken; one above the capacity needs a full bucket."""
        self._flow(now)
        missing = min(amount, self._capacity) - self._level
        # A millionth of the capacity is rounding, not a reason to wait once more.
        return missing * MINUTE_S / self._capacity if missing > self._capacity * 1e-6 else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take `amount` out; the caller has waited."""
        self._flow(now)
        self._level -= amount

    def settle(self, reserved: float, used: float, now: float) -> None:
        """Put back what a call had reserved and did not use, or take what it used beyond."""
        self._flow(now)
        self._level = min(self._capacity, self._level + reserved - used)

    def _flow(self, now: float) -> None:
        inflow = (now - self._at) * self._capacity / MINUTE_S
        self._level = min(self._capacity, self._level + inflow)
        self._at = now

    def __repr__(self) -> str:
        return f"<TokenBucket {self._level:.1f} of {self._capacity:.0f}>"


class LimiterStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How busy a limited provider is."""

    running: int
    waiting: int
    """Calls that wait for a slot or for the minute's allowance."""


class LimitedProvider:
    """A provider whose calls wait until they are allowed.

    Args:
        inner: the provider.
        concurrency: calls at one time; 0: no limit.
        requests_per_minute: calls that may begin in a minute; None: no limit.
        tokens_per_minute: input and output tokens in a minute; None: no limit.
        limits: the longest wait, and what a call without `max_tokens` reserves.
    """

    def __init__(
        self,
        inner: Provider,
        *,
        concurrency: int = 0,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._inner = inner
        self._limits = limits or Limits()
        self._slots = trio.CapacityLimiter(concurrency or float("inf"))
        self._rates = (requests_per_minute, tokens_per_minute)
        self._buckets: tuple[TokenBucket | None, TokenBucket | None] | None = None
        self._turn = trio.StrictFIFOLock()
        self._waiting = 0

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._inner.name

    @property
    def concurrency(self) -> int:
        """Calls that it may have at one time; 0: no limit."""
        slots = self._slots.total_tokens
        return 0 if slots == float("inf") else int(slots)

    @property
    def rates(self) -> tuple[int | None, int | None]:
        """Requests and tokens that it may have in a minute; None: no limit."""
        return self._rates

    @property
    def profile(self) -> Profile:
        """What the provider can do."""
        return self._inner.profile

    @property
    def default_model(self) -> str:
        """The provider's default model."""
        return self._inner.default_model

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """Wait until the call is allowed, then pass it on.

        Raises:
            ProviderRateLimited: the minute's allowance is used up for longer than
                `limits.max_retry_after_s`.

        Cancellation: at any point; the slot is free again and unused tokens are put back.
        Backpressure: calls wait in the order in which they came.
        """
        borrower = object()
        self._waiting += 1
        try:
            await self._slots.acquire_on_behalf_of(borrower)
        finally:
            self._waiting -= 1
        try:
            reserved = await self._reserve(request)
            reading: Reading | None = None
            try:
                async with self._inner.stream(request) as deltas:
                    reading = Reading.of(deltas, request)
                    yield reading
            finally:
                self._settle(reserved, reading)
        finally:
            self._slots.release_on_behalf_of(borrower)

    async def _reserve(self, request: GenerationRequest) -> int:
        """Wait for the buckets and take from them; give the tokens that were reserved."""
        if self._rates == (None, None):
            return 0
        requests, tokens = self._opened_buckets()
        amount = 0
        if tokens is not None:
            output = request.max_tokens or self._limits.provider_output_tokens
            amount = input_tokens(request) + output
        self._waiting += 1
        try:
            async with self._turn:
                while True:
                    wait_s = self._wait_s(requests, tokens, amount)
                    if not wait_s:
                        break
                    await trio.sleep(wait_s)
                now = trio.current_time()
                if requests is not None:
                    requests.take(1, now)
                if tokens is not None:
                    tokens.take(amount, now)
        finally:
            self._waiting -= 1
        return amount

    def _wait_s(
        self, requests: TokenBucket | None, tokens: TokenBucket | None, amount: int
    ) -> float:
        now = trio.current_time()
        wait_s = max(
            requests.wait_s(1, now) if requests else 0.0,
            tokens.wait_s(amount, now) if tokens else 0.0,
        )
        if wait_s > self._limits.max_retry_after_s:
            raise ProviderRateLimited(
                f"{self.name}: the minute's allowance is used up", retry_after_s=wait_s
            )
        return wait_s

    def _opened_buckets(self) -> tuple[TokenBucket | None, TokenBucket | None]:
        if self._buckets is None:  # a provider is made before trio runs, a bucket needs its clock
            now = trio.current_time()
            requests, tokens = self._rates
            self._buckets = (
                None if requests is None else TokenBucket(requests, now),
                None if tokens is None else TokenBucket(tokens, now),
            )
        return self._buckets

    def _settle(self, reserved: int, reading: Reading | None) -> None:
        """Put back what was reserved and not used: all, if it failed before its first delta."""
        if reserved and self._buckets is not None and self._buckets[1] is not None:
            used = reading.used().total_tokens if reading and reading.has_begun else 0
            self._buckets[1].settle(reserved, used, trio.current_time())

    def statistics(self) -> LimiterStatistics:
        """Say how busy it is."""
        running = self._slots.statistics().borrowed_tokens
        return LimiterStatistics(running=running, waiting=self._waiting)

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        """Pass it on, within the calls at one time."""
        borrower = object()
        await self._slots.acquire_on_behalf_of(borrower)
        try:
            return await self._inner.embed(texts)
        finally:
            self._slots.release_on_behalf_of(borrower)

    def info(self) -> ProviderInfo:
        """Describe the provider."""
        return self._inner.info()

    async def aclose(self) -> None:
        """Close the provider."""
        await self._inner.aclose()

    def __repr__(self) -> str:
        return f"<LimitedProvider {self.statistics()} of {self._inner!r}>"
