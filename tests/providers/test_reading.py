"""However many wrappers, a delta passes through one object, which knows what all of them ask."""

from __future__ import annotations

import pytest
import trio

from engine.errors import ProviderUnavailable
from engine.events import Usage
from engine.limits import Limits
from engine.providers.config import ProviderConfig
from engine.providers.interface import Delta, GenerationRequest, Message
from engine.providers.reading import Reading
from engine.providers.registry import wrap
from engine.providers.simulated import SimulatedProvider
from engine.providers.simulation.settings import SimSettings
from engine.testing.scripted_provider import Fail, ScriptedProvider, say

REQUEST = GenerationRequest(messages=(Message(role="user", content="x" * 8),), model="")
CONFIG = ProviderConfig(name="scripted", concurrency=2, tokens_per_minute=1000)


async def test_wrappers_share_one_reading() -> None:
    """All wrappers of the registry together add one iterator to the provider's own."""
    wrapped = wrap(ScriptedProvider(say("a", "b")), CONFIG, Limits())
    async with wrapped.provider.stream(REQUEST) as deltas:
        assert isinstance(deltas, Reading)
        assert Reading.of(deltas, REQUEST) is deltas
        assert not isinstance(deltas._pull.__self__, Reading)  # type: ignore[attr-defined]
        assert [delta.text async for delta in deltas] == ["a", "b", ""]
        assert deltas.finished


async def test_failure_is_known_to_wrappers_though_the_reader_catches_it() -> None:
    """A reader that makes do with half an answer does not hide a provider's fault."""
    script = [Delta(text="half"), Fail(ProviderUnavailable("it broke"))]
    wrapped = wrap(ScriptedProvider(script), CONFIG, Limits(provider_breaker_failures=1))
    async with wrapped.provider.stream(REQUEST) as deltas:
        await anext(deltas)
        with pytest.raises(ProviderUnavailable):
            await anext(deltas)
    assert wrapped.breaking.breaker.state == "open"


async def test_usage_counts_text_reasoning_and_known_tokens() -> None:
    """Four characters a token over the whole answer, where the provider counts none."""
    script = [
        Delta(text="abc"),
        Delta(reasoning="defgh"),
        Delta(text="ignored length", tokens=3),
        Delta(finish="stop"),
    ]
    async with ScriptedProvider(script).stream(REQUEST) as deltas:
        reading = Reading(deltas, REQUEST)
        assert not reading.has_begun
        last = [delta async for delta in reading][-1]
    assert reading.has_begun
    assert last.usage == reading.used() == Usage(input_tokens=2, output_tokens=5, estimated=True)


async def test_first_delta_is_told_of_once_when_it_holds_something() -> None:
    """A delta that only names the model is not the first of the answer."""
    told: list[float] = []
    script = [Delta(model="m"), Delta(text="a"), Delta(text="b"), Delta(finish="stop")]
    async with ScriptedProvider(script).stream(REQUEST) as deltas:
        reading = Reading(deltas, REQUEST, lambda: told.append(trio.current_time()))
        await anext(reading)
        assert not told
        async for _ in reading:
            assert len(told) == 1


async def test_played_answer_gives_nothing_after_its_context() -> None:
    """Leaving `stream()`'s context closes the upstream: a late reader finds the end."""
    provider = SimulatedProvider(SimSettings(ttft_ms=0, tokens_per_s=0))
    async with provider.stream(REQUEST) as deltas:
        await anext(deltas)
        await anext(deltas)
    assert [delta async for delta in deltas] == []
