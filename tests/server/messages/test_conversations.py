"""Whole conversations on the three WebSockets: what both sides say stands in the document."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.providers.interface import Delta
from engine.testing.scripted_provider import Hang, ScriptedProvider, say
from server.hub import Bounds, Hub, gap_json
from server.protocols import all_codecs
from server.protocols.exhibition import ExhibitionCodec
from server.transports.websocket import Fixed
from tests.pipelines.exhibition.doubles import oblige, open_exhibitions, request
from tests.pipelines.generate.doubles import ObligingProvider
from tests.pipelines.persona.doubles import THREE, Cast, Providers, chat, multi_chat, openai_chat
from tests.pipelines.rig import Shelf
from tests.server.conversations import Client, House, open_house
from tests.server.messages.held import hold, names_of

NOTHING: dict[str, str] = {}
EVERYWHERE = {"common.pong", "common.snapshot", "common.cancel_result", "common.draining"}


async def speak(client: Client, message: dict[str, Any]) -> str:
    """Say what the document allows a client to say; gives the message's name there."""
    name = hold(message, client.protocol, "client")
    await client.say(message)
    return name


async def ask_around(client: Client, session_id: str) -> set[str]:
    """Say everything that can be said of a session that has ended; gives what was said."""
    about = {"session_id": session_id}
    said = {await speak(client, {"type": "ping"})}
    await client.until("pong")
    for mode in (NOTHING, {"mode": "snapshot"}, {"after": "x:1", "mode": "replay"}):
        said.add(await speak(client, {"type": "subscribe", **about, **mode}))
        await client.until("snapshot" if mode.get("mode") == "snapshot" else "cancelled")
    said.add(await speak(client, {"type": "cancel", **about}))
    await client.until("cancel_result")
    await client.say({"type": "subscribe", "session_id": "none"})
    await client.until("error")
    return said


async def drain(house: House, client: Client) -> None:
    house.hub.begin_drain()
    await client.until("draining")


def heard(client: Client) -> set[str]:
    return {hold(message, client.protocol, "server") for message in client.seen}


async def test_stream(autojump_clock: MockClock) -> None:
    """`/stream`: a request with every field, a cancel of one prompt and of the session."""
    script = [Delta(text="some "), Delta(text="words"), Hang()]
    async with open_house(Shelf(ScriptedProvider(script))) as house:
        client = house.connect()
        wanted: dict[str, Any] = {
            "request": {"input": "tides", "phases": ["idea"], "count": 2, "maxTokens": 99},
            "phaseConfigs": [{"phase": "idea", "provider": "scripted"}],
            "useParallel": True,
            "autoSelect": True,
            "request_id": "r",
            "detached": True,
            "deadline_s": 60,
            "token_budget": 100_000,
        }
        said = {await speak(client, wanted)}
        first = await client.until("chunk")
        target = {"prompt_id": first["prompt_id"]}
        await speak(client, {"type": "cancel", "session_id": first["session_id"], "target": target})
        await client.until("part_cancelled")
        await speak(client, {"type": "cancel", "request_id": "r"})
        await client.until("cancelled")
        said |= await ask_around(client, first["session_id"])
        await drain(house, client)
    assert said == names_of("generate", "client")
    assert heard(client) >= EVERYWHERE | {
        "generate.phase_start",
        "generate.chunk",
        "generate.part_cancelled",
        "generate.cancelled",
        "generate.refused",
    }


async def test_chat(autojump_clock: MockClock) -> None:
    """`/ws`: one voice, one persona, several; a cancel of one of them and of a session."""
    async with open_house(Providers(Cast())) as house:
        client = house.connect(protocol="persona")
        said = set()
        for message in (
            openai_chat("Hello!", tools=[{"type": "web_search"}], include_reasoning=True),
            chat("Hello!", conversation_id="c-1", smooth=True),
            multi_chat("Hello!", list(THREE), mode="debate", rounds=2, synthesis=True),
        ):
            said.add(await speak(client, {**message, "request_id": "r"}))
            await client.until("response")
        await speak(client, multi_chat("Again!", list(THREE)))
        session_id = (await client.until("chunk"))["session_id"]
        await speak(client, {"type": "cancel", "target": {"persona_id": THREE[0]}})
        await speak(client, {"type": "cancel", "session_id": session_id})
        await client.until("cancelled")
        said |= await ask_around(client, session_id)
        await drain(house, client)
    assert said == names_of("persona", "client")
    assert heard(client) >= EVERYWHERE | {
        "persona.status",
        "persona.chunk",
        "persona.persona_response",
        "persona.response",
        "persona.cancelled",
        "persona.refused",
    }


async def test_exhibition(autojump_clock: MockClock) -> None:
    """`/ws/{session_id}`: from `connected` on; one choice is made, and one refused."""
    async with open_exhibitions(ObligingProvider(oblige)) as engine, trio.open_nursery() as nursery:
        hub = Hub(engine, all_codecs(), bounds=Bounds(), drain_s=1)
        house = House(engine, hub, nursery)

        async def connect() -> Client:
            session = await engine.start("exhibition", request({"auto_select": False}))
            greeting = ExhibitionCodec().connected(session.session_id)
            fixed = Fixed(session_id=session.session_id, greeting=greeting)
            return house.connect(protocol="exhibition", fixed=fixed)

        client = await connect()
        choice = {"type": "select", "stage": "artist_discovery", "selected_indices": [0]}
        await client.until("selection_required")
        await client.ask({**choice, "selected_indices": [99]})
        said = {await speak(client, choice)}
        await client.until("selection_required")
        await speak(client, {**choice, "stage": "artwork_discovery"})
        await client.until("completed")
        other = await connect()
        session_id = (await other.until("chunk"))["session_id"]
        await speak(other, {"type": "cancel"})
        await other.until("cancelled")
        said |= await ask_around(other, session_id)
        await drain(house, other)
        nursery.cancel_scope.cancel()
    assert said == names_of("exhibition", "client")
    assert heard(client) | heard(other) >= EVERYWHERE | {
        "exhibition.connected",
        "exhibition.progress",
        "exhibition.chunk",
        "exhibition.item",
        "exhibition.stage_complete",
        "exhibition.selection_required",
        "exhibition.selected",
        "exhibition.completed",
        "exhibition.cancelled",
        "exhibition.refused",
    }


async def test_a_session_of_another_protocol(autojump_clock: MockClock) -> None:
    """A subscription on any endpoint is to any session, and speaks that session's protocol."""
    async with open_house(Shelf(ScriptedProvider(say("some ", "words")))) as house:
        client = house.connect()
        session = await house.engine.start("content", CONTENT)
        await speak(client, {"type": "subscribe", "session_id": session.session_id})
        await client.until("complete")
    assert {"content.start", "content.token", "content.complete"} <= heard(client)


CONTENT = {"content_type": "SUMMARY", "input_text": "Notes on the tides.", "half": "draft"}


@pytest.mark.parametrize("protocol", ["generate", "persona", "exhibition"])
def test_what_no_conversation_here_comes_to(protocol: str) -> None:
    """A gap needs a log that was trimmed, and a notice a journal that is away."""
    from engine.sessions.subscription import Gap

    gap = gap_json("s-1", Gap(requested=3, earliest=7, latest=9))
    assert hold(gap, protocol, "server") == "common.gap"
