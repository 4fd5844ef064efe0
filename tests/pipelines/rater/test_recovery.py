"""The rater pipeline after a crash: who was ready stays ready."""

from __future__ import annotations

import json

import trio
from trio.testing import MockClock

from engine.engine import open_engine
from engine.events import Attempt, Completed, Event, PartCompleted, PhaseStarted, Progress
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.pipelines.rater.pipeline import RaterPipeline
from engine.providers.interface import Delta
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.scripted_provider import Hang, ScriptedProvider, say
from tests.pipelines.rig import Shelf, read_events

ANSWER = json.dumps({"opinion": "It holds.", "suggestions": ["Show the door."]})
HALF = [Delta(text='{"opinion": "It'), Hang()]


async def crash_and_return(
    data: dict[str, object], before: ScriptedProvider, after: ScriptedProvider
) -> list[Event]:
    journal = FaultyJournal(MemoryJournal(Limits()), delay_s=0.001)
    async with open_engine(
        providers=Shelf(before), pipelines=[RaterPipeline()], journal=journal
    ) as engine:
        session = await engine.start("rater", data)
        with trio.move_on_after(1):
            await read_events(engine, session.session_id)
        journal.crash()
    async with open_engine(
        providers=Shelf(after), pipelines=[RaterPipeline()], journal=journal.survivor()
    ) as engine:
        return await read_events(engine, session.session_id)


async def test_one_rater_starts_a_new_attempt_and_repeats_no_phase(
    autojump_clock: MockClock,
) -> None:
    """Each interrupted part starts a new attempt; progress never goes down."""
    data = {"raterPrompt": "Be strict.", "plotPoint": "A door.", "structured_context": {}}
    events = await crash_and_return(data, ScriptedProvider(HALF), ScriptedProvider(say(ANSWER)))

    assert [event.phase for event in events if isinstance(event, PhaseStarted)] == [
        "context_processing",
        "evaluating",
        "generating_feedback",
        "parsing",
    ]
    assert [e.reason for e in events if isinstance(e, Attempt)] == ["restart"]
    assert isinstance(events[-1], Completed)
    assert events[-1].data["feedback"]["opinion"] == "It holds."


async def test_of_several_raters_only_the_interrupted_one_is_asked_again(
    autojump_clock: MockClock,
) -> None:
    """Completed parts that a client has seen are durable."""
    data = {
        "raters": [{"raterName": name, "raterPrompt": "Be strict."} for name in ("ada", "bob")],
        "plotPoint": "A door.",
        "structured_context": {},
    }
    after = ScriptedProvider(say(ANSWER))
    events = await crash_and_return(data, ScriptedProvider(say(ANSWER), HALF), after)

    assert len(after.calls) == 1
    done = [event.data["raterName"] for event in events if isinstance(event, PartCompleted)]
    assert sorted(done) == ["ada", "bob"]
    for name in ("ada", "bob"):
        shown = [
            event.progress_percent
            for event in events
            if isinstance(event, Progress) and event.data["raterName"] == name
        ]
        assert shown == sorted(shown, key=float)
    assert isinstance(events[-1], Completed)
    assert [each["raterName"] for each in events[-1].data["results"]] == ["ada", "bob"]
