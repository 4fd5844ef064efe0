"""The optimizing loop: its rules as a table, and its attempts on a real engine."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from engine.errors import ProviderBadOutput, ProviderRefused
from engine.events import Attempt, Delta, PartCancelled, PartCompleted, Usage
from engine.pipelines.generate.optimizing import Draft, Verdict, optimize, read_verdict
from engine.pipelines.generate.plan import prompt_id
from engine.providers.interface import Delta as ProviderDelta
from engine.providers.interface import GenerationRequest
from engine.testing.scripted_provider import Fail, Hang, Script, say
from tests.pipelines.generate.doubles import (
    ObligingProvider,
    asking,
    fold,
    generate,
    open_generate,
    outline,
    purpose,
    read_to_end,
    result,
    verdict,
)

# ---- the rules ----------------------------------------------------------------------------------

LOST = "lost"

TABLE: list[tuple[str, list[Any], float, int, str, str | None]] = [
    # what it shows, scores of the drafts in order, target, most, the best, the last written
    ("good enough at once", [8.0], 8.0, 3, "0", "0"),
    ("just below the target", [7.9, 8.0], 8.0, 3, "1", "1"),
    ("each one better", [3, 5, 7, 9], 8.0, 3, "3", "3"),
    ("stops at the target", [3, 8, 9], 8.0, 3, "1", "1"),
    ("stops at the most", [3, 4, 5, 6], 8.0, 2, "2", "2"),
    ("the first was the best", [7, 3, 4, 5], 8.0, 3, "0", "3"),
    ("one in the middle was the best", [3, 6, 4, 5], 8.0, 3, "1", "3"),
    ("an equal one is no better", [5, 5], 8.0, 1, "0", "1"),
    ("no verdict at first", [None, 9], 8.0, 3, "0", "0"),
    ("no verdict on the second", [5, None, 9], 8.0, 3, "0", "1"),
    ("the improvement is lost", [5, LOST, 9], 8.0, 3, "0", None),
    ("a later improvement is lost", [5, 6, LOST, 9], 8.0, 3, "1", None),
]


@pytest.mark.parametrize(
    ("scores", "target", "most", "best", "last"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
async def test_the_loop(
    scores: list[Any], target: float, most: int, best: str, last: str | None
) -> None:
    """Improve in a loop with a judge, keep the best, stop at the target or the last iteration."""
    made = 0

    async def judge(draft: Draft) -> Verdict | None:
        score = scores[int(draft.text)]
        return None if score is None else Verdict(score=score, critique=f"critique of {draft.text}")

    async def improve(draft: Draft) -> Draft | None:
        nonlocal made
        judged = [s for s in scores[: made + 1] if isinstance(s, int | float)]
        assert draft.score == max(judged)  # it starts from the best one so far
        assert draft.verdict is not None
        assert draft.verdict.critique == f"critique of {draft.text}"
        made += 1
        return None if scores[made] == LOST else Draft(text=str(made), usage=Usage())

    found, written = await optimize(
        Draft(text="0", usage=Usage()),
        judge=judge,
        improve=improve,
        target=target,
        max_iterations=most,
    )
    assert found.text == best
    assert (written and written.text) == last
    assert found.score == scores[int(best)]
    assert made <= most


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eight",
        '{"score": 0.5, "critique": "c"}',
        '{"score": 11, "critique": "c"}',
        '{"score": "8", "critique": "c"}',
        '{"score": 8}',
    ],
)
def test_a_verdict_that_does_not_hold_is_refused(text: str) -> None:
    with pytest.raises(ProviderBadOutput):
        read_verdict(text)


@pytest.mark.parametrize("score", [1, 10, 7.5])
def test_a_verdict_has_a_score_from_1_to_10(score: float) -> None:
    found = read_verdict(json.dumps({"score": score, "critique": " shorten "}))
    assert (found.score, found.critique) == (score, "shorten")


# ---- on the engine ------------------------------------------------------------------------------


def judging(*scores: float | None, improvements: Script | None = None) -> Any:
    """Answer a single lane: drafts "draft 0", "draft 1" …, with these scores."""
    improved = 0

    def answer(request: GenerationRequest, call: int) -> Script:
        nonlocal improved
        match purpose(request):
            case "score":
                text = request.messages[0].content
                number = int(text.split("<prompt>\ndraft ")[1][0])
                score = scores[number]
                return say("no idea") if score is None else verdict(score, f"critique {number}")
            case "improve":
                improved += 1
                return improvements or say("draft ", str(improved), pace_s=0.1)
        return say("draft ", "0", pace_s=0.1)

    return answer


def one(**fields: Any) -> dict[str, Any]:
    return asking(count=1, phases=["solutio"], optimize=True, **fields)


async def test_each_improvement_is_a_new_attempt_streamed_like_the_first(
    autojump_clock: MockClock,
) -> None:
    """An `attempt` event, reason `optimize`; `score` is the judge's."""
    provider = ObligingProvider(judging(3, 5, 9))
    async with open_generate(provider) as engine:
        events = await generate(engine, one())
    assert outline(events) == [
        "start solutio",
        "text solutio/0",
        "attempt 2 optimize solutio/0",
        "text solutio/0",
        "attempt 3 optimize solutio/0",
        "text solutio/0",
        "done solutio/0",
        "end solutio",
        "Completed",
    ]
    (prompt,) = result(events)["prompts"]
    assert (prompt["content"], prompt["score"]) == ("draft 2", 9.0)
    assert fold(events) == {prompt["id"]: "draft 2"}
    first, second = provider.asked("improve")
    assert "<critique>\ncritique 0\n</critique>" in first.messages[0].content
    assert "<critique>\ncritique 1\n</critique>" in second.messages[0].content
    assert "<prompt>\ndraft 1\n</prompt>" in second.messages[0].content
    assert all(request.temperature == 0.2 for request in provider.asked("score"))


