"""From a command to one rater's request.

The one rule: the rater's prompt and the plot point are never trimmed; all else has what they leave
of the token budget. Pure; must not import sessions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.commands.rater import RaterBatchCommand, RaterCommand, StructuredContext
from engine.pipelines.rater.context import by_importance, select
from engine.pipelines.rater.elements import (
    CHAPTERS,
    CONVERSATION,
    PLOT_POINT,
    SECTIONS,
    Element,
    elements_of,
)
from engine.providers.interface import GenerationRequest, Message, count_tokens

FEEDBACK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "opinion": {
            "type": "string",
            "description": "Your judgement of the plot point, in two to three sentences.",
        },
        "suggestions": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Four to six specific suggestions, each one a full sentence.",
        },
    },
    "required": ["opinion", "suggestions"],
    "additionalProperties": False,
}

_FORM = (
    'Answer with one JSON object and nothing else: {"opinion": "…", "suggestions": ["…", "…"]}. '
    "The opinion is two to three sentences: what works in this plot point, what does not, and why. "
    "The suggestions are four to six: each names one change to this plot point, specific enough to "
    "be carried out at once, and says what it gains."
)
_QUESTION = "Judge the plot point above by your criteria and in the light of the story. " + _FORM
_REPAIR = "Your last answer could not be read. " + _FORM

_PHASES = {
    "plot_outline": "The story is at the stage of its plot outline: judge structure and causality.",
    "chapter_detail": "The chapter is being worked out: judge scene, detail and motivation.",
    "final_edit": "The text is in its final edit: judge precision, rhythm and consistency.",
}
_CHRONOLOGICAL = frozenset({CHAPTERS, CONVERSATION})


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and what became of its context."""

    request: GenerationRequest
    tokens: int
    """Of the whole prompt, estimated."""
    total_elements: int
    filtered_elements: int
    """Elements that were left out."""
    is_truncated: bool


def prepare(
    command: RaterCommand | RaterBatchCommand,
    *,
    rater_name: str,
    rater_prompt: str,
    model: str,
    budget_tokens: int,
) -> Prepared:
    """Build one rater's request within a token budget.

    Args:
        command: the story and the plot point.
        rater_name: who judges.
        rater_prompt: by what.
        model: the model's name as the provider knows it.
        budget_tokens: of the whole prompt; the rater's prompt and the plot point may exceed it.
    """
    system = system_prompt(command.structured_context, rater_prompt)
    phase = _PHASES.get(command.compose_phase or "", "")
    plot_point = f"<plot_point>\n{command.plot_point}\n</plot_point>"
    fixed = [system, plot_point, phase, _QUESTION, *SECTIONS]
    elements = elements_of(command.structured_context, command.phase_context, command.plot_point)
    # What is fixed has 2 tokens more for each section: the marks around headings and texts.
    left = budget_tokens - sum(count_tokens(text) + 2 for text in fixed)
    selection = select(elements, left)
    user = _user_prompt(selection.kept, plot_point, phase)
    return Prepared(
        request=GenerationRequest(
            messages=(Message(role="user", content=user),),
            model=model,
            instructions=system,
            temperature=command.temperature,
            max_tokens=command.max_tokens,
            response_schema=FEEDBACK_SCHEMA,
            schema_name="rater_feedback",
            metadata={"purpose": "rater.feedback", "persona": rater_name},
        ),
        tokens=count_tokens(system) + count_tokens(user),
        total_elements=len(elements),
        filtered_elements=selection.left_out,
        is_truncated=selection.is_truncated,
    )


def system_prompt(context: StructuredContext, rater_prompt: str) -> str:
    """Give mainPrefix, the rater's prompt and mainSuffix, as far as they are there."""
    prompts = context.system_prompts
    parts = (prompts.main_prefix, rater_prompt, prompts.main_suffix)
    return "\n\n".join(part.strip() for part in parts if part and part.strip())


def repair_request(request: GenerationRequest, answer: str) -> GenerationRequest:
    """Ask again, after an answer that could not be read, with that answer in view."""
    last = [Message(role="assistant", content=answer)] if answer.strip() else []
    messages = (*request.messages, *last, Message(role="user", content=_REPAIR))
    return msgspec.structs.replace(request, messages=messages)


def _user_prompt(kept: Sequence[Element], plot_point: str, phase: str) -> str:
    own = Element(section=PLOT_POINT, text=plot_point)
    parts: list[str] = []
    in_order = sorted((*kept, own), key=lambda element: SECTIONS.index(element.section))
    for section, group in itertools.groupby(in_order, key=lambda element: element.section):
        elements = list(group)
        if section not in _CHRONOLOGICAL:
            elements = [elements[index] for index in by_importance(elements)]
        parts.append(f"{section}:\n" + "\n\n".join(element.text.strip() for element in elements))
    parts += [phase] if phase else []
    return "\n\n".join([*parts, _QUESTION])
