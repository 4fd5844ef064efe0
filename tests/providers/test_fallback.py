"""The chain moves on before the first delta only, and says who answers."""

from __future__ import annotations

import msgspec
import pytest

from engine.errors import (
    InvalidRequest,
    ProviderAuth,
    ProviderError,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from engine.providers.fallback import FallbackProvider, FallingBack, Link
from engine.providers.interface import Delta, GenerationRequest, Message
from engine.testing.scripted_provider import Fail, ScriptedProvider, say

REQUEST = GenerationRequest(messages=(Message(role="user", content="hi"),), model="big-model")
DOWN = Fail(ProviderUnavailable("down"))


async def _read(provider: FallbackProvider, request: GenerationRequest = REQUEST) -> list[Delta]:
    async with provider.stream(request) as deltas:
        return [delta async for delta in deltas]


def _named(name: str, *scripts: list[object]) -> ScriptedProvider:
    return ScriptedProvider(*scripts, name=name, default_model=f"{name}-model")  # type: ignore[arg-type]


async def test_first_provider_answers_and_is_named() -> None:
    """The first delta names who answers."""
    second = _named("second")
    deltas = await _read(FallbackProvider(_named("first", say("a", "b")), [Link(second)]))
    assert [(delta.provider, delta.model) for delta in deltas] == [
        ("first", "big-model"),
        (None, None),
        (None, None),
    ]
    assert second.calls == []


@pytest.mark.parametrize(
    "error", [ProviderUnavailable("x"), ProviderTimeout("x"), ProviderAuth("x")]
)
async def test_next_one_answers_with_a_model_of_its_own(error: ProviderError) -> None:
    """A model's name is never carried over."""
    second, third = _named("second", [DOWN]), _named("third", say("ok"))
    told: list[FallingBack] = []
    provider = FallbackProvider(
        _named("first", [Fail(error)]),
        [Link(second), Link(third, "small")],
        on_fallback=told.append,
    )
    deltas = await _read(provider)
    assert (deltas[0].provider, deltas[0].model) == ("third", "small")
    assert [request.model for request in second.requests + third.requests] == ["", "small"]
    assert [(step.provider, step.next_provider) for step in told] == [
        ("first", "second"),
        ("second", "third"),
    ]


@pytest.mark.parametrize("error", [ProviderRefused("x"), InvalidRequest("x")])
async def test_what_no_other_would_answer_stays_an_error(error: Exception) -> None:
    """Bad requests and refusals do not move the chain on."""
    second = _named("second")
    with pytest.raises(type(error)):
        await _read(FallbackProvider(_named("first", [Fail(error)]), [Link(second)]))
    assert second.calls == []


async def test_failure_after_a_delta_passes_through() -> None:
    """The chain moves on before the first delta only."""
    second = _named("second")
    first = _named("first", [Delta(text="half"), DOWN])
    with pytest.raises(ProviderUnavailable):
        await _read(FallbackProvider(first, [Link(second)]))
    assert second.calls == []


async def test_first_error_is_raised_where_nobody_can_answer() -> None:
    """It is the one of the provider that the caller chose."""
    last = Fail(ProviderTimeout("the second's"))
    provider = FallbackProvider(_named("first", [DOWN]), [Link(_named("second", [last]))])
    with pytest.raises(ProviderUnavailable, match="down") as caught:
        await _read(provider)
    assert isinstance(caught.value.__cause__, ProviderTimeout)


async def test_conversation_of_the_first_provider_stays_with_it() -> None:
    """Nobody else knows that conversation."""
    second = _named("second")
    request = msgspec.structs.replace(REQUEST, previous_response_id="resp_1")
    with pytest.raises(ProviderUnavailable):
        await _read(FallbackProvider(_named("first", [DOWN]), [Link(second)]), request)
    assert second.calls == []
