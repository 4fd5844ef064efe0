"""Ask again when a provider fails before its first delta.

The one rule: once a delta was given, a failure passes through, because a half-streamed answer needs
a new attempt of its part, which every reader is told of. Only retryable errors are retried, a
bounded number of times, and never in silence: `on_retry` is called. Must not import a sibling.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import trio

from engine.errors import ProviderError
from engine.limits import Limits
from engine.providers.interface import (
    Delta,
    GenerationRequest,
    Profile,
    Provider,
    ProviderInfo,
)
from engine.providers.reading import Reading, open_answer


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """One retry, before its wait."""

    provider: str
    attempt: int
    """The number of the call that comes next: 2 is the first retry."""
    wait_s: float
    error: ProviderError
    request: GenerationRequest


OnRetry = Callable[[Retry], None]


def retry_wait_s(error: ProviderError, failures: int, limits: Limits, dice: float) -> float | None:
    """Decide how long to wait before the next attempt; None: do not try again.

    The wait doubles with each failure from `backoff_s` up to `max_backoff_s`, and half of it is
    jitter, so that callers that failed together do not come back together. A provider's own
    Retry-After is a lower bound.

    Args:
        error: what failed.
        failures: how often it has failed, this time included.
        limits: the bounds.
        dice: evenly from 0 to 1.
    """
    if not error.retryable or failures >= limits.max_attempts:
        return None
    asked_s = error.retry_after_s or 0.0
    if asked_s > limits.max_retry_after_s:
        return None
    backoff_s = min(limits.max_backoff_s, limits.backoff_s * 2.0 ** (failures - 1))
    return max(asked_s, backoff_s * (0.5 + 0.5 * dice))


class RetryingProvider:
    """A provider that is asked again.

    Args:
        inner: the provider.
        limits: attempts and waits.
        on_retry: is told of each retry before its wait; must not block.
        dice: gives numbers evenly from 0 to 1.
    """

    def __init__(
        self,
        inner: Provider,
        *,
        limits: Limits | None = None,
        on_retry: OnRetry | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._inner = inner
        self._limits = limits or Limits()
        self._on_retry = on_retry
        self._dice = dice
        self._retries = 0

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._inner.name

    @property
    def profile(self) -> Profile:
        """What the provider can do."""
        return self._inner.profile

    @property
    def default_model(self) -> str:
        """The provider's default model."""
        return self._inner.default_model

    @property
    def retries(self) -> int:
        """How often it asked again so far."""
        return self._retries

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """Pass the call on, and once more as long as that may help.

        Entering waits for the first delta.

        Raises:
            ProviderError: the last attempt's.

        Cancellation: at any point, the waits included; no upstream stays open.
        """
        async with AsyncExitStack() as stack:
            yield await self._begin(stack, request)

    async def _begin(self, stack: AsyncExitStack, request: GenerationRequest) -> Reading:
        failures = 0
        while True:
            try:
                return await open_answer(stack, self._inner, request)
            except ProviderError as error:
                failures += 1
                wait_s = retry_wait_s(error, failures, self._limits, self._dice())
                if wait_s is None:
                    raise
                self._note(error, failures, wait_s, request)
            await trio.sleep(wait_s)

    def _note(
        self, error: ProviderError, failures: int, wait_s: float, request: GenerationRequest
    ) -> None:
        self._retries += 1
        if self._on_retry is not None:
            self._on_retry(
                Retry(
                    provider=self.name,
                    attempt=failures + 1,
                    wait_s=wait_s,
                    error=error,
                    request=request,
                )
            )

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        """Pass it on; likeness is not worth a wait, so it is not retried."""
        return await self._inner.embed(texts)

    def info(self) -> ProviderInfo:
        """Describe the provider."""
        return self._inner.info()

    async def aclose(self) -> None:
        """Close the provider."""
        await self._inner.aclose()

    def __repr__(self) -> str:
        return f"<RetryingProvider {self._retries} retries of {self._inner!r}>"
