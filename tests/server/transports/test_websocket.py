"""Conversations on `/stream`: requests, refusals, cancel, subscribe, liveness, limits."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from engine import Limits
from engine.errors import ProviderRateLimited
from engine.providers.interface import Delta
from engine.testing.scripted_provider import Fail, Hang, ScriptedProvider, Sleep, say
from server.hub import Bounds
from tests.pipelines.rig import Shelf
from tests.server.conversations import Client, House, Message, open_house

SLOW = [Delta(text="some "), Delta(text="words"), Hang()]
"""Writes a little and then waits for ever: only a cancel ends it."""


def ask(**options: object) -> Message:
    return {"request": {"input": "tides", "phases": ["idea"], "count": 1}, **options}


def slow(*script: object) -> Shelf:
    return Shelf(ScriptedProvider(list(script) or SLOW))  # type: ignore[arg-type]


def quick() -> Shelf:
    return Shelf(ScriptedProvider(say("some ", "words")))


async def begin(client: Client, **options: object) -> str:
    """Start a session and read to its first chunk; gives its id."""
    await client.say(ask(**options))
    session_id: str = (await client.until("chunk"))["session_id"]
    return session_id


# ---- one session ---------------------------------------------------------------------------------


async def test_messages_of_a_session(autojump_clock: MockClock) -> None:
    """Every message carries session_id, seq and epoch; the messages cover 1, 2, 3 … to one end."""
    async with open_house(quick()) as house:
        client = house.connect()
        await client.say(ask(request_id="r-1"))
        messages = await client.to_end()
    assert [message["type"] for message in messages if message["type"] != "chunk"] == [
        "phase_start",
        "prompt_complete",
        "phase_complete",
        "result",
    ]
    reached = 0
    for message in messages:
        assert message.get("first_seq", message["seq"]) == reached + 1
        reached = message["seq"]
    assert len({(m["session_id"], m["epoch"], m["request_id"]) for m in messages}) == 1
    assert messages[0]["request_id"] == "r-1"


@pytest.mark.parametrize("key", ["request_id", "requestId", "RequestID"])
async def test_request_id_in_any_spelling(autojump_clock: MockClock, key: str) -> None:
    """`request_id`, where the client's request carried one, is echoed as it came."""
    async with open_house(quick()) as house:
        client = house.connect()
        await client.say(ask(**{key: "ä" * 128}))
        assert {message["request_id"] for message in await client.to_end()} == {"ä" * 128}


async def test_request_without_a_request_id(autojump_clock: MockClock) -> None:
    async with open_house(quick()) as house:
        client = house.connect()
        await client.say(ask())
        assert not any("request_id" in message for message in await client.to_end())


async def test_unknown_fields(autojump_clock: MockClock) -> None:
    """The session's first message carries `warnings` with the field and the nearest allowed one."""
    async with open_house(quick()) as house:
        client = house.connect()
        request = {"input": "tides", "phases": ["idea"], "count": 1, "maxToken": 5}
        await client.say({"request": request, "useParalel": True})
        messages = await client.to_end()
    assert messages[0]["warnings"] == [
        'unknown field "request.maxToken" is ignored; the nearest allowed one is "maxTokens"',
        'unknown field "useParalel" is ignored; the nearest allowed one is "useParallel"',
    ]
    assert not any("warnings" in message for message in messages[1:])


async def test_session_whose_deadline_passes(autojump_clock: MockClock) -> None:
    """`deadline_s` ends a session as `cancelled` by its deadline."""
    async with open_house(slow()) as house:
        client = house.connect()
        begun = trio.current_time()
        await client.say(ask(deadline_s=1.5))
        cancelled = (await client.to_end())[-1]
        assert trio.current_time() - begun == pytest.approx(1.5, abs=0.2)
    assert (cancelled["type"], cancelled["reason"]) == ("cancelled", "deadline")
    assert list(cancelled["partial"].values()) == ["some words"]


async def test_session_whose_token_budget_allows_no_call(autojump_clock: MockClock) -> None:
    """`token_budget` is reserved before a call: what it does not allow is not asked for."""
    provider = ScriptedProvider(say("some words"))
    async with open_house(Shelf(provider)) as house:
        client = house.connect()
        await client.say(ask(token_budget=3))
        error = (await client.to_end())[-1]
    assert (error["type"], error["code"]) == ("error", "too_large")
    assert provider.calls == []


