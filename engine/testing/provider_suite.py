"""What every provider and every wrapper has to do, as tests: run it against your own.

    class TestMyProvider(ProviderSuite):
        @asynccontextmanager
        async def open_provider(self) -> AsyncIterator[Upstream]:
            ...  # a provider that answers in a few deltas
        @asynccontextmanager
        async def open_failing_provider(self) -> AsyncIterator[Upstream]:
            ...  # one whose answers all fail, before or after the first delta

The tests need pytest and pytest-trio, run in real or virtual time, and ask nothing of a provider
but its interface and how many of its upstreams are open. Must not import a provider.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import pytest
import trio
from trio.abc import Clock

from engine.errors import ProviderError
from engine.providers.interface import Delta, GenerationRequest, Message, Provider

REQUEST = GenerationRequest(messages=(Message(role="user", content="Say a few words"),), model="")

CLOSING_S = 1.0
"""How long an upstream on the other side of a socket may need to see that it was closed."""
DELTAS_AFTER_CANCEL = 512
"""How many deltas may still come after a cancel: what one read from a socket can hold."""
MAX_STEPS = 2_000
"""Steps after which an answer of a few deltas has to be over."""


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """A provider, and a look behind it."""

    provider: Provider
    count_open: Callable[[], int]
    """How many upstreams are open now, as seen from the other side where there is one."""


class ReaderBroke(Exception):
    """The reader's own failure, which is none of the provider's business."""


class ProviderSuite:
    """The contract of `engine.providers.interface.Provider`."""

    @pytest.fixture
    def suite_clock(self) -> Clock | None:
        """Real time; override it to give MockClock(autojump_threshold=0) where no socket is."""
        return None

    @abstractmethod
    def open_provider(self) -> AbstractAsyncContextManager[Upstream]:
        """Give a provider that answers each request in a few deltas."""

    @abstractmethod
    def open_failing_provider(self) -> AbstractAsyncContextManager[Upstream]:
        """Give a provider whose answers all fail."""

    async def test_answer_has_text_and_its_last_delta_alone_has_the_finish(
        self, suite_clock: Clock | None
    ) -> None:
        """Any field may be empty; the last delta has `finish`."""
        async with self.open_provider() as upstream, _open(upstream) as deltas:
            answer = [delta async for delta in deltas]
            assert "".join(delta.text for delta in answer)
            assert [delta.finish for delta in answer[:-1]] == [None] * (len(answer) - 1)
            assert answer[-1].finish == "stop"
            with pytest.raises(StopAsyncIteration):
                await anext(deltas)

    async def test_upstream_is_closed_after_a_complete_answer(
        self, suite_clock: Clock | None
    ) -> None:
        """Leaving `stream()`'s context closes the upstream, however it is left."""
        async with self.open_provider() as upstream:
            await _read(upstream)
            await _settle(upstream)

    async def test_stream_that_is_never_entered_opens_nothing(
        self, suite_clock: Clock | None
    ) -> None:
        """Nothing happens before the context is entered."""
        async with self.open_provider() as upstream:
            upstream.provider.stream(REQUEST)
            assert upstream.count_open() == 0

    async def test_leaving_early_closes_the_upstream(self, suite_clock: Clock | None) -> None:
        """Leaving `stream()`'s context closes the upstream, however it is left."""
        async with self.open_provider() as upstream:
            async with _open(upstream):
                pass
            async with _open(upstream) as deltas:
                await anext(deltas)
            await _settle(upstream)

    async def test_error_of_the_reader_closes_the_upstream_and_passes(
        self, suite_clock: Clock | None
    ) -> None:
        """The reader's error is its own: it comes out as it went in."""
        async with self.open_provider() as upstream:
            for _ in range(20):
                with pytest.raises(ReaderBroke):
                    await _break_while_reading(upstream)
            await _settle(upstream)
            assert await _read(upstream)  # and it counts against nobody

    async def test_cancel_at_every_step_leaves_nothing_open(
        self, suite_clock: Clock | None
    ) -> None:
        """Cancellation: at any point; leaving the context has closed the upstream."""
        async with self.open_provider() as upstream:
            for step in range(1, MAX_STEPS):
                completed = await _read_until_step(upstream, step)
                await _settle(upstream)
                if completed:
                    break
            else:
                pytest.fail(f"an answer took more than {MAX_STEPS} steps")
            assert await _read(upstream)

    async def test_cancelled_reader_stops_soon(self, suite_clock: Clock | None) -> None:
        """There is no loop without a checkpoint: a cancelled reader gets little more."""
        async with self.open_provider() as upstream:
            given = 0
            with trio.CancelScope() as scope:
                async with _open(upstream) as deltas:
                    async for _ in deltas:
                        scope.cancel()
                        given += 1
            assert given <= DELTAS_AFTER_CANCEL
            await _settle(upstream)

    async def test_each_answer_passes_a_checkpoint(self, suite_clock: Clock | None) -> None:
        """In a cancelled scope no answer is read to its end."""
        async with self.open_provider() as upstream:
            with trio.CancelScope() as scope:
                scope.cancel()
                await _read(upstream)
                pytest.fail("a whole answer without a checkpoint")
            await _settle(upstream)

    async def test_many_calls_at_once_each_get_their_whole_answer(
        self, suite_clock: Clock | None
    ) -> None:
        """A provider serves many calls at once."""
        async with self.open_provider() as upstream:
            answers: list[list[Delta]] = []

            async def ask() -> None:
                answers.append(await _read(upstream))

            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(ask)
            assert len(answers) == 20
            assert all(answer[-1].finish == "stop" for answer in answers)
            await _settle(upstream)

    async def test_failure_is_a_provider_error_and_closes_the_upstream(
        self, suite_clock: Clock | None
    ) -> None:
        """ProviderError: on entering or while iterating."""
        async with self.open_failing_provider() as upstream:
            for _ in range(3):
                with pytest.raises(ProviderError) as caught:
                    await _read(upstream)
                assert caught.value.message
                await _settle(upstream)

    async def test_cancel_at_every_step_of_a_failure_leaves_nothing_open(
        self, suite_clock: Clock | None
    ) -> None:
        """Cancellation: at any point, in the middle of failing as well."""
        async with self.open_failing_provider() as upstream:
            for step in range(1, MAX_STEPS):
                try:
                    completed = await _read_until_step(upstream, step)
                except ProviderError:
                    break
                assert not completed
                await _settle(upstream)
            await _settle(upstream)

    async def test_embed_gives_a_vector_for_each_text_or_none_as_the_profile_says(
        self, suite_clock: Clock | None
    ) -> None:
        """Give one vector a text, or None where `profile.embeddings` is false."""
        async with self.open_provider() as upstream:
            vectors = await upstream.provider.embed(["one", "two"])
            if vectors is None:
                assert not upstream.provider.profile.embeddings
            else:
                assert len(vectors) == 2
                assert {len(vector) for vector in vectors} == {len(vectors[0])}

    async def test_info_names_the_provider_and_its_default_model(
        self, suite_clock: Clock | None
    ) -> None:
        """What may be told about a provider."""
        async with self.open_provider() as upstream:
            info = upstream.provider.info()
            assert info.name == upstream.provider.name
            assert info.default_model == upstream.provider.default_model
            assert info.configured


@asynccontextmanager
async def _open(upstream: Upstream) -> AsyncIterator[AsyncIterator[Delta]]:
    async with upstream.provider.stream(REQUEST) as deltas:
        yield deltas


async def _read(upstream: Upstream) -> list[Delta]:
    async with upstream.provider.stream(REQUEST) as deltas:
        return [delta async for delta in deltas]


async def _break_while_reading(upstream: Upstream) -> None:
    async with upstream.provider.stream(REQUEST) as deltas:
        await anext(deltas)
        raise ReaderBroke


async def _settle(upstream: Upstream) -> None:
    """Wait until no upstream is open."""
    give_up_at = trio.current_time() + CLOSING_S
    while upstream.count_open():
        assert trio.current_time() < give_up_at, f"{upstream.count_open()} upstreams stay open"
        await trio.sleep(0.002)


class _CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when its task has taken its nth step."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self._task = trio.lowlevel.current_task()
        self._scope = scope
        self._left = step

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


async def _read_until_step(upstream: Upstream, step: int) -> bool:
    """Read an answer and be cancelled at the given step; whether it was complete before."""
    with trio.CancelScope() as scope:
        instrument = _CancelAtStep(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await _read(upstream)
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return not scope.cancel_called
