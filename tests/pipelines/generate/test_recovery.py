"""The generate pipeline after a crash: it goes on from the log, and nothing is lost or doubled."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.errors import ProviderRefused
from engine.events import Completed, Entry, Event, Failed, PartCompleted
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.providers.interface import GenerationRequest
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.scripted_provider import Fail, Script, say
from tests.pipelines.generate.doubles import (
    PHASES,
    ObligingProvider,
    asking,
    fold,
    generate,
    oblige,
    open_generate,
    purpose,
    read_to_end,
    result,
    written,
)
from tests.pipelines.generate.test_pipeline import check_order

FIELDS = ("id", "phase", "index", "content", "parent_id", "score")


def essence(events: list[Event]) -> list[dict[str, Any]]:
    """What a result is, whatever happened on the way."""
    return [{key: prompt.get(key) for key in FIELDS} for prompt in result(events)["prompts"]]


async def crash_and_recover(data: dict[str, Any], crash_at: int) -> tuple[list[Event], list[Event]]:
    """Run until the journal dies in an append, then recover: what a client saw before and after.

    The process ends with the journal; the client comes back with its cursor. A detached session,
    so that it does not matter how long it stays away.
    """
    journal = FaultyJournal(MemoryJournal(Limits()), delay_s=0.02, crash_at=crash_at)
    before: list[Event] = []
    cursor = None
    async with open_generate(journal=journal) as engine:
        session = await engine.start("generate", data)
        with await engine.subscribe(session.session_id) as reader:
            while batch := await reader.receive():
                for entry in batch:
                    assert isinstance(entry, Entry)
                    if journal.has_crashed and isinstance(entry.event, Failed):
                        continue  # said by a process that could not make it durable
                    before.append(entry.event)
                    cursor = f"{reader.epoch}:{entry.seq}"
    after: list[Event] = []
    provider = ObligingProvider()
    async with open_generate(provider, journal=journal.survivor()) as engine:
        with await engine.subscribe(session.session_id, after=cursor) as reader:
            while batch := await reader.receive():
                after += [entry.event for entry in batch if isinstance(entry, Entry)]
    assert provider.open_calls == 0
    return before, after


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("optimize", [False, True])
async def test_a_crash_in_any_append_loses_and_doubles_nothing(
    autojump_clock: MockClock, parallel: bool, optimize: bool
) -> None:
    """After a crash a session goes on from its last completed part, with the same ids."""
    data = asking(count=2, phases=list(PHASES[:2]), use_parallel=parallel, optimize=optimize)
    whole = FaultyJournal(MemoryJournal(Limits()), delay_s=0.02)
    async with open_generate(journal=whole) as engine:
        session = await engine.start("generate", data)
        expected = essence(await read_to_end(engine, session.session_id))
    assert whole.appends > 10
    for crash_at in range(1, whole.appends):
        before, after = await crash_and_recover(data, crash_at)
        if isinstance(before[-1] if before else None, Completed):
            continue  # it was complete, and the client has seen that
        events = before + after
        assert essence(events) == expected, crash_at
        check_order(events, PHASES[:2])
        texts = fold(events)
        for prompt in expected:
            assert texts[prompt["id"]] == prompt["content"]


async def test_what_is_complete_is_not_made_again(autojump_clock: MockClock) -> None:
    """Completed parts are skipped: their tokens have been paid for."""
    journal = FaultyJournal(MemoryJournal(Limits()))
    async with open_generate(journal=journal) as engine:
        session = await engine.start("generate", asking(count=3))
        with await engine.subscribe(session.session_id) as reader:
            done = 0
            while done < 4:
                done += sum(
                    isinstance(entry, Entry) and isinstance(entry.event, PartCompleted)
                    for entry in await reader.receive()
                )
            journal.crash()
    provider = ObligingProvider()
    async with open_generate(provider, journal=journal.survivor()) as engine:
        found = result(await read_to_end(engine, session.session_id))
    assert len(found["prompts"]) == 9
    assert [purpose(request) for request in provider.requests] == [
        "solutio",
        "solutio",
        "coagulatio",
        "coagulatio",
        "coagulatio",
    ]


async def test_lost_lanes_stay_lost_with_their_codes(autojump_clock: MockClock) -> None:
    """The result lists them as it would have without the restart."""

    def second_fails(request: GenerationRequest, call: int) -> Script:
        if written(request).startswith("prima-materia2"):
            return [Fail(ProviderRefused("declined"))]
        if purpose(request) == "solutio":
            return say(written(request), pace_s=3.0)
        return oblige(request, call)

    journal = FaultyJournal(MemoryJournal(Limits()))
    async with open_generate(ObligingProvider(second_fails), journal=journal) as engine:
        session = await engine.start("generate", asking(count=2))
        await trio.sleep(2)
        journal.crash()
    provider = ObligingProvider()
    async with open_generate(provider, journal=journal.survivor()) as engine:
        found = result(await read_to_end(engine, session.session_id))
    assert [(lost["index"], lost["code"]) for lost in found["failed"]] == [(1, "provider_refused")]
    assert len(found["prompts"]) == 3
    assert [purpose(request) for request in provider.requests] == ["solutio", "coagulatio"]


async def test_an_ended_session_is_read_again_as_it_was(autojump_clock: MockClock) -> None:
    journal = FaultyJournal(MemoryJournal(Limits()))
    async with open_generate(journal=journal) as engine:
        events = await generate(engine, asking(count=2))
    session_id = result(events)["session_id"]
    provider = ObligingProvider()
    async with open_generate(provider, journal=journal.survivor()) as engine:
        assert essence(await read_to_end(engine, session_id)) == essence(events)
    assert provider.requests == []
