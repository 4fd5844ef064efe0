"""The content pipeline after a crash: what is complete is taken as it is."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.engine import open_engine
from engine.events import Attempt, Completed, Delta, Event, PartCompleted, PhaseStarted, Progress
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.pipelines.content.pipeline import ContentPipeline
from engine.providers.interface import Delta as Piece
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.scripted_provider import Hang, ScriptedProvider, say
from tests.pipelines.content.samples import MCQ, edited
from tests.pipelines.rig import Shelf, read_events

REQUEST = {
    "content_type": "MCQ",
    "input_text": "Notes about the heart and about zinc.",
    "num_questions": 2,
}
BAD = edited(MCQ, ("Question 2", "Question 3")).strip()
HALF = [Piece(text="half of it"), Hang()]


async def crash_and_return(
    before: ScriptedProvider, after: ScriptedProvider
) -> tuple[list[Event], str]:
    """Run until the first provider hangs, kill the process, and run on; gives the whole log."""
    journal = FaultyJournal(MemoryJournal(Limits()), delay_s=0.001)
    async with open_engine(
        providers=Shelf(before), pipelines=[ContentPipeline()], journal=journal
    ) as engine:
        session = await engine.start("content", REQUEST)
        with trio.move_on_after(1):
            await read_events(engine, session.session_id)
        journal.crash()
    async with open_engine(
        providers=Shelf(after), pipelines=[ContentPipeline()], journal=journal.survivor()
    ) as engine:
        return await read_events(engine, session.session_id), session.session_id


def percents(events: list[Event]) -> list[float]:
    shown: list[float] = []
    for event in events:
        if isinstance(event, PhaseStarted | Progress) and event.progress_percent is not None:
            shown.append(event.progress_percent)
        elif isinstance(event, PartCompleted):
            shown.append(event.data["progress"])
    return shown


@pytest.mark.parametrize("stage", ["generator", "formatter", "retry"])
async def test_a_crash_costs_the_part_that_was_being_written(
    autojump_clock: MockClock, stage: str
) -> None:
    """A session goes on from its last completed part; the interrupted one starts a new attempt."""
    draft, layout = say("The draft."), say(MCQ)
    before, after = {
        "generator": ([HALF], [draft, layout]),
        "formatter": ([draft, HALF], [layout]),
        "retry": ([draft, say(BAD), HALF], [layout]),
    }[stage]
    provider = ScriptedProvider(*after)
    events, _ = await crash_and_return(ScriptedProvider(*before), provider)

    assert len(provider.calls) == len(after)
    part = "generator" if stage == "generator" else "formatter"
    attempts = [event for event in events if isinstance(event, Attempt)]
    assert (attempts[-1].part.id, attempts[-1].reason) == (part, "restart")
    assert [e.part.id for e in events if isinstance(e, PartCompleted)] == ["generator", "formatter"]
    assert percents(events) == sorted(percents(events))
    starts = [event for event in events if isinstance(event, Progress) and event.phase == "init"]
    assert len(starts) == 1
    terminal = events[-1]
    assert isinstance(terminal, Completed)
    assert terminal.data["output"] == MCQ.strip()
    assert set(terminal.data["metadata"]["latencies"]) == {"generator", "formatter"}
    assert folded(events) == {"generator": "The draft.", "formatter": MCQ}


def folded(events: list[Event]) -> dict[str, str]:
    """Fold a log as a client does: an attempt makes a part's text so far void."""
    texts: dict[str, str] = {}
    for event in events:
        if isinstance(event, Attempt):
            texts[event.part.id] = ""
        elif isinstance(event, Delta):
            texts[event.part.id] = texts.get(event.part.id, "") + event.text
    return texts
