"""`/ws` in memory: golden transcripts of each flow, many requests at once, refusals."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine import Viewer
from engine.errors import ProviderRefused
from engine.providers.interface import Delta, GenerationRequest
from engine.testing.deterministic import run_deterministic
from engine.testing.scripted_provider import Fail, Hang, Script, Sleep, say
from tests.pipelines.persona.doubles import (
    THREE,
    Cast,
    Providers,
    chat,
    multi_chat,
    openai_chat,
    speaker,
)
from tests.server.conversations import Client, Message, is_terminal, open_house

GOLDEN = Path(__file__).parent / "protocols" / "golden"
PERSONAS_AT_ONCE = 16


def talkative(request: GenerationRequest, call: int) -> Script:
    """A little reasoning, a tool, and two words from everybody; one persona declines."""
    who = speaker(request)
    if who == "devils_advocate":
        return [Fail(ProviderRefused("it declined"))]
    first: list[Any] = [Delta(model="script-2026", response_id=f"up_{who}_{call}")]
    if request.reasoning:
        first += [Sleep(0.1), Delta(reasoning="first, …")]
    if request.tools:
        first += [Delta(tool={"status": "completed", "tool": "web_search", "data": {}})]
    return [*first, *say(f"{who} ", f"answers “{call}”", pace_s=0.1)]


FLOWS: dict[str, Message] = {
    "openai_chat": {
        "request_id": "r-1",
        **openai_chat(
            "Hello, world!",
            model="cast-1",
            tools=[{"type": "web_search"}],
            include_reasoning=True,
            conversation_id="c-1",
            colour="red",
        ),
    },
    "chat": {"request_id": "r-1", **chat("Which language?", conversation_id="c-1")},
    "multi_chat": {
        "request_id": "r-1",
        **multi_chat(
            "What do you think about AI?",
            ["tech_enthusiast", "devils_advocate", "data_scientist"],
            conversation_id="c-1",
        ),
    },
    "debate": {
        "request_id": "r-1",
        **multi_chat(
            "Tea or coffee?",
            THREE[:2],
            mode="debate",
            rounds=2,
            synthesis=True,
            conversation_id="c-1",
        ),
    },
}


async def transcript(request: Message) -> list[str]:
    """All messages of one request, as they were sent."""
    async with open_house(Providers(Cast(talkative)), random=Random(1)) as house:
        client = house.connect(protocol="persona")
        await client.say(request)
        messages = await client.to_end()
    return [json.dumps(message, ensure_ascii=False) for message in messages]


def settled(lines: Sequence[str]) -> list[str]:
    """Give a transcript without what chance decides: ids, and who was first of those at once."""
    messages = [json.loads(line) for line in lines]
    assert [message.pop("seq") for message in messages] == list(range(1, len(messages) + 1))
    last = messages[-1]
    for usage in (last["usage"], last["data"]["usage"]):
        usage["by_part"].sort(key=lambda row: (row.get("round", 0), row.get("persona_id", "")))
    messages.sort(key=lambda message: (message.get("round", 9), message.get("index", 99)))
    named = [json.dumps(message, ensure_ascii=False) for message in messages]
    return [
        re.sub(r'resp_[0-9a-f]{32}|(?<="epoch": ")[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}', "…", line)
        for line in named
    ]


@pytest.mark.parametrize("flow", FLOWS)
def test_transcript_of_a_flow(flow: str) -> None:
    """Wire names are for ever: what was once sent in a form is always sent in it."""
    lines = settled(run_deterministic(transcript, FLOWS[flow], seed=1))
    assert lines == (GOLDEN / f"persona_{flow}.jsonl").read_text("utf-8").splitlines()


def kinds(messages: Sequence[Message]) -> list[str]:
    """What came, in words; pieces of text in a row are one word."""
    words: list[str] = []
    for message in messages:
        word = message["type"]
        if word == "status":
            word = message["status"]
        elif word == "chunk" and message["is_final"]:
            assert message["chunk"] == ""
            word = "final chunk"
        if words[-1:] != [word] or word not in ("chunk", "reasoning"):
            words.append(word)
    return words


ONE_VOICE = ["starting", "processing", "streaming", "chunk", "final chunk"]


@pytest.mark.parametrize(
    ("flow", "order"),
    [
        (
            "openai_chat",
            [*ONE_VOICE[:3], "reasoning", "tool", "chunk", "final chunk", "response"],
        ),
        ("chat", [*ONE_VOICE, "response"]),
    ],
)
async def test_order_of_one_voice(flow: str, order: list[str], autojump_clock: MockClock) -> None:
    """status starting → processing → streaming → reasoning* → chunk* → final chunk → response."""
    messages = [json.loads(line) for line in await transcript(FLOWS[flow])]
    assert kinds(messages) == order
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    persona_id = "tech_enthusiast" if flow == "chat" else None
    assert {message.get("persona_id") for message in messages[:-1]} == {persona_id}
    data = messages[-1]["data"]
    assert data["response"] == data["output_text"]
    wanted = {"model", "response_id", "conversation_id", "persona_id", "reasoning_summary"}
    assert wanted | {"tool_calls", "usage"} <= data.keys()
    assert messages[-1]["status"] == "completed"


async def test_order_of_several_voices(autojump_clock: MockClock) -> None:
    """Each: starting, processing, streaming, chunk*, persona_response; then one response."""
    messages = [json.loads(line) for line in await transcript(FLOWS["multi_chat"])]
    for persona_id, index in (("tech_enthusiast", 0), ("data_scientist", 2)):
        own = [message for message in messages if message.get("persona_id") == persona_id]
        assert kinds(own) == [*ONE_VOICE, "persona_response"]
        assert {message["index"] for message in own} == {index}
        assert own[-1]["latency"].keys() == {"first_token", "total"}
    [lost] = [message for message in messages if message["type"] == "error"]
    assert (lost["persona_id"], lost["code"]) == ("devils_advocate", "provider_refused")
    last = messages[-1]
    assert last["type"] == "response"
    assert [row["index"] for row in last["data"]["responses"]] == [0, 2]
    assert last["data"]["failed"][0]["persona_id"] == "devils_advocate"


# ---- many requests on one connection -------------------------------------------------------------


def paced(request: GenerationRequest, call: int) -> Script:
    """Twenty words, each with the number that the user said."""
    number = request.messages[-1].content
    return say(*[f"{number}-{word} " for word in range(20)], pace_s=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_sixteen_requests_on_one_socket_with_others_being_cancelled(seed: int) -> None:
    """16 requests run at once on one socket with other requests being cancelled, and each message
    is attributed rightly.
    """
    run_deterministic(_sixteen, seed, seed=seed)


async def _sixteen(seed: int) -> None:
    chance = Random(seed)
    cast = Cast(paced)
    async with open_house(Providers(cast)) as house:
        client = house.connect(protocol="persona", max_sessions=PERSONAS_AT_ONCE)
        numbers = [f"q{number}" for number in range(PERSONAS_AT_ONCE)]
        doomed = set(chance.sample(numbers, 6))
        for number in numbers:
            shape = chance.choice(("openai_chat", "chat", "multi_chat"))
            request = {
                "openai_chat": openai_chat(number),
                "chat": chat(number, chance.choice(THREE)),
                "multi_chat": multi_chat(number, THREE),
            }[shape]
            await client.say({"request_id": number, **request})
        await client.say({"request_id": "one-too-many", **openai_chat("no")})

        async def cancel(number: str, after_s: float) -> None:
            await trio.sleep(after_s)
            await client.say({"type": "cancel", "request_id": number})

        async with trio.open_nursery() as nursery:
            for number in doomed:
                nursery.start_soon(cancel, number, chance.uniform(0, 0.9))
            ends: dict[str, Message] = {}
            refused = []
            while len(ends) < PERSONAS_AT_ONCE:
                message = await client.hear()
                if message.get("refused"):
                    refused.append(message)
                elif is_terminal(message):
                    ends[message["request_id"]] = message
    assert [(each["request_id"], each["code"]) for each in refused] == [
        ("one-too-many", "overloaded")
    ]
    assert cast.open_calls == 0
    _check_attribution(client, doomed, ends)


def _check_attribution(client: Client, doomed: set[str], ends: dict[str, Message]) -> None:
    of_session: dict[str, str] = {}
    seqs: dict[str, list[int]] = {}
    texts: dict[tuple[str, str], str] = {}
    for message in client.seen:
        if "seq" not in message:
            continue
        number = message["request_id"]
        assert of_session.setdefault(message["session_id"], number) == number
        seqs.setdefault(number, []).append(message["seq"])
        if message["type"] == "chunk":
            key = (number, message.get("persona_id", ""))
            texts[key] = texts.get(key, "") + message["chunk"]
    assert len(of_session) == PERSONAS_AT_ONCE
    for number, own in seqs.items():
        assert own == list(range(1, len(own) + 1)), number
        assert (ends[number]["type"] == "cancelled") == (number in doomed)
    for (number, _), text in texts.items():
        words = text.split()
        assert words == [f"{number}-{word}" for word in range(len(words))]
        assert len(words) == 20 or number in doomed


async def test_requests_of_one_connection_interleave(autojump_clock: MockClock) -> None:
    """Messages of different requests interleave fairly: none waits behind another's backlog."""
    async with open_house(Providers(Cast(paced))) as house:
        client = house.connect(protocol="persona")
        for number in ("a", "b", "c", "d"):
            await client.say({"request_id": number, **openai_chat(number)})
        for _ in range(4):
            await client.to_end()
    order = [each["request_id"] for each in client.seen if each.get("chunk")]
    counted: Counter[str] = Counter()
    for request_id in order:
        counted[request_id] += 1
        assert max(counted.values()) - min(counted.get(each, 0) for each in "abcd") <= 2


