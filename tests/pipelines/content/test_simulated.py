"""What the simulated provider writes passes the validator, so that a demo is a success."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from engine.events import Completed
from engine.pipelines.content.pipeline import ContentPipeline
from engine.providers.simulated import SimSettings, SimulatedProvider
from tests.pipelines.rig import run_to_end

NOTES = [
    'According to the passage, "heart failure" is a syndrome. Ejection fraction below 40 % defines '
    "the reduced type. The text states that beta blockers lower mortality. E. coli is common.",
    "Ten chars.",
    "Question 1\nA. x\nB. y\nAnswer: C\n" * 3,
]


@pytest.mark.parametrize("content_type", ["MCQ", "NMCQ", "SUMMARY"])
@pytest.mark.parametrize("notes", NOTES)
@pytest.mark.parametrize("num_questions", [1, 5, 20])
async def test_the_simulated_providers_text_passes(
    autojump_clock: MockClock, content_type: str, notes: str, num_questions: int
) -> None:
    """The simulated provider writes text that passes."""
    provider = SimulatedProvider(SimSettings())
    data = {
        "content_type": content_type,
        "input_text": notes,
        "num_questions": num_questions,
        "generator_model": "instant",
        "formatter_model": "instant",
    }
    events = await run_to_end(ContentPipeline(), data, provider)
    assert isinstance(events[-1], Completed), events[-1]
    assert events[-1].data["metadata"]["formatter_retries"] == 0
    output = events[-1].data["output"]
    for attribution in ("According to the", "The text states", '"'):
        assert attribution not in output
