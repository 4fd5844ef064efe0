"""An exhibition after a crash: at every moment of its life, and during its pauses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from engine.events import (
    JSON,
    Attempt,
    Completed,
    Delta,
    Entry,
    Event,
    PartCompleted,
    PhaseCompleted,
    PhaseStarted,
    Progress,
    Selected,
    SelectionRequired,
)
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.testing.faulty_journal import FaultyJournal
from tests.pipelines.exhibition.doubles import ShelfSource, oblige, open_exhibitions, request
from tests.pipelines.generate.doubles import ObligingProvider
from tests.pipelines.rig import read_events


async def crash_when(data: JSON, is_moment: Callable[[Event], bool]) -> list[Event]:
    """Run until a moment, kill the process, and run on; gives the whole log."""
    journal = FaultyJournal(MemoryJournal(Limits()), delay_s=0.001)
    async with open_exhibitions(
        ObligingProvider(oblige), ShelfSource(delay_s=0.1), journal=journal
    ) as engine:
        session = await engine.start("exhibition", data)
        with await engine.subscribe(session.session_id) as reader:
            moment = False
            while not moment and (batch := await reader.receive()):
                moment = any(isinstance(e, Entry) and is_moment(e.event) for e in batch)
            assert moment
        journal.crash()
    async with open_exhibitions(
        ObligingProvider(oblige), ShelfSource(delay_s=0.1), journal=journal.survivor()
    ) as engine:
        return await read_events(engine, session.session_id)


def percents(events: list[Event]) -> list[float]:
    shown: list[float] = []
    for event in events:
        if isinstance(event, PhaseStarted | Progress | PhaseCompleted | Selected):
            shown += [event.progress_percent] if event.progress_percent is not None else []
        elif isinstance(event, PartCompleted):
            shown.append(event.data["progress"])
    return shown


@pytest.mark.parametrize(
    "moment",
    [
        lambda e: isinstance(e, PhaseStarted) and e.phase == "validation",
        lambda e: isinstance(e, PhaseStarted) and e.phase == "theme_refinement",
        lambda e: isinstance(e, Delta) and e.part.id == "exhibition_title",
        lambda e: isinstance(e, Delta) and e.part.id == "curatorial_statement",
        lambda e: isinstance(e, PhaseCompleted) and e.phase == "theme_refinement",
        lambda e: isinstance(e, Progress) and e.phase == "artist_discovery",
        lambda e: isinstance(e, PhaseCompleted) and e.phase == "artist_discovery",
        lambda e: isinstance(e, Progress) and e.phase == "artwork_discovery",
        lambda e: isinstance(e, PhaseCompleted) and e.phase == "artwork_discovery",
        lambda e: isinstance(e, PhaseStarted) and e.phase == "proposal_generation",
    ],
)
async def test_a_crash_in_each_stage(
    autojump_clock: MockClock, moment: Callable[[Event], bool]
) -> None:
    """A session goes on from its last finished stage or text, and ends whole."""
    events = await crash_when(request(), moment)
    assert isinstance(events[-1], Completed)
    whole = events[-1].data
    assert whole["complete"] is True
    assert len(whole["artists"]) == 4
    assert len(whole["artworks"]) == 8
    for kind in (PhaseStarted, PhaseCompleted):
        phases = [event.phase for event in events if isinstance(event, kind)]
        assert len(set(phases)) == len(phases)
    parts = [event.part.id for event in events if isinstance(event, PartCompleted)]
    assert len(set(parts)) == len(parts) == 6
    assert percents(events) == sorted(percents(events))
    folded: dict[str, str] = {}
    for event in events:
        if isinstance(event, Attempt):
            assert event.reason == "restart"
            folded[event.part.id] = ""
        elif isinstance(event, Delta):
            folded[event.part.id] = folded.get(event.part.id, "") + event.text
    texts = {name: whole[name] for name in folded}
    assert folded == texts
    assert len(texts) == 6


async def test_a_crash_during_a_pause(autojump_clock: MockClock) -> None:
    """A pause outlives the process: its candidates, its end, and the stages before it."""
    is_pause = lambda e: isinstance(e, SelectionRequired)  # noqa: E731
    events = await crash_when(request({"auto_select": False}), is_pause)
    questions = [event for event in events if isinstance(event, SelectionRequired)]
    assert [event.phase for event in questions] == ["artist_discovery", "artwork_discovery"]
    assert [event.by for event in events if isinstance(event, Selected)] == ["expiry", "expiry"]
    assert isinstance(events[-1], Completed)


async def test_a_choice_is_not_asked_for_again(autojump_clock: MockClock) -> None:
    """A selection that a client has seen is durable, and the works are those of the chosen."""
    journal = FaultyJournal(MemoryJournal(Limits()), delay_s=0.001)
    async with open_exhibitions(ObligingProvider(oblige), journal=journal) as engine:
        session = await engine.start("exhibition", request({"auto_select": False}))
        await trio.sleep(60)
        assert session.log.view.waiting is not None
        candidates = session.log.view.waiting.candidates
        await engine.select(session.session_id, "artist_discovery", [2])
        journal.crash()
    async with open_exhibitions(ObligingProvider(oblige), journal=journal.survivor()) as engine:
        events = await read_events(engine, session.session_id)
    assert isinstance(events[-1], Completed)
    assert [each["name"] for each in events[-1].data["artists"]] == [candidates[2]["name"]]
    first = next(e for e in events if isinstance(e, Selected))
    assert (first.selected_indices, first.by) == ([2], "client")
