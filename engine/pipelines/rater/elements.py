"""From a story's context, in either shape, to elements that can be ordered and left out.

The one rule: everything that the client sent about the story becomes an element, and hidden
characters become none. Pure; must not import sessions or providers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from engine.commands.rater import (
    Character,
    CharacterContext,
    PhaseContext,
    Priority,
    StructuredContext,
)

WORLD = "World"
SUMMARY = "Story summary"
CHAPTERS = "Earlier chapters"
CHARACTERS = "Characters"
OUTLINE = "Plot outline"
ELEMENTS = "Plot elements"
PLOT_POINT = "Plot point"
PHASE = "Phase"
INSTRUCTIONS = "Instructions"
REQUESTS = "Requests of the author"
CONVERSATION = "Conversation"

SECTIONS = (
    WORLD,
    SUMMARY,
    CHAPTERS,
    CHARACTERS,
    OUTLINE,
    ELEMENTS,
    PLOT_POINT,
    PHASE,
    INSTRUCTIONS,
    REQUESTS,
    CONVERSATION,
)
"""In the order in which the prompt has them."""

MAX_TURNS = 20
"""The last messages of a conversation that are looked at."""


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is known about the story."""

    section: str
    text: str
    priority: Priority = "medium"
    recency: float = 1.0
    """1.0 is the latest of its kind, and what has no order among its kind."""
    keeps_end: bool = False
    """Whether a shortened text keeps its end: a chapter's end is nearer to the plot point."""


def elements_of(
    context: StructuredContext, phase_context: PhaseContext | None, plot_point: str
) -> tuple[Element, ...]:
    """Give all elements of a request, in the order of the prompt."""
    found = [
        *_story(context),
        *_people(context),
        *_plot(context, plot_point),
        *_wishes(context, phase_context),
    ]
    found = [element for element in found if element.text.strip()]
    return tuple(sorted(found, key=lambda element: SECTIONS.index(element.section)))


def _story(context: StructuredContext) -> Iterator[Element]:
    yield Element(section=WORLD, text=context.worldbuilding.content or "")
    yield Element(section=SUMMARY, text=context.story_summary.summary or "", priority="high")
    for recency, chapter in _with_recency(context.previous_chapters):
        number = "" if chapter.number is None else f" {chapter.number}"
        title = f"Chapter{number}" + (f": {chapter.title}" if chapter.title else "")
        body = _fields({"Plot point": chapter.plot_point, "Text": chapter.content})
        if body:
            text = f"{title}\n{body}"
            yield Element(section=CHAPTERS, text=text, recency=recency, keeps_end=True)


def _people(context: StructuredContext) -> Iterator[Element]:
    hidden = {_key(each.name) for each in context.characters if each.is_hidden and each.name}
    for character in context.characters:
        if not character.is_hidden:
            yield Element(section=CHARACTERS, text=_character(character))
    for known in context.character_contexts:
        if not {_key(known.character_name), _key(known.character_id)} & hidden:
            yield Element(section=CHARACTERS, text=_character_context(known))


def _character(character: Character) -> str:
    return _fields(
        {
            "Name": character.name,
            "Bio": character.basic_bio,
            "Sex": character.sex,
            "Gender": character.gender,
            "Age": character.age,
            "Appearance": character.physical_appearance,
            "Clothing": character.usual_clothing,
            "Personality": character.personality,
            "Motivations": character.motivations,
            "Fears": character.fears,
            "Relationships": character.relationships,
        }
    )


def _character_context(known: CharacterContext) -> str:
    return _fields(
        {
            "Name": known.character_name or known.character_id,
            "State": known.current_state,
            "Recent actions": known.recent_actions,
            "Relationships": known.relationships,
            "Goals": known.goals,
            "Memories": known.memories,
            "Personality": known.personality_traits,
        }
    )


def _plot(context: StructuredContext, plot_point: str) -> Iterator[Element]:
    plot = context.plot_context
    if plot.plot_outline:
        status = f"(status: {plot.plot_outline_status})\n" if plot.plot_outline_status else ""
        yield Element(section=OUTLINE, text=status + plot.plot_outline, priority="high")
    if plot.plot_point and plot.plot_point.strip() != plot_point.strip():
        text = f"In the outline, the plot point reads: {plot.plot_point}"
        yield Element(section=OUTLINE, text=text)
    for recency, item in _with_recency(plot.related_outline_items):
        text = f"Related: {_words(item)}"
        yield Element(section=OUTLINE, text=text, priority="low", recency=recency)
    for recency, element in _with_recency(context.plot_elements):
        tags = f" ({', '.join(element.tags)})" if element.tags else ""
        yield Element(
            section=ELEMENTS,
            text=f"{element.type.capitalize()}{tags}: {element.content}",
            priority=element.priority,
            recency=recency,
        )


def _wishes(context: StructuredContext, phase: PhaseContext | None) -> Iterator[Element]:
    if phase is not None:
        text = phase.phase_specific_instructions or ""
        yield Element(section=PHASE, text=text, priority="high")
        if phase.previous_phase_output:
            text = f"The phase before gave:\n{phase.previous_phase_output}"
            yield Element(section=PHASE, text=text)
    for prompt in (context.system_prompts.assistant_prompt, context.system_prompts.editor_prompt):
        yield Element(section=INSTRUCTIONS, text=prompt or "", priority="high")
    for recency, instruction in _with_recency(context.system_instructions):
        scope = f" ({instruction.scope})" if instruction.scope else ""
        yield Element(
            section=INSTRUCTIONS,
            text=f"{instruction.type.capitalize()}{scope}: {instruction.content}",
            priority=instruction.priority,
            recency=recency,
        )
    for recency, wish in _with_recency(context.user_requests):
        about = ", ".join(word for word in (wish.type, wish.target) if word)
        text = f"{about}: {wish.content}" if about else wish.content
        yield Element(section=REQUESTS, text=text, priority=wish.priority, recency=recency)
    if phase is not None:
        for recency, turn in _with_recency(phase.conversation_history[-MAX_TURNS:]):
            text = f"{turn.role}: {turn.content}" if turn.content.strip() else ""
            yield Element(section=CONVERSATION, text=text, recency=recency)


def _with_recency(items: Sequence[Any]) -> Iterator[tuple[float, Any]]:
    """Give each item of a list with its recency; the last one is the latest."""
    for place, item in enumerate(items, start=1):
        yield place / len(items), item


def _fields(fields: dict[str, Any]) -> str:
    said = ((name, _words(value)) for name, value in fields.items())
    return "\n".join(f"{name}: {words}" for name, words in said if words)


def _words(value: Any) -> str:
    """Say any JSON value in words."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_words(each)}" for key, each in value.items() if _words(each))
    if isinstance(value, list | tuple):
        return _joined(value)
    return json.dumps(value)


def _joined(values: Iterable[Any]) -> str:
    return "; ".join(words for words in map(_words, values) if words)


def _key(name: str | None) -> str:
    return (name or "").strip().casefold()