async def test_several_sessions_on_one_connection(autojump_clock: MockClock) -> None:
    """Several may be sent on one connection, and run at once; each message says whose it is."""
    async with open_house(Shelf(ScriptedProvider(say(*"abcdef", pace_s=0.1)))) as house:
        client = house.connect()
        for name in ("r1", "r2", "r3"):
            await client.say(ask(request_id=name))
        for _ in range(3):
            await client.to_end()
    chunks = [message["request_id"] for message in client.of("chunk")]
    assert len({tuple(chunks[place : place + 3]) for place in range(0, len(chunks), 3)}) >= 1
    assert set(chunks[:3]) == {"r1", "r2", "r3"}, "the sessions did not run at once"
    for name in ("r1", "r2", "r3"):
        text = "".join(m["content"] for m in client.of("chunk") if m["request_id"] == name)
        assert text == "abcdef"


# ---- refusals ------------------------------------------------------------------------------------

REFUSED = {
    "no JSON": ("nonsense", "invalid_json"),
    "a number": ("3", "invalid_request"),
    "an array": ("[]", "invalid_request"),
    "null": ("null", "invalid_request"),
    "an empty text": ("", "invalid_json"),
    "an empty binary message": (None, "invalid_json"),
    "binary that is no UTF-8": (b"\xff\xfe", "invalid_json"),
    "NaN": ('{"request":{"input":"x","temperature":NaN}}', "invalid_json"),
    "a number beyond all bounds": ('{"request":{"input":"x","count":1e999}}', "invalid_json"),
    "a number of 5,000 digits": ('{"request":{"count":' + "9" * 5000 + "}}", "invalid_json"),
    "a number of 30 digits": ('{"request":{"input":"x","count":' + "9" * 30 + "}}", None),
    "nesting of 100,000": ("[" * 100_000, "invalid_json"),
    "objects of 100,000": ('{"a":' * 100_000, "invalid_json"),
    "a lone surrogate": ('{"request":{"input":"\\ud800"}}', "invalid_json"),
    "an unknown type": ('{"type":"dance"}', "unsupported_type"),
    "a type that is an object": ('{"type":{}}', "unsupported_type"),
    "a type that is a list": ('{"type":["cancel"]}', "unsupported_type"),
    "nothing": ("{}", "invalid_request"),
    "a request that is none": ('{"request":"x"}', "invalid_request"),
    "a request_id that is none": ('{"request":{"input":"x"},"request_id":7}', "invalid_request"),
    "a cancel of nothing": ('{"type":"cancel"}', "invalid_request"),
    "a cancel of nobody": ('{"type":"cancel","session_id":"x"}', "not_found"),
    "a cancel by a number": ('{"type":"cancel","session_id":7}', "invalid_request"),
    "a cancel of no request": ('{"type":"cancel","request_id":"x"}', "not_found"),
    "a subscription to nothing": ('{"type":"subscribe"}', "invalid_request"),
    "a subscription to nobody": ('{"type":"subscribe","session_id":"x"}', "not_found"),
    "a mode that is none": ('{"type":"subscribe","session_id":"x","mode":1}', "invalid_request"),
    "a zero in an id": ('{"type":"subscribe","session_id":"a\\u0000b"}', "not_found"),
    "a budget beyond 64 bits": (
        '{"request":{"input":"x"},"token_budget":99999999999999999999}',
        "invalid_request",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_message_that_is_refused(autojump_clock: MockClock, name: str) -> None:
    """A well-formed frame never ends a connection, whatever is in it: it gets a refusal."""
    message, code = REFUSED[name]
    async with open_house(quick()) as house:
        client = house.connect()
        refusal = await client.ask(message)
        assert refusal["type"] == "error"
        assert refusal["refused"] is True
        assert refusal["code"] == (code or "invalid_request")
        assert refusal["error"]
        if refusal["code"] == "invalid_request":
            assert all(detail.keys() == {"path", "message"} for detail in refusal["details"])
        assert not {"seq", "session_id", "epoch"} & refusal.keys()
        await client.say(ask())
        assert (await client.to_end())[-1]["type"] == "result"
        assert client.closed is None


@pytest.mark.parametrize(
    "message",
    [
        ask(request_id="mine", deadline_s=0),
        {"type": "dance", "requestId": "mine"},
        {"type": "cancel", "session_id": "nobody", "request_id": "mine"},
        {"request": {"count": 0}, "RequestId": "mine"},
    ],
    ids=["an option", "a type", "a cancel", "a request"],
)
async def test_refusal_of_a_message_with_a_request_id(
    autojump_clock: MockClock, message: Message
) -> None:
    """A refusal carries the `request_id` where it could be read."""
    async with open_house(quick()) as house:
        assert (await house.connect().ask(message))["request_id"] == "mine"


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadlineS": "soon"}, "deadline_s"),
        ({"token_budget": 0}, "token_budget"),
        ({"token_budget": 1.5}, "token_budget"),
        ({"token_budget": True}, "token_budget"),
        ({"detached": "yes"}, "detached"),
        ({"request_id": "x" * 129}, "request_id"),
    ],
)
async def test_option_that_is_not_allowed(
    autojump_clock: MockClock, options: Message, path: str
) -> None:
    """`invalid_request` comes with `details`: a list of {"path", "message"}."""
    async with open_house(quick()) as house:
        refusal = await house.connect().ask(ask(**options))
    assert refusal["code"] == "invalid_request"
    [detail] = refusal["details"]
    assert detail["path"] == path
    assert refusal["error"] == f"{path} {detail['message']}"


