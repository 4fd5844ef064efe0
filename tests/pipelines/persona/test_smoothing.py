"""Smoothing: words one by one at the model's own rate; nothing is late by much, nothing is lost."""

from __future__ import annotations

import itertools

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from engine.errors import ProviderUnavailable
from engine.events import Usage
from engine.pipelines.persona.smoothing import MAX_HELD_CHARS, MAX_LAG_S, Smoothed, split_words
from engine.providers.interface import Delta, GenerationRequest, Message
from engine.testing.scripted_provider import Fail, Hang, ScriptedProvider, Sleep, Step

REQUEST = GenerationRequest(messages=(Message(role="user", content="hi"),), model="")
TEN = "one two three four five six seven eight nine ten "


async def read(*steps: Step) -> tuple[list[tuple[float, Delta]], ScriptedProvider]:
    provider = ScriptedProvider(steps)
    began_at = trio.current_time()
    deltas = []
    async with Smoothed(provider).stream(REQUEST) as stream:
        async for delta in stream:
            deltas.append((trio.current_time() - began_at, delta))
    return deltas, provider


async def test_a_burst_is_spread_over_the_time_that_it_took(autojump_clock: MockClock) -> None:
    """Evens out bursts by word, at the model's own rate."""
    bursts = [step for _ in range(5) for step in (Sleep(0.4), Delta(text=TEN))]
    deltas, _ = await read(*bursts, Delta(finish="stop"))
    times = [at for at, delta in deltas if delta.text]
    assert [delta.text for _, delta in deltas if delta.text] == [w + " " for w in TEN.split()] * 5
    later = [at for at in times if at > 0.9]  # the rate is known by the second burst
    gaps = [b - a for a, b in itertools.pairwise(later)]
    assert max(gaps) < 0.12  # 10 words in 0.4 s, and not ten at once
    assert sum(gap < 0.001 for gap in gaps) < len(gaps) / 4


async def test_no_word_comes_late_by_more_than_the_bound(autojump_clock: MockClock) -> None:
    """Nothing is kept that the model has written for longer than the bound."""
    steps = [Delta(text="slow "), Sleep(5), Delta(text="slow "), Sleep(5), Delta(text=TEN * 5)]
    deltas, _ = await read(*steps, Delta(finish="stop"))
    assert deltas[-1][0] == pytest.approx(10, abs=MAX_LAG_S * 1.2)


async def test_a_steady_model_is_not_slowed_down(autojump_clock: MockClock) -> None:
    """A pause of the model's is a pause here, and only its bursts are spread."""
    steps = [step for n in range(50) for step in (Sleep(0.05), Delta(text=f"w{n} "))]
    deltas, _ = await read(*steps, Delta(finish="stop"))
    for number, (at, _) in enumerate(deltas[:-1]):
        assert at == pytest.approx(0.05 * (number + 1), abs=0.1)


async def test_what_is_no_text_keeps_its_place(autojump_clock: MockClock) -> None:
    """Reasoning, tools, usage and the finish come in order, and tokens are counted once."""
    usage = Usage(input_tokens=3, output_tokens=5)
    deltas, _ = await read(
        Delta(model="m", response_id="r"),
        Delta(reasoning="hm"),
        Delta(text="half a wo", tokens=3),
        Delta(text="rd", tokens=2),
        Delta(tool={"status": "completed"}),
        Delta(finish="stop", usage=usage),
    )
    plain = [delta for _, delta in deltas]
    assert (plain[0].model, plain[0].response_id) == ("m", "r")
    assert plain[1].reasoning == "hm"
    assert [delta.text for delta in plain if delta.text] == ["half ", "a ", "word"]
    assert sum(delta.tokens or 0 for delta in plain) == 5
    assert plain[-1].finish == "stop"
    assert plain[-1].usage == usage


async def test_a_failure_comes_after_the_words_before_it(autojump_clock: MockClock) -> None:
    """What the model wrote before it failed is seen first."""
    provider = ScriptedProvider([Delta(text=TEN), Fail(ProviderUnavailable("it dropped"))])
    words = []
    with pytest.raises(ProviderUnavailable, match="it dropped"):
        async with Smoothed(provider).stream(REQUEST) as stream:
            async for delta in stream:
                words.append(delta.text)
    assert "".join(words) == TEN
    assert provider.open_calls == 0


async def test_leaving_closes_the_upstream(autojump_clock: MockClock) -> None:
    """Leaving the context has closed the upstream, in whatever way it is left."""
    provider = ScriptedProvider([Delta(text=TEN), Hang()])
    with trio.move_on_after(3):
        async with Smoothed(provider).stream(REQUEST) as stream:
            async for _ in stream:
                pass
    assert provider.open_calls == 0
    async with Smoothed(provider).stream(REQUEST) as stream:
        await anext(stream)
    assert provider.open_calls == 0


@given(st.lists(st.text(alphabet="ab \n语", max_size=40)))
def test_splitting_loses_nothing(texts: list[str]) -> None:
    """Merging keeps all text: so does taking it apart; no rest grows without bound."""
    words, rest = [], ""
    for text in texts:
        more, rest = split_words(rest + text)
        words += more
        assert len(rest) <= MAX_HELD_CHARS
    assert "".join(words) + rest == "".join(texts)
