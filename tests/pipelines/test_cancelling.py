"""Content and rater sessions that are cancelled at any moment of their lives."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.events import TERMINAL, Attempt, Cancelled, Delta, Event, PhaseStarted, Progress
from engine.pipelines.content.pipeline import ContentPipeline
from engine.pipelines.rater.pipeline import RaterPipeline
from engine.testing.scripted_provider import ScriptedProvider, say
from tests.pipelines.content.samples import MCQ, edited
from tests.pipelines.rig import open_rig, read_events

PACE_S = 0.05
BAD = edited(MCQ, ("Question 2", "Question 3"))
FEEDBACK = json.dumps({"opinion": "It holds.", "suggestions": ["Show the door."]})

CONTENT = {"content_type": "MCQ", "input_text": "Notes about the heart.", "num_questions": 2}
RATING = {
    "raters": [{"raterName": name, "raterPrompt": "Be strict."} for name in ("ada", "bob")],
    "plotPoint": "A door.",
    "structured_context": {},
}


def pieces(text: str) -> list[str]:
    """Cut a text into five."""
    size = len(text) // 5 + 1
    return [text[at : at + size] for at in range(0, len(text), size)]


def case(word: str) -> tuple[Any, dict[str, Any], ScriptedProvider]:
    if word == "content":
        texts = ["The draft, in five pieces.", BAD, MCQ]
        return ContentPipeline(), CONTENT, provider_of(texts)
    return RaterPipeline(), RATING, provider_of(["no answer", FEEDBACK, "no", FEEDBACK])


def provider_of(texts: list[str]) -> ScriptedProvider:
    return ScriptedProvider(*(say(*pieces(text), pace_s=PACE_S) for text in texts))


@pytest.mark.parametrize("word", ["content", "rater"])
@pytest.mark.parametrize("step", range(36))
async def test_a_cancel_at_any_moment_is_the_end(
    autojump_clock: MockClock, word: str, step: int
) -> None:
    """Before the first token, in mid-stream, between stages, in a retry, and after the end:
    exactly one terminal event, nothing after it, and no provider's stream stays open.
    """
    pipeline, data, provider = case(word)
    events: list[Event] = []
    async with open_rig(pipeline, provider) as engine:
        session = await engine.start(word, data)

        async def read() -> None:
            events.extend(await read_events(engine, session.session_id))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.sleep(step * PACE_S / 2)
            await engine.cancel(session.session_id)
        assert provider.open_calls == 0
        state = (await engine.record(session.session_id)).state

    assert [type(event) in TERMINAL for event in events].count(True) == 1
    terminal = events[-1]
    assert isinstance(terminal, TERMINAL)
    assert state == ("cancelled" if isinstance(terminal, Cancelled) else "completed")
    if word == "content":
        shown = [
            event.progress_percent
            for event in events
            if isinstance(event, PhaseStarted | Progress) and event.progress_percent is not None
        ]
        assert shown == sorted(shown)
    if isinstance(terminal, Cancelled):
        assert terminal.partial == {part: text for part, text in folded(events).items() if text}


def folded(events: list[Event]) -> dict[str, str]:
    """Fold a log as a client does: what a completed part's text is, or what was streamed."""
    texts: dict[str, str] = {}
    for event in events:
        match event:
            case Attempt(part=part):
                texts[part.id] = ""
            case Delta(part=part, text=text):
                texts[part.id] = texts.get(part.id, "") + text
            case _ if hasattr(event, "text"):
                texts[event.part.id] = event.text
    return texts