@pytest.mark.parametrize(
    "cursor", ["", "x", "x:", ":1", "x:-1", "x:1.5", "x:²", "x:" + "9" * 5000, "é:1"]
)
async def test_cursor_of_all_kinds(autojump_clock: MockClock, cursor: str) -> None:
    """A cursor that cannot be read is refused; one of an unknown life brings a gap."""
    async with open_house(quick()) as house:
        client = house.connect()
        await client.say(ask())
        session_id = (await client.to_end())[0]["session_id"]
        subscribe = {"type": "subscribe", "session_id": session_id, "after": cursor}
        answer = await client.ask(subscribe)
        if answer["type"] == "error":
            assert answer["code"] == "invalid_request"
        else:
            assert answer["type"] == "gap"
            assert (await client.to_end())[-1]["type"] == "result"
        assert (await client.ask("ping"))["type"] == "pong"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ("type", "request", "session_id", "request_id", "target", "after", "mode", "phaseConfigs")
) | st.sampled_from(
    ("detached", "deadline_s", "token_budget", "weights", "useParallel", "optimize")
)
_TYPES = st.sampled_from(["cancel", "subscribe", "ping", "generate"])


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES, max_size=5), st.none() | _TYPES)
def test_message_of_any_content(message: Message, kind: str | None) -> None:
    """Whatever is in a message, it is answered, and the connection goes on."""
    if kind is not None:
        message = {**message, "type": kind}

    async def converse() -> None:
        async with open_house(quick()) as house:
            client = house.connect()
            await client.say(message)
            await client.say("ping")
            await client.until("pong")
            assert client.closed is None

    trio.run(converse, clock=MockClock(autojump_threshold=0))


async def test_more_sessions_than_a_connection_may_have(autojump_clock: MockClock) -> None:
    """200 running sessions for a connection of `/stream`; a further one is `overloaded`."""
    async with open_house(slow()) as house:
        client = house.connect(max_sessions=Bounds().sessions_per_stream_connection)
        assert Bounds().sessions_per_stream_connection == 200
        for number in range(200):
            await client.say(ask(request_id=str(number)))
        for _ in range(200):
            await client.until("phase_start")
        await client.say(ask(request_id="one more"))
        refusal = await client.until("error")
        assert (refusal["code"], refusal["refused"]) == ("overloaded", True)
        assert refusal["retry_after"] > 0
        assert refusal["request_id"] == "one more"
        await client.say({"type": "cancel", "request_id": "7"})
        await client.until("cancelled")
        await client.say(ask(request_id="in its place"))
        assert (await client.until("phase_start", "error"))["request_id"] == "in its place"


# ---- cancel --------------------------------------------------------------------------------------


