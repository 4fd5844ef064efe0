"""The optimizing loop: judge a prompt, have it improved, keep the best, stop at the target.

The one rule: the loop knows neither providers nor events. It is given two functions, one that
judges and one that improves, and says which draft is the best and which was written last; whoever
streams them makes the best one the last. So its rules are tested as a table. Must not import
sessions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from engine.commands.generate import GenerateCommand
from engine.events import JSON, Usage
from engine.pipelines.generate.prompts import STEPS, fill, wrap
from engine.pipelines.generate.verdicts import read_number, read_object, read_text
from engine.providers.interface import GenerationRequest, Message

TEMPERATURE: Final = 0.2
MAX_TOKENS: Final = 4_000
"""Of a verdict, with room for a model that thinks before it answers."""
LOWEST_SCORE: Final = 1.0
HIGHEST_SCORE: Final = 10.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge says of one draft."""

    score: float
    """From 1 to 10."""
    critique: str


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a prompt."""

    text: str
    usage: Usage
    """What writing this text took."""
    model: str = ""
    """Which model wrote it."""
    verdict: Verdict | None = None

    @property
    def score(self) -> float | None:
        """The judge's score; None: it was not judged."""
        return self.verdict.score if self.verdict is not None else None


Judge = Callable[[Draft], Awaitable[Verdict | None]]
"""Judges a draft; None: the judge failed."""
Improve = Callable[[Draft], Awaitable[Draft | None]]
"""Writes the next draft by the verdict on this one; None: nothing came of it."""


async def optimize(
    first: Draft, *, judge: Judge, improve: Improve, target: float, max_iterations: int
) -> tuple[Draft, Draft | None]:
    """Improve a draft until it is good enough, or nothing more can be done.

    Each improvement starts from the best draft so far. Without a verdict there is nothing to go
    by, so a judge that fails ends the loop with what there is.

    Args:
        first: the draft to begin with; not judged yet.
        judge: judges a draft.
        improve: improves one.
        target: a score from which on a draft is good enough.
        max_iterations: improvements at the most.

    Returns:
        The best draft, and the one that was written last; None: the last one is void.
    """
    best = last = await _judged(first, judge)
    for _ in range(max_iterations):
        if best.score is None or best.score >= target:
            break
        improved = await improve(best)
        if improved is None:
            return best, None
        last = await _judged(improved, judge)
        if last.score is None:
            break
        if last.score > best.score:
            best = last
    return best, last


async def _judged(draft: Draft, judge: Judge) -> Draft:
    return msgspec.structs.replace(draft, verdict=await judge(draft))


SCORE_SCHEMA: Final[JSON] = {
    "type": "object",
    "properties": {
        "score": {"type": "number", "minimum": LOWEST_SCORE, "maximum": HIGHEST_SCORE},
        "critique": {"type": "string"},
    },
    "required": ["score", "critique"],
    "additionalProperties": False,
}


def score_request(
    command: GenerateCommand, phase: str, *, source: str, prompt: str, model: str
) -> GenerationRequest:
    """Give what the judge of one draft is asked.

    Args:
        command: what was asked for.
        phase: the phase that wrote the prompt.
        source: the text that the phase was given.
        prompt: the draft.
        model: the judge's; "" is the provider's default.
    """
    sections = (
        f"The step was to {STEPS[phase]}.",
        wrap("material", source),
        wrap("prompt", prompt),
    )
    return GenerationRequest(
        instructions=fill("score"),
        messages=(Message(role="user", content="\n\n".join(sections)),),
        model=model,
        temperature=TEMPERATURE,
        max_tokens=MAX_TOKENS,
        response_schema=SCORE_SCHEMA,
        schema_name="verdict",
        metadata={"purpose": "score", "persona": command.request.persona},
    )


def read_verdict(text: str) -> Verdict:
    """Read a judge's answer.

    Raises:
        ProviderBadOutput: it does not hold.
    """
    answer = read_object(text)
    return Verdict(
        score=read_number(answer, "score", LOWEST_SCORE, HIGHEST_SCORE),
        critique=read_text(answer, "critique"),
    )
