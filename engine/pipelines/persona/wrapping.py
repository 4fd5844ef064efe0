"""What a pipeline's own wrappers around a provider have in common: all but the stream passes on.

Place in the flow: the outermost layer, for one answer of one voice. Must not import sessions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from engine.providers.interface import Delta, GenerationRequest, Profile, Provider, ProviderInfo


class Wrapper:
    """A provider that passes everything on.

    Args:
        inner: the provider.
    """

    def __init__(self, inner: Provider) -> None:
        self._inner = inner

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
        """The provider's."""
        return self._inner.default_model

    def stream(
        self, request: GenerationRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[Delta]]:
        """See `Provider.stream`."""
        return self._inner.stream(request)

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        """See `Provider.embed`."""
        return await self._inner.embed(texts)

    def info(self) -> ProviderInfo:
        """See `Provider.info`."""
        return self._inner.info()

    async def aclose(self) -> None:
        """See `Provider.aclose`."""
        await self._inner.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._inner!r}>"


class Announced(Wrapper):
    """A provider whose first word is announced before it is given.

    Args:
        inner: the provider.
        announce: called once, before the first delta that a client will see anything of.
    """

    def __init__(self, inner: Provider, announce: Callable[[], Awaitable[None]]) -> None:
        super().__init__(inner)
        self._announce = announce
        self._is_announced = False

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """See `Provider.stream`."""
        async with self._inner.stream(request) as deltas:
            yield deltas if self._is_announced else _Announcing(self, deltas)

    async def first(self) -> None:
        """Announce it, unless that was done."""
        if not self._is_announced:
            self._is_announced = True
            await self._announce()


class _Announcing:
    def __init__(self, announced: Announced, deltas: AsyncIterator[Delta]) -> None:
        self._announced = announced
        self._deltas = deltas
        self._has_begun = False

    def __aiter__(self) -> _Announcing:
        return self

    async def __anext__(self) -> Delta:
        delta = await anext(self._deltas)
        if not self._has_begun and (delta.text or delta.reasoning or delta.tool):
            self._has_begun = True
            await self._announced.first()
        return delta