async def cancels(client: Client, message: Message, session_id: str) -> Message:
    await client.say({"type": "cancel", **message})
    cancelled = (await client.to_end())[-1]
    assert (cancelled["type"], cancelled["session_id"]) == ("cancelled", session_id)
    return cancelled


@pytest.mark.parametrize("by", ["session_id", "sessionId", "request_id", "requestId", "nothing"])
async def test_cancel_by(autojump_clock: MockClock, by: str) -> None:
    """Cancel by session_id, by request_id, or with neither the connection's only session."""
    provider = ScriptedProvider(SLOW)
    async with open_house(Shelf(provider)) as house:
        client = house.connect()
        session_id = await begin(client, request_id="mine")
        value = session_id if "ession" in by else "mine"
        cancelled = await cancels(client, {} if by == "nothing" else {by: value}, session_id)
        assert provider.open_calls == 0
    assert cancelled["reason"] == "client"
    assert list(cancelled["partial"].values()) == ["some words"]
    receipt = cancelled["receipt"]
    assert receipt["accepted_at_seq"] == cancelled["seq"] - 1
    assert receipt["upstream_closed_ms"] >= 0
    assert receipt["tokens_after_accept"] == 0
    assert cancelled["usage"]["output_tokens"] > 0
    assert cancelled["usage"]["estimated"] is True


async def test_cancel_of_one_of_several(autojump_clock: MockClock) -> None:
    """With neither id and several sessions running, a cancel is refused and ends none."""
    async with open_house(slow()) as house:
        client = house.connect()
        first, second = await begin(client), await begin(client)
        refusal = await client.ask({"type": "cancel"})
        assert (refusal["refused"], refusal["code"]) == (True, "invalid_request")
        assert refusal["error"] == (
            "2 sessions are running on this connection: cancel needs a session_id or a request_id"
        )
        await cancels(client, {"session_id": first}, first)
        await cancels(client, {}, second)


async def test_cancel_before_the_first_token(autojump_clock: MockClock) -> None:
    """It works before the first token; there is no partial text, and the upstream is closed."""
    provider = ScriptedProvider([Hang()])
    async with open_house(Shelf(provider)) as house:
        client = house.connect()
        await client.say(ask())
        session_id = (await client.until("phase_start"))["session_id"]
        await trio.testing.wait_all_tasks_blocked()
        cancelled = await cancels(client, {}, session_id)
        assert provider.open_calls == 0
    assert cancelled["partial"] == {}
    assert cancelled["receipt"]["upstream_closed_ms"] is not None


async def test_cancel_sent_together_with_the_request(autojump_clock: MockClock) -> None:
    """It works before the session has begun."""
    async with open_house(slow()) as house:
        client = house.connect()
        await client.say(ask(request_id="mine"))
        await client.say({"type": "cancel", "request_id": "mine"})
        messages = await client.to_end()
    assert messages[-1]["type"] == "cancelled"
    assert messages[-1]["receipt"]["upstream_closed_ms"] is None
    assert messages[-1]["request_id"] == "mine"


async def test_cancel_twice(autojump_clock: MockClock) -> None:
    """A second cancel changes nothing: one terminal message, and its record for who asks again."""
    async with open_house(slow()) as house:
        client = house.connect()
        session_id = await begin(client)
        await client.say({"type": "cancel", "session_id": session_id})
        await client.say({"type": "cancel", "session_id": session_id})
        messages = await client.to_end()
        await client.say({"type": "cancel", "session_id": session_id})
        again = await client.until("cancel_result")
        assert len(client.of("cancelled")) == 1
    assert (again["session_id"], again["state"]) == (session_id, "cancelled")
    assert again["terminal"] == messages[-1]
    assert "seq" not in again


async def test_cancel_of_a_session_that_has_ended(autojump_clock: MockClock) -> None:
    """A cancel for a session that has ended is answered with `cancel_result`."""
    async with open_house(quick()) as house:
        client = house.connect()
        await client.say(ask())
        result = (await client.to_end())[-1]
        answer = await client.ask({"type": "cancel", "session_id": result["session_id"]})
    assert answer == {
        "type": "cancel_result",
        "session_id": result["session_id"],
        "state": "completed",
        "terminal": result,
    }


