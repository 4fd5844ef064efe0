"""A provider's account as its owner would keep it: who calls, how many at once, how much a minute.

The one rule: it is a model of its own. It stands behind the limiter, sees only the calls that come
through, reckons slots and allowances from these alone, and is compared with what the limiter says.
A call that comes too early, a slot or a token that is not given back: each is a violation (I14).
Must not import the engine, sessions or a concrete provider of the engine's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import trio

from engine.limits import Limits
from engine.providers.interface import (
    Delta,
    GenerationRequest,
    Profile,
    ProviderInfo,
    input_tokens,
)
from engine.providers.limiting import LimitedProvider, TokenBucket
from engine.testing.scripted_provider import ScriptedProvider
from engine.testing.workload import ProviderPlan

MINUTE_S = 60.0
CHARS_PER_TOKEN = 4
ROUNDING = 1e-5
"""Of an allowance: what sums of floats may differ by."""


class Allowance:
    """What may be used in a minute: it fills evenly, and never holds more than a minute's."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._left = float(per_minute)
        self._at: float | None = None

    def left(self) -> float:
        """What may be used now; less than 0 where a call used more than was set aside for it."""
        now = trio.current_time()
        passed_s = 0.0 if self._at is None else now - self._at
        self._at = now
        self._left = min(self.per_minute, self._left + passed_s * self.per_minute / MINUTE_S)
        return self._left

    def use(self, amount: float) -> bool:
        """Use an amount (below 0: give it back); gives whether it was there."""
        needed = min(amount, self.per_minute)
        was_there = self.left() >= needed - self.per_minute * ROUNDING
        self._left = min(self.per_minute, self._left - amount)
        return was_there


class Account:
    """A provider for all parts of a plan, behind the limits of one account.

    Args:
        plan: the limits.
        limits: what a call without `max_tokens` sets aside.
        doubles: who answers, by the request's last message.
        violate: is told what breaks a promise.
    """

    name = "account"
    profile = Profile()
    default_model = "script"

    def __init__(
        self,
        plan: ProviderPlan,
        limits: Limits,
        doubles: Mapping[str, ScriptedProvider],
        violate: Callable[[str], None],
    ) -> None:
        self.calls = 0
        """Calls that came through."""
        self.running = 0
        self.provider = LimitedProvider(
            self,
            concurrency=plan.concurrency,
            requests_per_minute=plan.requests_per_minute,
            tokens_per_minute=plan.tokens_per_minute,
            limits=limits,
        )
        self._plan = plan
        self._limits = limits
        self._doubles = doubles
        self._violate = violate
        self._requests = _allowance(plan.requests_per_minute)
        self._tokens = _allowance(plan.tokens_per_minute)

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """See `Provider.stream`; the call is entered in the books on its way in and out."""
        self.calls += 1
        self.running += 1
        reserved = self._enter(request)
        given: list[Delta] = []
        try:
            async with self._doubles[request.messages[-1].content].stream(request) as deltas:
                yield _Noted(deltas, given)
        finally:
            self.running -= 1
            if self._tokens is not None:
                self._tokens.use(_used(request, given) - reserved)

    def _enter(self, request: GenerationRequest) -> int:
        plan = self._plan
        if plan.concurrency and self.running > plan.concurrency:
            self._violate(f"{self.running} calls at once, {plan.concurrency} are allowed")
        if self._requests is not None and not self._requests.use(1):
            self._violate(f"a call came too early for {plan.requests_per_minute} a minute")
        reserved = 0
        if self._tokens is not None:
            output = request.max_tokens or self._limits.provider_output_tokens
            reserved = input_tokens(request) + output
            if not self._tokens.use(reserved):
                self._violate(f"a call came too early for {plan.tokens_per_minute} tokens a minute")
        return reserved

    def compare(self, *, is_over: bool) -> None:
        """Compare the limiter's books with these.

        Args:
            is_over: whether nobody calls any more.
        """
        busy = self.provider.statistics()
        if is_over and (busy.running or busy.waiting):
            self._violate(f"{busy.running} slots are held and {busy.waiting} waited for at the end")
        if busy.running < self.running:
            self._violate(f"{self.running} calls hold {busy.running} slots")
        buckets = self.provider._buckets or (None, None)
        self._compare("requests", buckets[0], self._requests)
        self._compare("tokens", buckets[1], self._tokens)

    def _compare(self, what: str, bucket: TokenBucket | None, mine: Allowance | None) -> None:
        if bucket is None or mine is None:
            return
        bucket.take(0, trio.current_time())  # lets in what has flowed meanwhile
        if abs(bucket._level - mine.left()) > mine.per_minute * ROUNDING:
            self._violate(
                f"{bucket._level:.3f} {what} are left for the limiter, {mine.left():.3f} in truth"
            )

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        """See `Provider.embed`: it has none."""
        await trio.lowlevel.checkpoint()
        return None

    def info(self) -> ProviderInfo:
        """See `Provider.info`."""
        return ProviderInfo(
            name=self.name,
            models=(self.default_model,),
            default_model=self.default_model,
            configured=True,
            healthy=True,
        )

    async def aclose(self) -> None:
        """See `Provider.aclose`."""
        await trio.lowlevel.checkpoint()

    def __repr__(self) -> str:
        return f"<Account {self.calls} calls, {self.running} running>"


class _Noted:
    """An answer, and what of it was taken."""

    def __init__(self, deltas: AsyncIterator[Delta], given: list[Delta]) -> None:
        self._deltas = deltas
        self._given = given

    def __aiter__(self) -> _Noted:
        return self

    async def __anext__(self) -> Delta:
        delta = await anext(self._deltas)
        self._given.append(delta)
        return delta


def _allowance(per_minute: int | None) -> Allowance | None:
    return None if per_minute is None else Allowance(per_minute)


def _used(request: GenerationRequest, given: Sequence[Delta]) -> int:
    """Give what a call cost: as its provider said, or by its text; nothing if nothing came."""
    if not given:
        return 0
    for delta in given:
        if delta.usage is not None:
            return delta.usage.total_tokens
    chars = sum(len(delta.text) + len(delta.reasoning or "") for delta in given)
    return input_tokens(request) + -(-chars // CHARS_PER_TOKEN)