async def test_where_an_earlier_one_was_the_best_a_last_attempt_gives_its_text_in_one_chunk(
    autojump_clock: MockClock,
) -> None:
    """A client that folds holds exactly the final text."""
    async with open_generate(ObligingProvider(judging(3, 6, 4, 5))) as engine:
        events = await generate(engine, one())
    (prompt,) = result(events)["prompts"]
    assert (prompt["content"], prompt["score"]) == ("draft 1", 6.0)
    assert fold(events) == {prompt["id"]: "draft 1"}
    attempts = [event.part.attempt for event in events if isinstance(event, Attempt)]
    assert attempts == [2, 3, 4, 5]
    last = [event for event in events if isinstance(event, Delta) and event.part.attempt == 5]
    assert [event.text for event in last] == ["draft 1"]
    assert last[0].tokens == prompt["tokens"] > 0
    (done,) = [event for event in events if isinstance(event, PartCompleted)]
    assert done.part.attempt == 5


async def test_the_best_text_keeps_the_name_of_the_model_that_wrote_it(
    autojump_clock: MockClock,
) -> None:
    """Behind one name, attempts may be written by different models."""
    scores = judging(6, 4, 3)

    def named(request: GenerationRequest, call: int) -> Script:
        steps = scores(request, call)
        if purpose(request) == "score":
            return steps
        model = "small" if purpose(request) == "improve" else "large"
        return _by(model, steps)

    async with open_generate(ObligingProvider(named)) as engine:
        events = await generate(engine, one(optimize_max_iterations=2))
    (prompt,) = result(events)["prompts"]
    assert (prompt["content"], prompt["model"]) == ("draft 0", "large")
    models = [event.part.model for event in events if isinstance(event, Delta)]
    assert list(dict.fromkeys(models)) == ["large", "small"]
    assert models[-1] == "large"


