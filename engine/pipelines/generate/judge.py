"""The selection: a judge chooses one of the candidates, or the ranking does.

The one rule: a selection never fails. A judge that cannot be asked, or whose answer does not hold
(bad JSON, an id that no candidate has), leaves the top of the ranking selected, and the selection
says so. Pure: this writes the question and reads the answer; the pipeline asks. Must not import
sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from engine.commands.generate import GenerateCommand
from engine.errors import ProviderBadOutput
from engine.events import JSON
from engine.pipelines.generate.prompts import cut, fill, wrap
from engine.pipelines.generate.ranking import Ranking
from engine.pipelines.generate.verdicts import read_number, read_object, read_text
from engine.providers.interface import GenerationRequest, Message

TEMPERATURE: Final = 0.2
"""A judge is asked to be consistent, not to be inventive."""
MAX_TOKENS: Final = 4_000
"""Of a verdict, with room for a model that thinks before it answers."""
CHARS_PER_TOKEN: Final = 3
"""Less than the average: a judge's context must not overflow with a dense script."""

CRITERIA: Final = {
    "relevance": "it asks for what the idea asks for, and for nothing else",
    "clarity": "a model can only understand it in one way",
    "completeness": "every requirement, constraint and format of the idea is in it",
    "conciseness": "nothing could be left out",
    "safety": "it leads to nothing harmful, and does not invite invented facts",
}
WEIGHTS: Final = {
    "default": (0.3, 0.3, 0.2, 0.1, 0.1),
    "code": (0.3, 0.2, 0.35, 0.1, 0.05),
    "writing": (0.25, 0.4, 0.15, 0.1, 0.1),
}
"""What each criterion counts, in the order of `CRITERIA`: exact demands make code, and a clear
voice makes prose. Each set has the sum 1."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The prompt that was chosen."""

    prompt_id: str
    content: str
    score: float
    """From 0 to 1: the judge's, or that of the ranking."""
    confidence: float
    """From 0 to 1: how sure the judge is; 0 where no judge has spoken."""
    reasoning: str
    reason: Literal["judge", "ranking"]


def weights_of(persona: str) -> dict[str, float]:
    """Give the weight of each criterion for a persona."""
    weights = WEIGHTS.get(persona, WEIGHTS["default"])
    return dict(zip(CRITERIA, weights, strict=True))


def selection_request(
    command: GenerateCommand,
    candidates: Sequence[tuple[str, str]],
    *,
    model: str,
    context_tokens: int,
) -> GenerationRequest:
    """Give what the judge is asked.

    Args:
        command: what was asked for.
        candidates: the id and the content of each.
        model: the judge's; "" is the provider's default.
        context_tokens: how much its context holds; candidates are cut alike to fit in.
    """
    ids = [prompt_id for prompt_id, _ in candidates]
    room = (context_tokens - MAX_TOKENS) * CHARS_PER_TOKEN - 4_000
    idea = cut(command.request.input, max(1_000, room // 4))
    share = max(200, (room - len(idea)) // len(candidates) - 100)
    sections = [wrap("idea", idea)]
    for prompt_id, content in candidates:
        sections.append(f"Candidate {prompt_id}:\n{wrap('candidate', cut(content, share))}")
    weights = weights_of(command.request.persona).items()
    criteria = "\n".join(f"- {name} ({weight:g}): {CRITERIA[name]}" for name, weight in weights)
    return GenerationRequest(
        instructions=fill("judge", CRITERIA=criteria),
        messages=(Message(role="user", content="\n\n".join(sections)),),
        model=model,
        temperature=TEMPERATURE,
        max_tokens=MAX_TOKENS,
        response_schema=selection_schema(ids),
        schema_name="selection",
        metadata={"purpose": "judge", "persona": command.request.persona},
    )


def selection_schema(ids: Sequence[str]) -> JSON:
    """Give the schema of a verdict on these candidates."""
    return {
        "type": "object",
        "properties": {
            "prompt_id": {"type": "string", "enum": list(ids)},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "reasoning": {"type": "string"},
        },
        "required": ["prompt_id", "score", "confidence", "reasoning"],
        "additionalProperties": False,
    }


def read_selection(text: str, candidates: Sequence[tuple[str, str]]) -> Selection:
    """Read a judge's answer.

    Raises:
        ProviderBadOutput: it does not hold.
    """
    answer = read_object(text)
    prompt_id = read_text(answer, "prompt_id")
    content = dict(candidates).get(prompt_id)
    if content is None:
        raise ProviderBadOutput(f"the judge chose {cut(prompt_id, 80)!r}, which is no candidate")
    return Selection(
        prompt_id=prompt_id,
        content=content,
        score=read_number(answer, "score", 0, 1),
        confidence=read_number(answer, "confidence", 0, 1),
        reasoning=read_text(answer, "reasoning"),
        reason="judge",
    )


def select_by_ranking(
    rankings: Sequence[Ranking], candidates: Sequence[tuple[str, str]], failure: str
) -> Selection:
    """Select the top of the ranking, because the judge failed.

    Args:
        rankings: best first, at least one.
        candidates: the id and the content of each.
        failure: why there is no verdict, for people.
    """
    top = rankings[0]
    return Selection(
        prompt_id=top.prompt_id,
        content=dict(candidates)[top.prompt_id],
        score=top.score,
        confidence=0.0,
        reasoning=f"The judge failed ({failure}), so the top of the ranking is selected.",
        reason="ranking",
    )