async def test_cancel_from_another_connection(autojump_clock: MockClock) -> None:
    """Who reads the session gets `cancelled`; who cancelled it gets its terminal message."""
    async with open_house(slow()) as house:
        reader, other = house.connect(), house.connect()
        session_id = await begin(reader)
        await other.say({"type": "cancel", "session_id": session_id})
        cancelled = (await reader.to_end())[-1]
        answer = await other.hear()
    assert cancelled["type"] == "cancelled"
    assert (answer["type"], answer["state"]) == ("cancel_result", "cancelled")
    assert answer["terminal"] == cancelled


async def test_cancel_by_request_id_after_a_new_connection(autojump_clock: MockClock) -> None:
    """A client that came back cancels by the `request_id` of what it reads."""
    async with open_house(slow()) as house:
        first = house.connect()
        await first.say(ask(request_id="mine"))
        session_id = (await first.hear())["session_id"]
        second = house.connect()
        await second.say({"type": "subscribe", "session_id": session_id})
        await second.say({"type": "cancel", "request_id": "mine"})
        cancelled = (await second.to_end())[-1]
    assert (cancelled["type"], cancelled["session_id"]) == ("cancelled", session_id)


async def test_cancel_during_the_wait_for_another_attempt(autojump_clock: MockClock) -> None:
    """It works during a retry's wait."""
    late = ProviderRateLimited("slowly", retry_after_s=30)
    async with open_house(slow(Delta(text="some "), Fail(late))) as house:
        client = house.connect()
        begun = trio.current_time()
        await client.say(ask())
        session_id = (await client.until("attempt"))["session_id"]
        await cancels(client, {}, session_id)
        assert trio.current_time() - begun < 1


async def two_phases(house: House, **options: object) -> tuple[Client, Message]:
    client = house.connect()
    request = {"input": "tides", "phases": ["idea", "human"], "count": 2}
    await client.say({"request": request, **options})
    return client, await client.until("chunk")


async def test_cancel_of_one_prompt(autojump_clock: MockClock) -> None:
    """`target` {"prompt_id"} ends that part alone and the rest goes on; the result lists it."""
    provider = ScriptedProvider(SLOW, say("other words"))
    async with open_house(Shelf(provider)) as house:
        client, chunk = await two_phases(house)
        target = {"prompt_id": chunk["prompt_id"]}
        await client.say({"type": "cancel", "session_id": chunk["session_id"], "target": target})
        messages = await client.to_end()
    [cut] = client.of("part_cancelled")
    streamed = "".join(
        message["content"]
        for message in client.of("chunk")
        if message["prompt_id"] == chunk["prompt_id"]
    )
    assert (cut["target"], cut["partial"]) == (target, streamed)
    result = json.loads(messages[-1]["content"])
    assert [(lost["prompt_id"], lost["index"]) for lost in result["cancelled"]] == [
        (chunk["prompt_id"], 0)
    ]
    assert [prompt["index"] for prompt in result["prompts"]] == [1, 1]


async def test_cancel_of_a_phase(autojump_clock: MockClock) -> None:
    """`target` {"phase"} ends all parts of that phase, those to come included."""
    async with open_house(slow()) as house:
        client, chunk = await two_phases(house, useParallel=True)
        await client.say({"type": "cancel", "target": {"phase": chunk["phase"]}})
        messages = await client.to_end()
    assert {cut["phase"] for cut in client.of("part_cancelled")} == {"prima-materia"}
    assert len(client.of("part_cancelled")) == 2
    assert messages[-1]["type"] in ("result", "cancelled")


@pytest.mark.parametrize("alias", ["idea", "prima_materia"])
async def test_cancel_of_a_phase_by_an_alias(autojump_clock: MockClock, alias: str) -> None:
    """Aliases are accepted; messages show the canonical name."""
    async with open_house(slow()) as house:
        client, _ = await two_phases(house, useParallel=True)
        await client.say({"type": "cancel", "target": {"phase": alias}})
        await client.to_end()
    assert {cut["phase"] for cut in client.of("part_cancelled")} == {"prima-materia"}
    assert [error for error in client.of("error") if error.get("refused")] == []


