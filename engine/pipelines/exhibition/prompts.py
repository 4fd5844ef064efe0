"""What the models are asked for an exhibition.

The one rule: what the curator wrote is material. It stands in the user's message, between tags that
it cannot close, and never in the instructions. Pure; must not import sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.commands.exhibition import CuratorBrief
from engine.events import JSON
from engine.knowledge.interface import Definition
from engine.pipelines.exhibition.texts import TextRule
from engine.providers.interface import GenerationRequest, Message

TEMPERATURE: Final = 0.7
PROPOSAL_TEMPERATURE: Final = 0.2
"""Names are to be remembered, not invented."""
MAX_TOKENS: Final = 2_000

_WRITER: Final = (
    "You are a museum curator who writes for print. Answer with the text that is asked for and "
    "nothing else: no heading, no quotation marks, no remark about it. Name no artist and no work, "
    "for they are not chosen yet, and state no fact that the brief or the definitions do not give."
)
_WANTED: Final = {
    "exhibition_title": "Write the title of the exhibition in at most 50 characters, on one line.",
    "subtitle": "Write the subtitle of the exhibition in at most 120 characters, on one line. It "
    "adds to the title and does not repeat it.",
    "curatorial_statement": "Write the curatorial statement in 200 to 250 words.",
    "scholarly_rationale": "Write the scholarly rationale of the exhibition in 150 to 200 words: "
    "the question, the method, and what it adds to research.",
    "target_audience_refined": "Say in one line of at most 200 characters who this exhibition "
    "speaks to.",
    "complexity_level": "Say how demanding this exhibition is for its audience, in one word: "
    "introductory, intermediate or advanced.",
}
_STYLES: Final = {
    "chronological": "The exhibition tells its story in the order of time.",
    "thematic": "The exhibition is arranged by themes.",
    "dialogic": "The exhibition sets works in dialogue with each other.",
    "immersive": "The exhibition surrounds its visitors, and speaks to the senses.",
}
_SPACES: Final = {
    "main": "the museum's main galleries",
    "project": "a small project space",
    "outdoor": "an outdoor space",
    "digital": "a digital space",
}


def text_request(
    rule: TextRule,
    brief: CuratorBrief,
    definitions: Sequence[Definition],
    *,
    title: str,
    model: str,
    fault: str = "",
    before: str = "",
) -> GenerationRequest:
    """Ask for one of the texts; with `fault`, for a better one than `before`."""
    material = [_wrap("brief", describe(brief))]
    if definitions:
        lines = [f"{each.concept} ({each.source}): {each.text}" for each in definitions]
        material.append(_wrap("definitions", "\n".join(lines)))
    if title:
        material.append(_wrap("title_context", title))
    material.append(_WANTED[rule.name])
    messages = [Message(role="user", content="\n\n".join(material))]
    if fault:
        messages.append(Message(role="assistant", content=before))
        messages.append(
            Message(role="user", content=f"{fault} {_WANTED[rule.name]}\n\n{material[0]}")
        )
    return GenerationRequest(
        instructions=_WRITER,
        messages=tuple(messages),
        model=model,
        temperature=TEMPERATURE,
        max_tokens=MAX_TOKENS,
        metadata={"purpose": rule.purpose},
    )


def artists_request(brief: CuratorBrief, *, count: int, model: str) -> GenerationRequest:
    """Ask whom the model would propose; each name is then looked up."""
    return GenerationRequest(
        instructions=(
            "You are an art historian. Propose artists for the exhibition. Name only people who "
            "lived or live and whose work is in public collections; each is looked up afterwards."
        ),
        messages=(
            Message(
                role="user",
                content=f"{_wrap('brief', describe(brief))}\n\nPropose {count} artists.",
            ),
        ),
        model=model,
        temperature=PROPOSAL_TEMPERATURE,
        max_tokens=MAX_TOKENS,
        response_schema=artists_schema(count),
        schema_name="artists",
        metadata={"purpose": "exhibition.artists"},
    )


def artists_schema(count: int) -> JSON:
    """Give the schema of the model's proposals."""
    return {
        "type": "object",
        "properties": {
            "artists": {
                "type": "array",
                "description": f"Exactly {count} artists, the most fitting first.",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "reason": {"type": "string"}},
                    "required": ["name", "reason"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["artists"],
        "additionalProperties": False,
    }


def describe(brief: CuratorBrief) -> str:
    """Give the brief as lines of text, with all that bears on texts and names."""
    lines = [
        f"Theme: {brief.theme_title}",
        f"Description: {brief.theme_description}",
        f"Concepts: {', '.join(brief.concepts)}",
        f"Audience: {brief.target_audience}",
        f"Style: {_STYLES[brief.narrative_style]}",
        f"Space: {_SPACES[brief.space_type]}, for {brief.duration_weeks} weeks",
    ]
    period = brief.time_period
    if period is not None and (period.start_year is not None or period.end_year is not None):
        first = "the beginnings" if period.start_year is None else period.start_year
        last = "the present" if period.end_year is None else period.end_year
        lines.append(f"Time: {first} to {last}")
    for label, names in (
        ("Movements", brief.movements),
        ("Media", brief.media),
        ("Artists in mind", brief.reference_artists),
        ("Excluded artists", brief.exclude_artists),
    ):
        if names:
            lines.append(f"{label}: {', '.join(names)}")
    if not brief.include_international:
        lines.append("Artists of one country only")
    if brief.prioritize_diversity:
        lines.append("Artists of different genders, regions and times")
    return "\n".join(lines)


def _wrap(tag: str, text: str) -> str:
    return f"<{tag}>\n{text.replace('</', '< /')}\n</{tag}>"
