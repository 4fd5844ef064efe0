"""The persona chat after a crash: nothing is lost or doubled, and the conversation is whole."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.events import Completed, Entry, Event, Failed, PartCompleted
from engine.journal.interface import Document
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.pipelines.persona.conversations import Conversations, Exchange
from engine.testing.faulty_journal import FaultyJournal
from tests.pipelines.persona.doubles import (
    THREE,
    Cast,
    chat,
    fold,
    multi_chat,
    open_chat,
    read_to_end,
    result,
    talk,
)

ROWS = ("persona_id", "round", "response", "response_id", "index")


def essence(events: list[Event]) -> Any:
    """What a result is, whatever happened on the way."""
    data = result(events)
    if "responses" not in data:
        return data["response"], data["response_id"], data["conversation_id"]
    rows = [{key: row.get(key) for key in ROWS} for row in data["responses"]]
    return rows, data["failed"], data["cancelled"]


async def crash_and_recover(
    request: dict[str, Any], crash_at: int, cast: Cast
) -> tuple[list[Event], list[Event], tuple[Exchange, ...]]:
    """Run until the journal dies in an append, then recover: what was seen, and what is kept."""
    journal = FaultyJournal(MemoryJournal(Limits()), delay_s=0.02, crash_at=crash_at)
    before: list[Event] = []
    cursor = None
    async with open_chat(journal=journal) as engine:
        session = await engine.start("persona", request, owner="ann")
        with await engine.subscribe(session.session_id) as reader:
            while batch := await reader.receive():
                for entry in batch:
                    assert isinstance(entry, Entry)
                    if journal.has_crashed and isinstance(entry.event, Failed):
                        continue  # said by a process that could not make it durable
                    before.append(entry.event)
                    cursor = f"{reader.epoch}:{entry.seq}"
    survivor = journal.survivor()
    seen = [event for event in before if isinstance(event, PartCompleted)]
    kept = await Conversations(survivor).exchanges("c", "ann")
    texts = {answer.response_id: answer.text for each in kept for answer in each.answers}
    for event in seen:  # a turn that a client has seen is durable
        assert texts[event.data["response_id"]] == event.text
    async with open_chat(cast, journal=survivor) as engine:
        after = await read_to_end(engine, session.session_id, cursor)
        kept = await Conversations(engine.journal).exchanges("c", "ann")
    assert cast.open_calls == 0
    return before, after, kept


@pytest.mark.parametrize(
    "request_",
    [
        chat("hi", conversation_id="c"),
        multi_chat("hi", conversation_id="c"),
        multi_chat("hi", conversation_id="c", mode="debate", synthesis=True),
    ],
    ids=["chat", "multi_chat", "debate"],
)
async def test_a_crash_in_any_append_loses_and_doubles_nothing(
    request_: dict[str, Any], autojump_clock: MockClock
) -> None:
    """After a crash a session goes on from its last completed part, with the same ids."""

    def named(events: list[Event]) -> Any:
        return {part_id: text.split()[0] for part_id, text in fold(events).items()}

    whole = FaultyJournal(MemoryJournal(Limits()), delay_s=0.02)
    async with open_chat(journal=whole) as engine:
        session = await engine.start("persona", request_, owner="ann")
        events = await read_to_end(engine, session.session_id)
        expected = named(events)
        [exchange] = await Conversations(engine.journal).exchanges("c", "ann")
    answers = [(answer.persona_id, answer.round, answer.is_cut) for answer in exchange.answers]
    assert whole.appends > 5
    for crash_at in range(1, whole.appends):
        before, after, kept = await crash_and_recover(request_, crash_at, Cast())
        if isinstance(before[-1] if before else None, Completed):
            continue  # it was complete, and the client has seen that
        assert isinstance(after[-1], Completed), (crash_at, after[-1])
        assert named(before + after) == expected, crash_at
        [exchange] = kept
        assert [(each.persona_id, each.round, each.is_cut) for each in exchange.answers] == answers
        folded = fold(before + after)
        for event in (*before, *after):
            if isinstance(event, PartCompleted):
                assert folded[event.part.id] == event.text


class CrashingAtPut(FaultyJournal):
    """A journal whose process ends in the n-th write of a document: it is not written any more."""

    def __init__(self, nth: int) -> None:
        super().__init__(MemoryJournal(Limits()), delay_s=0.02)
        self.puts = 0
        self._nth = nth

    async def put(self, document: Document) -> None:
        self.puts += 1
        if self.puts == self._nth:
            self.crash()
        await super().put(document)


async def test_an_answer_is_kept_before_it_is_told_to_be_complete(
    autojump_clock: MockClock,
) -> None:
    """A conversation's turn that a client has seen is durable, whichever write the crash hits."""
    for nth in range(1, 30):
        journal = CrashingAtPut(nth)
        seen: list[PartCompleted] = []
        async with open_chat(journal=journal) as engine:
            session = await engine.start(
                "persona", multi_chat("hi", mode="debate", synthesis=True), owner="ann"
            )
            conversation_id = session.record.command["conversation_id"]
            with await engine.subscribe(session.session_id) as reader:
                while batch := await reader.receive():
                    events = [entry.event for entry in batch if isinstance(entry, Entry)]
                    seen += [event for event in events if isinstance(event, PartCompleted)]
        has_crashed = journal.has_crashed
        kept = await Conversations(journal.survivor()).exchanges(conversation_id, "ann")
        texts = {answer.response_id: answer.text for each in kept for answer in each.answers}
        assert {event.data["response_id"]: event.text for event in seen}.items() <= texts.items()
        if not has_crashed:
            assert len(seen) == 7
            return
    raise AssertionError("the chat never ended without a crash")