async def test_part_cancelled_from_another_connection(autojump_clock: MockClock) -> None:
    """One that does not read the session hears of the part's end when it ends, not the session's.

    The session goes on: its one other part is at work when the answer comes.
    """
    async with open_house(slow()) as house:
        reader, chunk = await two_phases(house)
        target = {"prompt_id": chunk["prompt_id"]}
        about = {"session_id": chunk["session_id"], "target": target}
        answer = await house.connect().ask({"type": "cancel", **about})
        assert not house.engine.sessions[chunk["session_id"]].has_ended
        cut = await reader.until("part_cancelled")
        assert answer == {
            "type": "cancel_result",
            **about,
            "state": "running",
            "terminal": None,
            "parts": [
                {"target": target, "attempt": 1, "state": "cancelled", "text": cut["partial"]}
            ],
        }
        again = await house.connect().ask({"type": "cancel", **about})
        assert again["parts"] == answer["parts"]


async def test_phase_cancelled_from_another_connection(autojump_clock: MockClock) -> None:
    """The answer names the phase by its own name, and comes when all its parts at work ended."""
    async with open_house(slow()) as house:
        _, chunk = await two_phases(house, useParallel=True)
        canceller = house.connect()
        about = {"session_id": chunk["session_id"], "target": {"phase": "idea"}}
        answer = await canceller.ask({"type": "cancel", **about})
    assert answer["target"] == {"phase": "prima-materia"}
    assert [part["state"] for part in answer["parts"]] == ["cancelled", "cancelled"]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"prompt_id": "nobody"}, "not_found"),
        ({"phase": "nobody"}, "not_found"),
        ({}, "invalid_request"),
        ({"prompt": "x"}, "invalid_request"),
        ({"prompt_id": 3}, "invalid_request"),
        ("prima-materia", "invalid_request"),
        ([], "invalid_request"),
    ],
)
async def test_cancel_of_a_target_that_is_not_there(
    autojump_clock: MockClock, target: object, code: str
) -> None:
    """It is refused, and the session goes on."""
    async with open_house(slow()) as house:
        client = house.connect()
        session_id = await begin(client)
        await client.say({"type": "cancel", "session_id": session_id, "target": target})
        refusal = await client.until("error", "cancelled")
        assert (refusal.get("refused"), refusal.get("code")) == (True, code)
        assert house.engine.sessions[session_id].stop is None


# ---- subscribe -----------------------------------------------------------------------------------


def is_rest(messages: list[Message], whole: list[Message], after: int = 0) -> bool:
    """Whether messages say what `whole` says after an offset; adjacent chunks may be merged."""
    reached = after
    for message in messages:
        if message.get("first_seq", message["seq"]) != reached + 1:
            return False
        covered = [m for m in whole if reached < m["seq"] <= message["seq"]]
        reached = message["seq"]
        if len(covered) > 1:
            last = covered[-1]
            covered[-1] = {
                **last,
                "first_seq": message["first_seq"],
                "content": "".join(m["content"] for m in covered),
            }
        if covered[-1] != message:
            return False
    return reached == whole[-1]["seq"]


async def test_subscription_from_the_start(autojump_clock: MockClock) -> None:
    """It replays, then goes on live: the same messages as the first reader's, none twice."""
    async with open_house(Shelf(ScriptedProvider(say(*"abcdef", pace_s=0.1)))) as house:
        first, second = house.connect(), house.connect()
        session_id = await begin(first)
        await trio.sleep(0.25)
        await second.say({"type": "subscribe", "session_id": session_id})
        await first.to_end()
        await second.to_end()
    assert is_rest(second.seen, first.seen)


async def test_subscription_after_a_cursor(autojump_clock: MockClock) -> None:
    """After `<epoch>:<seq>`, no event is lost, doubled or out of order."""
    async with open_house(Shelf(ScriptedProvider(say(*"abcdef", pace_s=0.1)))) as house:
        first = house.connect()
        await first.say(ask())
        messages = await first.to_end()
        for last in messages[:-1]:
            late = house.connect()
            after = f"{last['epoch']}:{last['seq']}"
            subscribe = {"type": "subscribe", "session_id": last["session_id"], "after": after}
            await late.say(subscribe)
            assert is_rest(await late.to_end(), messages, last["seq"])


