"""Count what a provider is asked and what it gives; see to it that every answer tells its usage.

The one rule: it changes nothing of an answer but the last delta's usage, which it estimates where
the provider reported none. It stands directly around a provider, inside retries and limits, so that
it counts real calls. Must not import a sibling.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from engine.events import Usage
from engine.providers.interface import (
    Delta,
    GenerationRequest,
    Profile,
    Provider,
    ProviderInfo,
    input_tokens,
)
from engine.providers.reading import Reading


class MeterStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider did so far. `calls` = completed + failed + cancelled + left + open."""

    calls: int = 0
    completed: int = 0
    """Answers that were read to their finish reason."""
    failed: int = 0
    cancelled: int = 0
    """Calls that a cancel closed."""
    left: int = 0
    """Calls that their reader left early."""
    open: int = 0
    """Upstreams that are open now."""
    input_tokens: int = 0
    output_tokens: int = 0
    """Of calls that did not complete: estimated from what came."""
    estimated: int = 0
    """Calls whose tokens were estimated here."""
    ttft_count: int = 0
    ttft_sum_s: float = 0.0
    """Seconds from the call to its first delta with something in it, over `ttft_count` calls."""
    ttft_max_s: float = 0.0


class MeteredProvider:
    """A provider that is counted.

    Args:
        inner: the provider.
    """

    def __init__(self, inner: Provider) -> None:
        self._inner = inner
        self._counts: dict[str, int] = dict.fromkeys(
            ("calls", "completed", "failed", "cancelled", "left", "open", "estimated"), 0
        )
        self._used = Usage()
        self._ttft: tuple[int, float, float] = (0, 0.0, 0.0)

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

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """Pass the call on and count it.

        Cancellation: as of the provider; the call is counted as cancelled.
        """
        reading: Reading | None = None
        asked_at = trio.current_time()
        outcome = "left"
        self._counts["calls"] += 1
        self._counts["open"] += 1
        try:
            async with self._inner.stream(request) as deltas:
                reading = Reading(deltas, request, lambda: self._note_first(asked_at))
                yield reading
        except trio.Cancelled:
            outcome = "cancelled"
            raise
        except BaseException:
            outcome = "failed"
            raise
        finally:
            self._counts["open"] -= 1
            self._counts["completed" if reading and reading.finished else outcome] += 1
            self._note_usage(
                reading.used()
                if reading
                else Usage(input_tokens=input_tokens(request), estimated=True)
            )

    def _note_first(self, asked_at: float) -> None:
        ttft_s = trio.current_time() - asked_at
        count, total_s, most_s = self._ttft
        self._ttft = (count + 1, total_s + ttft_s, max(most_s, ttft_s))

    def _note_usage(self, used: Usage) -> None:
        self._used += used
        self._counts["estimated"] += used.estimated

    def statistics(self) -> MeterStatistics:
        """Give the counts so far."""
        ttft_count, ttft_sum_s, ttft_max_s = self._ttft
        return MeterStatistics(
            **self._counts,
            input_tokens=self._used.input_tokens,
            output_tokens=self._used.output_tokens,
            ttft_count=ttft_count,
            ttft_sum_s=ttft_sum_s,
            ttft_max_s=ttft_max_s,
        )

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        """Pass it on."""
        return await self._inner.embed(texts)

    def info(self) -> ProviderInfo:
        """Describe the provider."""
        return self._inner.info()

    async def aclose(self) -> None:
        """Close the provider."""
        await self._inner.aclose()

    def __repr__(self) -> str:
        return f"<MeteredProvider {self._counts} of {self._inner!r}>"