async def test_what_is_complete_is_not_asked_for_again(autojump_clock: MockClock) -> None:
    """Completed parts are skipped: their tokens have been paid for."""
    journal = FaultyJournal(MemoryJournal(Limits()))
    first = Cast()
    async with open_chat(first, journal=journal) as engine:
        request = multi_chat("hi", mode="debate", conversation_id="c")
        session = await engine.start("persona", request, owner="ann")
        with await engine.subscribe(session.session_id) as reader:
            done = 0
            while done < 3:
                for entry in await reader.receive():
                    assert isinstance(entry, Entry)
                    done += isinstance(entry.event, PartCompleted)
            journal.crash()
    again = Cast()
    async with open_chat(again, journal=journal.survivor()) as engine:
        await read_to_end(engine, session.session_id)
    assert {request.metadata["purpose"] for request in again.requests} == {"debate"}
    assert len(again.requests) == len(THREE)


async def test_a_persona_is_brought_back_as_it_was(autojump_clock: MockClock) -> None:
    """A session that is brought back does not change its voices, whatever an admin did."""
    from engine.pipelines.persona import Personas

    journal = FaultyJournal(MemoryJournal(Limits()))
    personas = Personas(journal)
    fields = {"id": "poet", "name": "Poet", "system_prompt": "You rhyme."}
    await personas.create(fields, owner="admin")
    async with open_chat(journal=journal) as engine:
        request = chat("hi", "poet", conversation_id="c")
        session = await engine.start("persona", request, owner="ann")
        await trio.sleep(0.05)
        journal.crash()
    survivor = journal.survivor()
    await Personas(survivor).delete("poet")
    cast = Cast()
    async with open_chat(cast, journal=survivor) as engine:
        events = await read_to_end(engine, session.session_id)
    assert isinstance(events[-1], Completed)
    assert cast.requests[0].instructions == "You rhyme."


async def test_history_does_not_hold_what_is_being_answered(autojump_clock: MockClock) -> None:
    """After a restart this session's own exchange is there too: it is not told as history."""
    journal = FaultyJournal(MemoryJournal(Limits()))
    async with open_chat(journal=journal) as engine:
        await talk(engine, multi_chat("one", conversation_id="c"))
        request = multi_chat("two", mode="debate", conversation_id="c")
        session = await engine.start("persona", request, owner="ann")
        await trio.sleep(0.3)
        journal.crash()
    cast = Cast()
    async with open_chat(cast, journal=journal.survivor()) as engine:
        await read_to_end(engine, session.session_id)
    for request_ in cast.requests:
        said = [message.content for message in request_.messages if message.role == "user"]
        assert said[0] == "one"
        assert said.count("one") == 1
        assert said.count("two") == 2  # at the head of the round, and as the question to reply to
