"""The selection: a judge chooses one prompt, or the ranking does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trio.testing import MockClock

from engine.callers import Options
from engine.commands.generate import GenerateCommand
from engine.errors import ProviderBadOutput, ProviderUnavailable
from engine.events import Usage
from engine.limits import Limits
from engine.pipelines.generate.judge import (
    CRITERIA,
    WEIGHTS,
    read_selection,
    selection_request,
    weights_of,
)
from engine.providers.interface import GenerationRequest
from engine.testing.scripted_provider import Fail, Script, say
from tests.pipelines.generate.doubles import (
    ObligingProvider,
    asking,
    generate,
    ids_offered,
    oblige,
    open_generate,
    purpose,
    read_to_end,
    result,
    written,
)

CANDIDATES = [("a", "first"), ("b", "second")]
GOOD = {"prompt_id": "b", "score": 0.9, "confidence": 0.7, "reasoning": "It keeps all."}


def command(**fields: Any) -> GenerateCommand:
    return GenerateCommand.parse(asking(**fields))[0]


async def test_a_judge_chooses_one_prompt(autojump_clock: MockClock) -> None:
    """`selected`: {prompt_id, content, score, confidence, reasoning, reason: "judge"}."""
    provider = ObligingProvider()
    async with open_generate(provider) as engine:
        found = result(await generate(engine, asking(count=3, auto_select=True)))
    last = found["prompts"][-1]
    assert found["selected"] == {
        "prompt_id": last["id"],
        "content": last["content"],
        "score": 0.8,
        "confidence": 0.6,
        "reasoning": "It is the last one.",
        "reason": "judge",
    }
    (request,) = provider.asked("judge")
    assert request.temperature == 0.2
    assert ids_offered(request) == [prompt["id"] for prompt in found["prompts"][6:]]
    for prompt in found["prompts"][6:]:
        assert f"Candidate {prompt['id']}:\n<candidate>\n{prompt['content']}\n" in (
            request.messages[0].content
        )
    assert "<idea>\nan idea\n</idea>" in request.messages[0].content


async def test_without_auto_select_nobody_is_asked(autojump_clock: MockClock) -> None:
    provider = ObligingProvider()
    async with open_generate(provider) as engine:
        found = result(await generate(engine, asking(count=2)))
    assert "selected" not in found
    assert provider.asked("judge") == []


BAD_ANSWERS = {
    "no JSON": "I like the second one best.",
    "broken JSON": '{"prompt_id": "b", ',
    "an unknown id": json.dumps({**GOOD, "prompt_id": "zzz"}),
    "no score": json.dumps({key: value for key, value in GOOD.items() if key != "score"}),
    "a score beyond the scale": json.dumps({**GOOD, "score": 9}),
    "a huge score": '{"prompt_id": "b", "score": 1' + "0" * 400 + "}",
    "a score that is true": json.dumps({**GOOD, "score": True}),
    "a score in words": json.dumps({**GOOD, "score": "0.9"}),
    "no confidence": json.dumps({**GOOD, "confidence": None}),
    "no reasoning": json.dumps({**GOOD, "reasoning": 3}),
    "a list": json.dumps([GOOD, GOOD]),
    "deep nesting": '{"prompt_id":' + "[" * 5_000 + "}",
}


@pytest.mark.parametrize("text", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_an_answer_that_does_not_hold_is_refused(text: str) -> None:
    with pytest.raises(ProviderBadOutput):
        read_selection(text, CANDIDATES)


@pytest.mark.parametrize(
    "text",
    [json.dumps(GOOD), f"```json\n{json.dumps(GOOD)}\n```", f"Here it is: {json.dumps(GOOD)} Bye."],
)
def test_an_answer_is_found_in_a_fence_or_in_talk(text: str) -> None:
    selection = read_selection(text, CANDIDATES)
    assert (selection.prompt_id, selection.content, selection.reason) == ("b", "second", "judge")


@pytest.mark.parametrize("answer", ["no JSON", "an unknown id"])
async def test_when_the_judge_answers_badly_the_top_of_the_ranking_is_selected(
    autojump_clock: MockClock, answer: str
) -> None:
    """When it fails, the top of the ranking is selected and `selected.reason` says so."""

    def bad_judge(request: GenerationRequest, call: int) -> Script:
        return say(BAD_ANSWERS[answer]) if purpose(request) == "judge" else oblige(request, call)

    async with open_generate(ObligingProvider(bad_judge)) as engine:
        found = result(await generate(engine, asking(count=3, auto_select=True)))
    check_fallback(found)


async def test_when_the_judge_cannot_be_asked_the_top_of_the_ranking_is_selected(
    autojump_clock: MockClock,
) -> None:
    """A retryable failure is tried again first."""

    def no_judge(request: GenerationRequest, call: int) -> Script:
        if purpose(request) == "judge":
            return [Fail(ProviderUnavailable("the judge is out"))]
        return oblige(request, call)

    provider = ObligingProvider(no_judge)
    async with open_generate(provider, limits=Limits(max_attempts=2)) as engine:
        found = result(await generate(engine, asking(count=2, auto_select=True)))
    check_fallback(found)
    assert "the judge is out" in found["selected"]["reasoning"]
    assert len(provider.asked("judge")) == 2


async def test_when_the_budget_leaves_nothing_for_the_judge_the_ranking_selects(
    autojump_clock: MockClock,
) -> None:
    def metered(request: GenerationRequest, call: int) -> Script:
        return say(written(request), usage=Usage(input_tokens=100, output_tokens=1_400))

    async with open_generate(ObligingProvider(metered)) as engine:
        session = await engine.start(
            "generate",
            asking(count=1, phases=["solutio"], auto_select=True),
            options=Options(token_budget=1_600),
        )
        found = result(await read_to_end(engine, session.session_id))
    check_fallback(found)


def check_fallback(found: dict[str, Any]) -> None:
    selected, top = found["selected"], found["rankings"][0]
    assert selected["reason"] == "ranking"
    assert selected["prompt_id"] == top["prompt_id"]
    assert selected["score"] == top["score"]
    assert selected["confidence"] == 0.0
    contents = {prompt["id"]: prompt["content"] for prompt in found["prompts"]}
    assert selected["content"] == contents[top["prompt_id"]]


async def test_the_selected_prompt_is_what_later_sessions_recall(
    autojump_clock: MockClock,
) -> None:
    provider = ObligingProvider()
    async with open_generate(provider) as engine:
        found = result(await generate(engine, asking(count=3, auto_select=True)))
        await generate(engine, asking(count=1, include_context=True))
    text = provider.asked("prima-materia")[-1].messages[0].content
    assert f"<earlier_result>\n{found['selected']['content']}\n</earlier_result>" in text


def test_each_set_of_weights_sums_to_one_over_all_criteria() -> None:
    """Relevance .3, clarity .3, completeness .2, conciseness .1, safety .1; others for code and
    writing.
    """
    for weights in WEIGHTS.values():
        assert len(weights) == len(CRITERIA)
        assert sum(weights) == pytest.approx(1)
    assert weights_of("analysis") == weights_of("generic") == weights_of("pirate")
    assert weights_of("generic") == {
        "relevance": 0.3,
        "clarity": 0.3,
        "completeness": 0.2,
        "conciseness": 0.1,
        "safety": 0.1,
    }
    assert len({tuple(weights_of(p).values()) for p in ("generic", "code", "writing")}) == 3


def test_the_judge_is_told_the_weights() -> None:
    request = selection_request(
        command(persona="writing"), CANDIDATES, model="", context_tokens=100_000
    )
    for name, weight in weights_of("writing").items():
        assert f"- {name} ({weight:g}): " in request.instructions


@pytest.mark.parametrize("context_tokens", [8_000, 32_000, 128_000])
@pytest.mark.parametrize("count", [1, 3, 100])
def test_candidates_are_cut_alike_to_fit_the_judges_context(
    context_tokens: int, count: int
) -> None:
    """A judge's context must not overflow, however much there is to read."""
    candidates = [(f"id{i}", "word " * 20_000) for i in range(count)]
    data = {"request": {"input": "x" * 100_000, "count": count}}
    request = selection_request(
        GenerateCommand.parse(data)[0], candidates, model="", context_tokens=context_tokens
    )
    content = request.messages[0].content
    if (context_tokens, count) != (8_000, 100):  # a hundred candidates have at least 200 each
        assert len(content) + len(request.instructions) <= (context_tokens - 4_000) * 3
    assert content.count("[cut here]") >= count
    assert all(f"Candidate id{i}:" in content for i in range(count))
