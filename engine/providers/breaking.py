"""Leave a provider alone for a while after it failed too often.

The one rule: only the provider's own faults count. A cancel, a reader that left, a refusal, a bad
key or a 429 says nothing about its health. The decisions are `engine.supervision.breaker`'s, a pure
state machine; this is its thin shell. Must not import a sibling.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from engine.errors import ProviderBadOutput, ProviderTimeout, ProviderUnavailable
from engine.providers.interface import Delta, GenerationRequest, Profile, Provider, ProviderInfo
from engine.providers.reading import Reading
from engine.supervision.breaker import Breaker

FAULTS = (ProviderTimeout, ProviderUnavailable, ProviderBadOutput)


class BreakingProvider:
    """A provider with a circuit breaker.

    Args:
        inner: the provider.
        breaker: its breaker, for this provider alone.
    """

    def __init__(self, inner: Provider, *, breaker: Breaker) -> None:
        self._inner = inner
        self._breaker = breaker

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
    def breaker(self) -> Breaker:
        """Its breaker."""
        return self._breaker

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """Pass the call on, or refuse it at once while the breaker is open.

        Raises:
            ProviderUnavailable: the breaker is open; `retry_after_s` says until when.

        Cancellation: at any point; a cancelled probe gives its place to the next call.
        """
        now = trio.current_time()
        if not self._breaker.admit(now):
            await trio.lowlevel.checkpoint()
            raise ProviderUnavailable(
                f"{self.name} failed too often and is left alone for a while",
                retry_after_s=self._breaker.retry_after_s(now),
            )
        is_probe = self._breaker.state == "half_open"
        reading: Reading | None = None
        failed = finished = False
        try:
            async with self._inner.stream(request) as deltas:
                reading = Reading.of(deltas, request)
                yield reading
        except FAULTS:
            # Once it is entered, an error that comes by here may be the reader's own.
            failed = reading is None
            raise
        finally:
            if reading is not None:  # which knows of an error that its reader caught as well
                failed, finished = isinstance(reading.failure, FAULTS), reading.finished
            self._note(failed, finished, is_probe)

    def _note(self, failed: bool, finished: bool, is_probe: bool) -> None:
        if self._breaker.state == "half_open" and not is_probe:
            return  # it set out before the breaker opened: the probe alone decides now
        if failed:
            self._breaker.fail(trio.current_time())
        elif finished:
            self._breaker.succeed()
        elif is_probe:
            self._breaker.forget()

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        """Pass it on."""
        return await self._inner.embed(texts)

    def info(self) -> ProviderInfo:
        """Describe the provider; not healthy while its breaker is not closed."""
        info = self._inner.info()
        if self._breaker.state == "closed":
            return info
        state = self._breaker.state.replace("_", " ")
        reason = f"it failed too often: its circuit breaker is {state}"
        return msgspec.structs.replace(info, healthy=False, reason=reason)

    async def aclose(self) -> None:
        """Close the provider."""
        await self._inner.aclose()

    def __repr__(self) -> str:
        return f"<BreakingProvider {self._breaker!r} of {self._inner!r}>"
