"""The double plays its script to the letter and remembers what was done to it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.errors import ProviderBadOutput, ProviderUnavailable
from engine.events import Usage
from engine.providers.interface import Delta, GenerationRequest, Message, Provider
from engine.testing.scripted_provider import Fail, Hang, Opened, ScriptedProvider, Sleep, say

REQUEST = GenerationRequest(messages=(Message(role="user", content="hi"),), model="")


async def _read(provider: Provider) -> list[Delta]:
    async with provider.stream(REQUEST) as deltas:
        return [delta async for delta in deltas]


async def test_script_is_played_in_order_and_its_last_one_again() -> None:
    """The last script is used again for all further calls."""
    usage = Usage(input_tokens=1, output_tokens=2)
    provider = ScriptedProvider(say("a"), say("b", "c", usage=usage))
    assert "".join(delta.text for delta in await _read(provider)) == "a"
    for _ in range(2):
        answer = await _read(provider)
        assert [delta.text for delta in answer] == ["b", "c", ""]
        assert answer[-1].finish == "stop"
        assert answer[-1].usage == usage
    assert provider.requests == [REQUEST] * 3
    assert provider.open_calls == 0


async def test_script_without_a_finish_raises_bad_output() -> None:
    """An answer that runs out without a finish reason raises ProviderBadOutput."""
    provider = ScriptedProvider([Delta(text="half")])
    with pytest.raises(ProviderBadOutput):
        await _read(provider)
    assert provider.open_calls == 0
    assert not provider.calls[0].finished


async def test_what_stands_before_opened_happens_on_entering() -> None:
    """Opened: what stands before it happens while `stream` is entered."""
    provider = ScriptedProvider([Fail(ProviderUnavailable("down")), Opened()])
    entered = False
    with pytest.raises(ProviderUnavailable):
        async with provider.stream(REQUEST):
            entered = True
    assert not entered
    assert provider.open_calls == 0


async def test_cancel_closes_a_hanging_call(autojump_clock: MockClock) -> None:
    """Cancellation: at any point; the call is then closed."""
    provider = ScriptedProvider([Delta(text="a"), Sleep(1.0), Hang()], close_s=0.5)
    with trio.move_on_after(5) as scope:
        await _read(provider)
    assert scope.cancelled_caught
    [call] = provider.calls
    assert (call.given, call.finished) == (1, False)
    assert call.closed_at == call.opened_at + 5.5