async def test_subscription_by_snapshot(autojump_clock: MockClock) -> None:
    """A snapshot gives the state so far, and then it goes on from S + 1."""
    async with open_house(Shelf(ScriptedProvider(say(*"abcdef", pace_s=0.1)))) as house:
        first, second = house.connect(), house.connect()
        session_id = await begin(first, request_id="mine")
        await trio.sleep(0.25)
        subscribe = {"type": "subscribe", "session_id": session_id, "mode": "snapshot"}
        snapshot = await second.ask(subscribe)
        messages = await second.to_end()
        await first.to_end()
    seen = [message for message in first.seen if message["seq"] <= snapshot["seq"]]
    text = "".join(message["content"] for message in seen if message["type"] == "chunk")
    assert 0 < len(text) < 6
    prompt_id = first.of("chunk")[0]["prompt_id"]
    assert snapshot == {
        "type": "snapshot",
        "session_id": session_id,
        "request_id": "mine",
        "epoch": first.seen[0]["epoch"],
        "seq": snapshot["seq"],
        "state": "running",
        "phase": "prima-materia",
        "progress": 0.0,
        "parts": [
            {"target": {"prompt_id": prompt_id}, "attempt": 1, "state": "running", "text": text}
        ],
    }
    assert messages[0]["seq"] == snapshot["seq"] + 1
    assert is_rest(messages, first.seen, snapshot["seq"])


async def test_snapshot_of_a_session_that_has_ended(autojump_clock: MockClock) -> None:
    """Nothing follows it: it brings the terminal message itself."""
    async with open_house(quick()) as house:
        client = house.connect()
        await client.say(ask())
        result = (await client.to_end())[-1]
        subscribe = {"type": "subscribe", "session_id": result["session_id"], "mode": "snapshot"}
        snapshot = await client.ask(subscribe)
        assert snapshot["terminal"] == result
        assert (await client.ask("ping"))["type"] == "pong"


async def test_several_subscribers(autojump_clock: MockClock) -> None:
    """Several subscribers may read one session at once."""
    async with open_house(Shelf(ScriptedProvider(say(*"abcdef", pace_s=0.1)))) as house:
        first = house.connect()
        session_id = await begin(first)
        others = [house.connect() for _ in range(10)]
        for other in others:
            await other.say({"type": "subscribe", "session_id": session_id})
        await first.to_end()
        for other in others:
            await other.to_end()
            assert is_rest(other.seen, first.seen)


async def test_second_subscription_of_one_connection(autojump_clock: MockClock) -> None:
    """It takes the place of the first: from its cursor on, everything comes once more."""
    async with open_house(Shelf(ScriptedProvider(say(*"abcdef", pace_s=0.1)))) as house:
        client = house.connect()
        session_id = await begin(client)
        before = len(client.seen)
        await client.say({"type": "subscribe", "session_id": session_id})
        await client.to_end()
        again = client.seen[before:]
    assert [m["seq"] for m in again] == list(range(1, again[-1]["seq"] + 1))
    assert "".join(m["content"] for m in again if m["type"] == "chunk") == "abcdef"


# ---- attached and detached -----------------------------------------------------------------------


@pytest.mark.parametrize("away_s", [0.5, 4.5])
async def test_reader_that_comes_back_in_time(autojump_clock: MockClock, away_s: float) -> None:
    """An attached session waits for the grace time (5 s)."""
    async with open_house(slow(Delta(text="a"), Sleep(7), *say("b"))) as house:
        first = house.connect()
        session_id = await begin(first)
        first.leave()
        await trio.sleep(away_s)
        second = house.connect()
        await second.say({"type": "subscribe", "session_id": session_id})
        assert (await second.to_end())[-1]["type"] == "result"


async def test_reader_that_stays_away(autojump_clock: MockClock) -> None:
    """Nothing runs when no one wants it: after the grace time it is `cancelled`/`disconnect`."""
    provider = ScriptedProvider(SLOW)
    async with open_house(Shelf(provider)) as house:
        first = house.connect()
        session_id = await begin(first)
        first.leave()
        await trio.sleep(Limits().grace_s - 0.1)
        assert provider.open_calls == 1
        await trio.sleep(0.2)
        assert provider.open_calls == 0
        second = house.connect()
        await second.say({"type": "subscribe", "session_id": session_id})
        cancelled = (await second.to_end())[-1]
    assert (cancelled["type"], cancelled["reason"]) == ("cancelled", "disconnect")