# ---- refusals ------------------------------------------------------------------------------------

MALFORMED: list[tuple[object, str, str]] = [
    ("{", "invalid_json", "not valid JSON"),
    ("[]", "invalid_request", "a message must be a JSON object, got an array"),
    ("3", "invalid_request", "a number or boolean"),
    (b"\xff\xfe", "invalid_json", "not valid JSON"),
    (
        {},
        "unsupported_type",
        "a type; allowed are openai_chat, chat, multi_chat, cancel, subscribe",
    ),
    ({"type": "sing"}, "unsupported_type", "'sing'; allowed are openai_chat, chat, multi_chat"),
    ({"type": ["chat"]}, "unsupported_type", "allowed are openai_chat, chat, multi_chat"),
    ({"type": "chat"}, "invalid_request", 'in an object "data"'),
    ({"type": "chat", "data": "hi"}, "invalid_request", 'in an object "data"'),
    ({"type": "chat", "data": {}}, "invalid_request", "message is required; persona_id is"),
    (openai_chat(3), "invalid_request", "input_text must be a string, got 3"),  # type: ignore[arg-type]
    (openai_chat("x" * 200_001), "invalid_request", "more than 200,000 characters"),
    (openai_chat(temperature="hot"), "invalid_request", "temperature must be a number"),
    (openai_chat(tools=[{}]), "invalid_request", 'tools[0] needs a "type"'),
    (chat("hi", "nobody"), "not_found", 'unknown persona "nobody"; there are creative_writer'),
    (multi_chat("hi", []), "invalid_request", "at least 1 entry"),
    ({"type": "cancel", "session_id": "none"}, "not_found", "none"),
    ({"type": "subscribe"}, "invalid_request", "session_id"),
    ({"request_id": 7, **openai_chat()}, "invalid_request", "request_id must be a string"),
    ({"request": {"conversation_id": "c"}}, "unsupported_type", "allowed are openai_chat"),
]


