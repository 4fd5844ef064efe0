"""Conversations: stored, sent along, trimmed; never another owner's, never another persona's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.errors import NotFound
from engine.events import Completed
from engine.journal.memory import MemoryJournal
from engine.journal.sqlite import SqliteJournal
from engine.limits import Limits
from engine.pipelines.persona.conversations import Answer, Conversations, Exchange, exchange_turns
from engine.providers.interface import GenerationRequest, Profile, input_tokens
from engine.testing.scripted_provider import Script, say
from tests.pipelines.persona.doubles import (
    Cast,
    chat,
    multi_chat,
    open_chat,
    openai_chat,
    result,
    said_in,
    talk,
)

MAYA, IVO, AMARA = "tech_enthusiast", "creative_writer", "data_scientist"
HERE = {"conversation_id": "c"}


async def test_what_was_said_is_sent_along(autojump_clock: MockClock) -> None:
    """With a conversation_id the history is sent along: what the user said and what this persona
    answered.
    """
    cast = Cast()
    async with open_chat(cast) as engine:
        first = result(await talk(engine, chat("one")))
        here = {"conversation_id": first["conversation_id"]}
        await trio.sleep(1)
        second = result(await talk(engine, chat("two", **here)))
    assert said_in(cast.requests[1]) == [
        ("user", "one"),
        ("assistant", f"{MAYA} answers 1"),
        ("user", "two"),
    ]
    assert second["conversation_id"] == first["conversation_id"]
    assert second["response_id"] != first["response_id"]


async def test_a_response_stands_for_its_conversation(autojump_clock: MockClock) -> None:
    """Or with the id of an earlier response."""
    cast = Cast()
    async with open_chat(cast) as engine:
        data = result(await talk(engine, multi_chat("one", [MAYA, IVO])))
        for row in data["responses"]:
            follow = {"previous_response_id": row["response_id"]}
            again = result(await talk(engine, chat("two", row["persona_id"], **follow)))
            assert again["conversation_id"] == data["conversation_id"]
    assert ("assistant", f"{MAYA} answers 1") in said_in(cast.asked(MAYA)[-1])


async def test_a_persona_hears_nothing_that_was_said_to_another(autojump_clock: MockClock) -> None:
    """Conversations never leak between personas: in private, only what it answered itself."""
    cast = Cast()
    async with open_chat(cast) as engine:
        await talk(engine, chat("to Maya", MAYA, **HERE))
        await trio.sleep(1)
        await talk(engine, openai_chat("to nobody", **HERE))
        await trio.sleep(1)
        await talk(engine, chat("to Ivo", IVO, **HERE))
        await trio.sleep(1)
        await talk(engine, multi_chat("to both", [MAYA, IVO], **HERE))
    assert said_in(cast.asked(IVO)[0]) == [
        ("user", "to Maya"),
        ("user", "to nobody"),
        ("user", "to Ivo"),
    ]
    together = [text for _, text in said_in(cast.asked(IVO)[1])]
    assert f"{IVO} answers 1" in together
    assert not [text for text in together if MAYA in text or "chat answers" in text]


async def test_among_several_the_others_are_heard_by_name(autojump_clock: MockClock) -> None:
    """And in multi_chat the others, named; those of this request, and no others."""
    cast = Cast()
    async with open_chat(cast) as engine:
        await talk(engine, multi_chat("one", [MAYA, IVO, AMARA], **HERE))
        await trio.sleep(1)
        await talk(engine, multi_chat("two", [MAYA, IVO], **HERE))
    assert said_in(cast.asked(MAYA)[1]) == [
        ("user", "one"),
        ("assistant", f"{MAYA} answers 1"),
        ("user", f"Ivo Marchetti said: {IVO} answers 1"),
        ("user", "two"),
    ]


async def test_another_owners_conversation_does_not_exist(autojump_clock: MockClock) -> None:
    """Another owner's is not_found: by its id, by a response of it, in lists and deletes."""
    cast = Cast()
    async with open_chat(cast) as engine:
        data = result(await talk(engine, chat("a secret", **HERE), owner="ann"))
        for fields in (HERE, {"previous_response_id": data["response_id"]}):
            with pytest.raises(NotFound):
                await engine.start("persona", chat("tell me", **fields), owner="bob")
        conversations = Conversations(engine.journal)
        assert await conversations.list("bob") == ()
        assert await conversations.exchanges("c", "bob") == ()
        with pytest.raises(NotFound):
            await conversations.header("c", "bob")
        with pytest.raises(NotFound):
            await conversations.delete("c", "bob")
        assert len(await conversations.exchanges("c", "ann")) == 1
    assert len(cast.requests) == 1


async def test_a_name_that_two_want_at_once_is_one_owners(autojump_clock: MockClock) -> None:
    """A new one of the client's own is created, once."""
    outcomes: dict[str, str] = {}
    async with open_chat() as engine:

        async def want(owner: str) -> None:
            try:
                await talk(engine, chat(f"I am {owner}", **HERE), owner=owner)
                outcomes[owner] = "had it"
            except NotFound:
                outcomes[owner] = "was refused"

        async with trio.open_nursery() as nursery:
            for owner in ("ann", "bob"):
                nursery.start_soon(want, owner)
    assert sorted(outcomes.values()) == ["had it", "was refused"]


