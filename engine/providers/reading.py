"""One answer while it is read: the one iterator between a provider and whoever reads it.

The rule: however many wrappers stand around a provider, a delta passes through one object. It knows
what they ask when the answer is over (its usage, whether it finished, how it failed), so none of
them has to stand in the way of each delta; an iterator for each wrapper cost more than the pause
between two deltas. Used by wrappers alone; must not import one, nor a provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import msgspec

from engine.errors import ProviderBadOutput, ProviderError
from engine.events import Usage
from engine.providers.interface import Delta, GenerationRequest, Provider, input_tokens

CHARS_PER_TOKEN = 4
"""As in `interface.count_tokens`, over a whole answer: pieces would be rounded up one by one."""


class Reading:
    """An answer, counted while it is read. Its last delta always tells the usage.

    Args:
        deltas: the provider's iterator.
        request: what was asked, for the usage that a provider does not report.
        on_first: is told of the first delta with something in it; must not block.

    Cancellation and backpressure: as of the iterator.
    """

    __slots__ = (
        "_chars",
        "_on_first",
        "_pull",
        "_reported",
        "_request",
        "_tokens",
        "failure",
        "finished",
        "first",
    )

    def __init__(
        self,
        deltas: AsyncIterator[Delta],
        request: GenerationRequest,
        on_first: Callable[[], None] | None = None,
    ) -> None:
        self.first: Delta | None = None
        """A delta that was taken already and is given next."""
        self.finished = False
        """Whether the delta with the finish reason came."""
        self.failure: ProviderError | None = None
        """How it broke, also where its reader caught that."""
        self._pull = deltas.__anext__
        self._request = request
        self._on_first = on_first
        self._tokens: int | None = None  # None: nothing came yet
        self._chars = 0
        self._reported: Usage | None = None

    @staticmethod
    def of(deltas: AsyncIterator[Delta], request: GenerationRequest) -> Reading:
        """Give the reading that an inner wrapper made of the answer, or else make it."""
        return deltas if isinstance(deltas, Reading) else Reading(deltas, request)

    @property
    def has_begun(self) -> bool:
        """Whether a delta came."""
        return self._tokens is not None

    def __aiter__(self) -> Reading:
        return self

    async def __anext__(self) -> Delta:
        if self.first is not None:
            delta, self.first = self.first, None
            return delta
        try:
            delta = await self._pull()
        except ProviderError as error:
            self.failure = error
            raise
        tokens = delta.tokens
        if tokens is None:
            tokens = 0
            self._chars += len(delta.text)
        self._tokens = tokens + (self._tokens or 0)
        if self._on_first is not None and (delta.text or delta.reasoning or delta.tool):
            self._on_first()
            self._on_first = None
        if delta.reasoning:
            self._chars += len(delta.reasoning)
        if delta.usage is not None:
            self._reported = delta.usage
        if delta.finish is not None:
            self.finished = True
            if delta.usage is None:
                delta = msgspec.structs.replace(delta, usage=self.used())
        return delta

    def used(self) -> Usage:
        """Give the tokens so far: as reported, or else as counted here."""
        if self._reported is not None:
            return self._reported
        return Usage(
            input_tokens=input_tokens(self._request),
            output_tokens=(self._tokens or 0) - (-self._chars // CHARS_PER_TOKEN),
            estimated=True,
        )

    def __repr__(self) -> str:
        state = "finished" if self.finished else "failed" if self.failure else "open"
        return f"<Reading {state}, {self._tokens or 0} tokens, {self._chars} characters>"


async def open_answer(
    stack: AsyncExitStack, provider: Provider, request: GenerationRequest
) -> Reading:
    """Open an answer and wait for its first delta: for wrappers that act before it only.

    Args:
        stack: gets the answer's context, if it begins; else that is closed here.
        provider: who is asked.
        request: what is asked.

    Raises:
        ProviderError: on entering or before the first delta.

    Cancellation: at any point; the upstream is closed.
    """
    async with AsyncExitStack() as opening:
        reading = Reading.of(await opening.enter_async_context(provider.stream(request)), request)
        reading.first = await anext(reading, None)
        if reading.first is None:
            raise ProviderBadOutput(f"{provider.name} ended its answer without a finish reason")
        stack.push_async_exit(opening.pop_all())
        return reading
    raise AssertionError("a provider's context swallows no error")