def _by(model: str, steps: Script) -> Script:
    return [
        msgspec.structs.replace(step, model=model) if isinstance(step, ProviderDelta) else step
        for step in steps
    ]


async def test_a_prompt_that_is_good_enough_is_not_touched(autojump_clock: MockClock) -> None:
    """Stop at the target."""
    provider = ObligingProvider(judging(6.5))
    async with open_generate(provider) as engine:
        events = await generate(engine, one(optimize_target_score=6.5))
    (prompt,) = result(events)["prompts"]
    assert (prompt["content"], prompt["score"]) == ("draft 0", 6.5)
    assert not any(isinstance(event, Attempt) for event in events)
    assert provider.asked("improve") == []


async def test_at_most_so_many_improvements_are_made(autojump_clock: MockClock) -> None:
    provider = ObligingProvider(judging(1, 2, 3, 4, 5, 6))
    async with open_generate(provider) as engine:
        events = await generate(engine, one(optimize_max_iterations=2))
    (prompt,) = result(events)["prompts"]
    assert (prompt["content"], prompt["score"]) == ("draft 2", 3.0)
    assert len(provider.asked("improve")) == 2


async def test_a_judge_that_fails_leaves_the_prompt_as_it_is(autojump_clock: MockClock) -> None:
    async with open_generate(ObligingProvider(judging(None))) as engine:
        events = await generate(engine, one())
    (prompt,) = result(events)["prompts"]
    assert prompt["content"] == "draft 0"
    assert "score" not in prompt
    assert not any(isinstance(event, Attempt) for event in events)


@pytest.mark.parametrize(
    "improvements",
    [[ProviderDelta(text="half an impro"), Fail(ProviderRefused("no"))], say(" ")],
    ids=["refused", "blank"],
)
async def test_an_improvement_that_fails_does_not_take_the_good_text_with_it(
    autojump_clock: MockClock, improvements: Script
) -> None:
    """The lane is not lost; what was streamed of the improvement is void."""
    provider = ObligingProvider(judging(5, improvements=improvements))
    async with open_generate(provider) as engine:
        events = await generate(engine, one())
    found = result(events)
    (prompt,) = found["prompts"]
    assert "failed" not in found
    assert (prompt["content"], prompt["score"]) == ("draft 0", 5.0)
    assert fold(events) == {prompt["id"]: "draft 0"}
    assert outline(events)[-4:] == ["text solutio/0", "done solutio/0", "end solutio", "Completed"]


async def test_every_prompt_of_every_phase_is_improved(autojump_clock: MockClock) -> None:
    """Improve each prompt: the next phase goes on from the best text."""
    provider = ObligingProvider()
    async with open_generate(provider) as engine:
        found = result(await generate(engine, asking(count=2, optimize=True, use_parallel=True)))
    assert [prompt["score"] for prompt in found["prompts"]] == [9.0] * 6
    assert len(provider.asked("score")) == 6


@pytest.mark.parametrize("where", ["score", "improve"])
async def test_a_prompt_is_cancelled_alone_while_it_is_judged_or_improved(
    autojump_clock: MockClock, where: str
) -> None:
    """A cancel of a part ends the judge's call as well, and closes its stream."""
    scores = judging(3, 9)

    def answer(request: GenerationRequest, call: int) -> Script:
        return [Hang()] if purpose(request) == where else scores(request, call)

    provider = ObligingProvider(answer)
    async with open_generate(provider) as engine:
        session = await engine.start("generate", one())
        await trio.sleep(2)
        assert provider.open_calls == 1
        target = {"prompt_id": prompt_id(session.session_id, "solutio", 0)}
        await engine.cancel(session.session_id, target=target)
        events = await read_to_end(engine, session.session_id)
    assert provider.open_calls == 0
    (cut,) = [event for event in events if isinstance(event, PartCancelled)]
    assert cut.partial == ("draft 0" if where == "score" else "")
    assert len(result(events)["cancelled"]) == 1
