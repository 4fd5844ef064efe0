"""Content and rater sessions against a server that speaks the OpenAI protocol, both APIs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import trio

from engine.engine import Engine, open_engine
from engine.events import Cancelled, Completed, Delta, Event, Item
from engine.pipelines.content.pipeline import ContentPipeline
from engine.pipelines.rater.pipeline import RaterPipeline
from engine.providers.openai import CHAT_PROFILE, RESPONSES_PROFILE, OpenAIProvider
from engine.testing.openai_server import OpenAIServer, open_openai_server
from tests.pipelines.content.samples import MCQ, edited
from tests.pipelines.rater.test_context import CONTEXT, PHASE, WORDS
from tests.pipelines.rig import Shelf, read_events

pytestmark = pytest.mark.system

PROFILES = {"chat": CHAT_PROFILE, "responses": RESPONSES_PROFILE}
PATIENCE_S = 10.0
FEEDBACK = {"opinion": "It holds. It moves.", "suggestions": ["Show the door.", "Cut the dream."]}
RATING = {
    "raterPrompt": "RATER-PROMPT",
    "plotPoint": "PLOT-POINT",
    "structured_context": CONTEXT,
    "phase_context": PHASE,
}
CONTENT = {"content_type": "MCQ", "input_text": "Notes about the heart.", "num_questions": 2}
BAD = edited(MCQ, ("Question 2", "Question 3"))
both = pytest.mark.parametrize("api", list(PROFILES))


@asynccontextmanager
async def _upstream(
    api: str, *answers: str, pace_s: float = 0.0
) -> AsyncIterator[tuple[OpenAIServer, Engine]]:
    """Serve the answers in turn, the last one again and again, and run an engine on them."""
    given: list[str] = []

    def answer(_request: Any) -> str:
        given.append(answers[min(len(given), len(answers) - 1)])
        return given[-1]

    async with open_openai_server(answer=answer, pace_s=pace_s) as server:
        provider = OpenAIProvider(
            api_key="sk-test", base_url=server.url, profile=PROFILES[api], default_model="m"
        )
        async with aclosing(provider):
            pipelines = [ContentPipeline(), RaterPipeline()]
            async with open_engine(providers=Shelf(provider), pipelines=pipelines) as engine:
                with trio.fail_after(PATIENCE_S):
                    yield server, engine


@both
async def test_prompt_plot_point_and_both_shapes_reach_the_server(api: str) -> None:
    """Rater prompt, plot point and both shapes are seen in the request that reaches it."""
    async with _upstream(api, json.dumps(FEEDBACK)) as (server, engine):
        session = await engine.start("rater", RATING)
        events = await read_events(engine, session.session_id)

    assert isinstance(events[-1], Completed)
    assert events[-1].data["feedback"] == FEEDBACK
    assert any(isinstance(event, Item) for event in events)
    [request] = server.requests
    body = json.dumps(request.json)
    for word in ("PREFIX", "RATER-PROMPT", "SUFFIX", "PLOT-POINT", *WORDS):
        assert word in body, word
    assert "NOT-TO-BE-SEEN" not in body
    assert '"additionalProperties": false' in body  # the schema of the answer


@both
async def test_a_draft_is_laid_out_and_laid_out_again(api: str) -> None:
    """A retry gives the formatter the original draft, its last output and the errors."""
    async with _upstream(api, "The draft.", BAD, MCQ) as (server, engine):
        session = await engine.start("content", CONTENT)
        events = await read_events(engine, session.session_id)

    assert isinstance(events[-1], Completed)
    assert events[-1].data["output"] == MCQ.strip()
    bodies = [json.dumps(request.json) for request in server.requests]
    assert len(bodies) == 3
    assert CONTENT["input_text"] in bodies[0]
    assert ["The draft." in body for body in bodies[1:]] == [True, True]
    assert "Question 3 stands where 2 is expected" in bodies[2]


@both
@pytest.mark.parametrize("word", ["content", "rater"])
async def test_a_cancel_closes_the_connection(api: str, word: str) -> None:
    """A run that is cancelled closes its upstream."""
    data = CONTENT if word == "content" else RATING
    async with _upstream(api, "word " * 2_000, pace_s=0.02) as (server, engine):
        session = await engine.start(word, data)
        events: list[Event] = []
        with await engine.subscribe(session.session_id) as subscription:
            while entries := await subscription.receive():
                events += [entry.event for entry in entries]  # type: ignore[union-attr]
                if any(_is_text(event) for event in events):
                    await engine.cancel(session.session_id)
        [request] = server.requests
        await request.gone.wait()
    assert isinstance(events[-1], Cancelled)
    assert not request.answered


def _is_text(event: Event) -> bool:
    """Whether the answer has begun; a rater shows that by its phase."""
    return isinstance(event, Delta) or getattr(event, "phase", "") == "generating_feedback"
