"""Ask the next provider of a chain when one cannot answer.

The one rule: the chain moves on before the first delta only, and says so: the first delta names who
answers, in `provider` and `model`. Bad requests, refusals and cancels do not move it on; a refused
key does, because the next provider has another one. Must not import a sibling.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from engine.errors import ProviderAuth, ProviderError
from engine.providers.interface import (
    Delta,
    GenerationRequest,
    Profile,
    Provider,
    ProviderInfo,
)
from engine.providers.reading import Reading, open_answer


class Link(msgspec.Struct, frozen=True):
    """One further provider of a chain."""

    provider: Provider
    model: str = ""
    """The model that it is asked for; "" is its default. A model's name is never carried over."""


class FallingBack(msgspec.Struct, frozen=True, kw_only=True):
    """One step along a chain."""

    provider: str
    """Who failed."""
    next_provider: str
    error: ProviderError


class FallbackProvider:
    """The first provider of a chain that answers. It bears the first one's name and profile.

    Args:
        first: the provider that requests choose.
        chain: the ones after it, in order.
        on_fallback: is told of each step; must not block.
    """

    def __init__(
        self,
        first: Provider,
        chain: Sequence[Link],
        *,
        on_fallback: Callable[[FallingBack], None] | None = None,
    ) -> None:
        self._first = first
        self._chain = tuple(chain)
        self._on_fallback = on_fallback

    @property
    def name(self) -> str:
        """The first provider's name."""
        return self._first.name

    @property
    def profile(self) -> Profile:
        """What the first provider can do."""
        return self._first.profile

    @property
    def default_model(self) -> str:
        """The first provider's default model."""
        return self._first.default_model

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """Ask one after the other until one begins to answer.

        Entering waits for the first delta. A request with `previous_response_id` stays with the
        first provider: nobody else knows that conversation.

        Raises:
            ProviderError: the first provider's, where none could answer: it is the one that the
                caller chose; the others' follow it in `on_fallback`.

        Cancellation: at any point; no upstream stays open.
        """
        async with AsyncExitStack() as stack:
            yield await self._begin(stack, request)

    async def _begin(self, stack: AsyncExitStack, request: GenerationRequest) -> Reading:
        links = [Link(self._first, request.model)]
        if request.previous_response_id is None:
            links += self._chain
        first_error: ProviderError | None = None
        for place, link in enumerate(links):
            asked = msgspec.structs.replace(request, model=link.model)
            try:
                answer = await open_answer(stack, link.provider, asked)
            except ProviderError as error:
                first_error = first_error or error
                if place + 1 == len(links) or not _moves_on(error):
                    raise first_error from (error if error is not first_error else None)
                self._note(link.provider, links[place + 1].provider, error)
            else:
                answer.first = _named(answer.first, link)
                return answer
        raise AssertionError("a chain has at least one link")

    def _note(self, failed: Provider, following: Provider, error: ProviderError) -> None:
        if self._on_fallback is not None:
            self._on_fallback(
                FallingBack(provider=failed.name, next_provider=following.name, error=error)
            )

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        """Ask the first provider only: vectors of two models cannot be compared."""
        return await self._first.embed(texts)

    def info(self) -> ProviderInfo:
        """Describe the first provider."""
        return self._first.info()

    async def aclose(self) -> None:
        """Close the first provider; the others are closed under their own names."""
        await self._first.aclose()

    def __repr__(self) -> str:
        names = " then ".join([self.name, *(link.provider.name for link in self._chain)])
        return f"<FallbackProvider {names}>"


def _moves_on(error: ProviderError) -> bool:
    return error.retryable or isinstance(error, ProviderAuth)


def _named(first: Delta | None, link: Link) -> Delta:
    first = first or Delta()
    model = first.model or link.model or link.provider.default_model
    provider = first.provider or link.provider.name  # who plays a link has said so itself
    return msgspec.structs.replace(first, provider=provider, model=model)