@pytest.mark.parametrize(("message", "code", "says"), MALFORMED)
async def test_what_is_malformed_is_refused_and_the_connection_goes_on(
    message: object, code: str, says: str, autojump_clock: MockClock
) -> None:
    """Malformed and unknown messages get an error that says what is allowed, and the connection
    goes on.
    """
    async with open_house(Providers(Cast())) as house:
        client = house.connect(protocol="persona")
        await client.say({"request_id": "before", **openai_chat("hi")})
        answer = await client.ask(message)
        while answer["type"] == "status":  # of the request before
            answer = await client.hear()
        assert (answer["type"], answer["status"]) == ("error", "error")
        assert (answer["code"], answer["refused"]) == (code, True)
        assert says in answer["message"]
        assert bool(answer.get("details")) == (code == "invalid_request")
        assert (await client.to_end())[-1]["request_id"] == "before"
        await client.say({"request_id": "after", **openai_chat("hi")})
        assert (await client.to_end())[-1]["request_id"] == "after"
        assert client.closed is None


async def test_unknown_fields_are_warned_of(autojump_clock: MockClock) -> None:
    """Unknown fields are never ignored in silence: the session's first message has warnings."""
    async with open_house(Providers(Cast())) as house:
        client = house.connect(protocol="persona")
        await client.say({**chat("hi", temprature=1), "datum": 1})
        first, *rest = await client.to_end()
    assert first["warnings"] == [
        'unknown field "data.temprature" is ignored; the nearest allowed one is "temperature"',
        'unknown field "datum" is ignored; the nearest allowed one is "data"',
    ]
    assert not any("warnings" in message for message in rest)


async def test_another_owners_conversation_is_refused(autojump_clock: MockClock) -> None:
    """Another owner's conversation is `not_found`."""
    async with open_house(Providers(Cast())) as house:
        ann = house.connect(protocol="persona", viewer=Viewer(sub="ann"))
        await ann.say(chat("a secret", conversation_id="c"))
        await ann.to_end()
        bob = house.connect(protocol="persona", viewer=Viewer(sub="bob"))
        answer = await bob.ask(chat("tell me", conversation_id="c"))
    assert (answer["code"], answer["refused"]) == ("not_found", True)


async def test_cancelled_says_what_there_is(autojump_clock: MockClock) -> None:
    """The terminal cancelled: partial by persona, usage, receipt, and the conversation."""
    cast = Cast(lambda request, call: [Delta(text="as far"), Hang()])
    async with open_house(Providers(cast)) as house:
        client = house.connect(protocol="persona")
        await client.say(multi_chat("hi", THREE[:2], conversation_id="c"))
        while len(client.of("chunk")) < 2:
            await client.hear()
        await client.say({"type": "cancel", "target": {"persona_id": THREE[0]}})
        part = await client.until("part_cancelled")
        await client.say({"type": "cancel"})
        last = (await client.to_end())[-1]
    assert (part["target"], part["partial"]) == ({"persona_id": THREE[0]}, "as far")
    assert last["partial"] == {THREE[0]: "as far", THREE[1]: "as far"}
    assert (last["reason"], last["conversation_id"]) == ("client", "c")
    assert last["receipt"].keys() == {
        "accepted_at_seq",
        "upstream_closed_ms",
        "tokens_after_accept",
    }