async def test_deleting_forgets_everything(autojump_clock: MockClock) -> None:
    """DELETE: what was said is gone, and the ids with it."""
    cast = Cast()
    async with open_chat(cast) as engine:
        data = result(await talk(engine, chat("a secret", **HERE)))
        conversations = Conversations(engine.journal)
        await conversations.delete("c", "ann")
        assert await conversations.list("ann") == ()
        follow = {"previous_response_id": data["response_id"]}
        with pytest.raises(NotFound):
            await engine.start("persona", chat("go on", **follow), owner="ann")
        await talk(engine, chat("anew", **HERE))
    assert said_in(cast.requests[-1]) == [("user", "anew")]


async def test_history_is_trimmed_from_the_oldest_and_the_prompt_is_not(
    autojump_clock: MockClock,
) -> None:
    """Trimmed from the oldest to the model's budget, the system prompt never."""
    window = 2_000

    def wordy(request: GenerationRequest, call: int) -> Script:
        return say(f"answer {call} " + "blah " * 60)

    cast = Cast(wordy, profile=Profile(context_tokens=window))
    async with open_chat(cast) as engine:
        for number in range(20):
            message = f"message {number} " + "word " * 20
            await talk(engine, chat(message, max_tokens=200, **HERE))
            await trio.sleep(1)
    for number, request in enumerate(cast.requests):
        assert input_tokens(request) + 200 <= window
        assert request.instructions == cast.requests[0].instructions
        assert request.messages[-1].content.startswith(f"message {number} ")
        first = request.messages[0]
        assert first.role == "user"  # no answer stands without what it answered
    heard = [message.content.split()[1] for message in cast.requests[-1].messages]
    told = [int(number) for number in heard[:-1:2]]
    assert told == list(range(told[0], 19))
    assert 2 < len(told) < 15


async def test_a_failed_exchange_is_not_told(autojump_clock: MockClock) -> None:
    """What was never answered is no turn: the user says it again."""
    from engine.errors import ProviderRefused
    from engine.testing.scripted_provider import Fail

    def first_fails(request: GenerationRequest, call: int) -> Script:
        return [Fail(ProviderRefused("no"))] if call == 1 else say("yes")

    cast = Cast(first_fails)
    async with open_chat(cast) as engine:
        await talk(engine, chat("hi", **HERE))
        await trio.sleep(1)
        await talk(engine, chat("hi", **HERE))
    assert said_in(cast.requests[1]) == [("user", "hi")]


async def test_two_requests_of_one_conversation_at_once_are_both_kept(
    autojump_clock: MockClock,
) -> None:
    """Two sessions of one conversation never overwrite each other."""
    async with open_chat() as engine:
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(talk, engine, chat(f"message {number}", **HERE))
        exchanges = await Conversations(engine.journal).exchanges("c", "ann")
    assert sorted(each.message for each in exchanges) == [f"message {n}" for n in range(8)]


def turn(number: int, **fields: Any) -> Exchange:
    answer = Answer(text=f"answer {number}", response_id=f"r{number}", persona_id=MAYA)
    values: dict[str, Any] = {"kind": "chat", "message": f"message {number}", "answers": (answer,)}
    return Exchange(key=f"s{number}", at=float(number), **{**values, **fields})


@pytest.fixture
async def conversations() -> AsyncIterator[Conversations]:
    return Conversations(MemoryJournal(Limits()))


async def test_keeping_again_replaces(conversations: Conversations) -> None:
    """A session that is brought back writes the same document again."""
    await conversations.keep("c", "ann", turn(1, answers=()))
    await conversations.keep("c", "ann", turn(1))
    assert await conversations.exchanges("c", "ann") == (turn(1),)


async def test_the_one_spoken_in_last_is_listed_first(conversations: Conversations) -> None:
    """GET /api/conversations: the newest first, each named after how it began."""
    await conversations.keep("old", "ann", turn(1))
    await conversations.keep("new", "ann", turn(2))
    await conversations.keep("old", "ann", turn(3, message="x" * 200))
    headers = await conversations.list("ann")
    assert [(each.id, each.title, each.created_at) for each in headers] == [
        ("old", "message 1", 1.0),
        ("new", "message 2", 2.0),
    ]
    assert headers[0].updated_at == 3.0


async def test_turns_for_people(conversations: Conversations) -> None:
    """GET /api/conversations/{id}: the user's turn, then each answer; a cut one says so."""
    cut = Answer(text="half", response_id="r", persona_id=IVO, is_cut=True, round=2)
    turns = exchange_turns(turn(1, answers=(cut,)))
    assert turns[0] == {"role": "user", "content": "message 1", "at": 1.0}
    assert (turns[1]["content"], turns[1]["cut"], turns[1]["round"]) == ("half", True, 2)


async def test_conversations_survive_a_restart(tmp_path: Path) -> None:
    """History is stored and survives a restart (SQLite)."""
    cast = Cast(lambda request, call: say(f"answer {call}"))
    for message in ("one", "two"):
        journal = SqliteJournal(tmp_path / "journal.sqlite3", Limits())
        async with trio.open_nursery() as nursery:
            await nursery.start(journal.run)
            async with open_chat(cast, journal=journal, seed=hash(message)) as engine:
                assert isinstance((await talk(engine, chat(message, **HERE)))[-1], Completed)
            nursery.cancel_scope.cancel()
    assert said_in(cast.requests[1]) == [
        ("user", "one"),
        ("assistant", "answer 1"),
        ("user", "two"),
    ]