async def test_detached_session_without_a_reader(autojump_clock: MockClock) -> None:
    """A detached one runs to its end."""
    async with open_house(slow(Delta(text="a"), Sleep(600), *say("b"))) as house:
        first = house.connect()
        session_id = await begin(first, detached=True)
        first.leave()
        await trio.sleep(700)
        second = house.connect()
        await second.say({"type": "subscribe", "session_id": session_id})
        assert (await second.to_end())[-1]["type"] == "result"


# ---- a token's end -------------------------------------------------------------------------------


async def test_token_that_expires_ends_the_connection(autojump_clock: MockClock) -> None:
    """When `exp` passes: a refusal, then 1008; attached sessions have the grace time."""
    provider = ScriptedProvider(SLOW)
    async with open_house(Shelf(provider)) as house:
        client = house.connect(expires_at=house.engine.now() + 60)
        session_id = await begin(client)
        began_at = trio.current_time()
        refusal = await client.until("error")
        assert trio.current_time() - began_at == pytest.approx(60, abs=0.1)
        assert (refusal["code"], refusal["refused"]) == ("unauthenticated", True)
        assert "expired" in refusal["error"]
        assert "session_id" not in refusal
        await trio.sleep(0.1)
        assert client.closed == (1008, "unauthenticated")
        assert provider.open_calls == 1
        renewed = house.connect(expires_at=house.engine.now() + 60)
        await renewed.say({"type": "subscribe", "session_id": session_id})
        await renewed.until("chunk")
        await trio.sleep(Limits().grace_s * 2)
        assert provider.open_calls == 1
        await trio.sleep(60)
        cancelled = (await house.engine.picture(session_id)).view.terminal_entry
        assert cancelled is not None
        assert cancelled.event.reason == "disconnect"  # type: ignore[union-attr]


async def test_token_that_expires_leaves_a_detached_session_alone(
    autojump_clock: MockClock,
) -> None:
    """A detached one runs to its end, whoever's token expires."""
    async with open_house(slow(Delta(text="a"), Sleep(600), *say("b"))) as house:
        client = house.connect(expires_at=house.engine.now() + 60)
        session_id = await begin(client, detached=True)
        await client.until("error")
        await trio.sleep(700)
        assert (await house.engine.record(session_id)).state == "completed"


async def test_timers_of_tokens_are_given_back(autojump_clock: MockClock) -> None:
    """A token's end costs an entry in the engine's wheel while the connection is open."""
    async with open_house(quick()) as house:
        live = house.engine.wheel.statistics().live
        clients = [house.connect(expires_at=house.engine.now() + 600 + n) for n in range(5)]
        clients += [house.connect(expires_at=1e300), house.connect()]
        await trio.testing.wait_all_tasks_blocked()
        assert house.engine.wheel.statistics().live == live + 5
        for client in clients:
            client.leave()
        await trio.testing.wait_all_tasks_blocked()
        assert house.engine.wheel.statistics().live == live


# ---- liveness, drain -----------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["ping", b"ping", '{"type":"ping"}', '{"type":"ping","x":1}'])
async def test_ping(autojump_clock: MockClock, message: str | bytes) -> None:
    """Text `ping` or {"type":"ping"} gets {"type":"pong"}."""
    async with open_house(quick()) as house:
        assert await house.connect().ask(message) == {"type": "pong"}


async def test_drain(autojump_clock: MockClock) -> None:
    """`draining` with the grace, no new sessions, the running ones end, then close code 1012."""
    async with open_house(slow(Delta(text="a"), Sleep(3), *say("b"))) as house:
        client = house.connect()
        await begin(client)
        house.engine.is_draining = True
        house.hub.begin_drain()
        assert await client.until("draining") == {"type": "draining", "grace": 30.0}
        await client.say(ask(request_id="late"))
        refusal = await client.until("error")
        assert (refusal["code"], refusal["refused"]) == ("shutting_down", True)
        assert refusal["retry_after"] > 0
        assert (await client.to_end())[-1]["type"] == "result"
        assert client.closed is None
        house.hub.stopped.set()
        await trio.sleep(0.1)
        assert client.closed == (1012, "restart")
