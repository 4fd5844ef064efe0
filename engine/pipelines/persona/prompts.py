"""What the voices are told: system prompts, and the words between the rounds of a debate. Pure.

The one rule: a system prompt goes into the instructions, never into the user's text, and what the
user and the other voices said goes into messages, never into the instructions.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.commands.persona import Characteristics, Persona
from engine.pipelines.persona.conversations import Answer
from engine.pipelines.persona.history import spoken_by
from engine.providers.interface import Message

_STYLES = {
    "formal": "Speak formally, in complete sentences.",
    "casual": "Speak casually, as to somebody you know.",
    "technical": "Speak technically, and precisely.",
    "friendly": "Speak in a friendly and encouraging way.",
}

SYNTHESIS_INSTRUCTIONS = """\
Several people have answered one question. You are given what each of them said, by name, and then \
the question. Merge their answers into a single one for the person who asked.

Keep what they agree on, and say it once. Where they differ, say who holds what, by name, and what \
the difference turns on. Add nothing that none of them said. Write one connected text, no longer \
than the longest of their answers, and begin with the answer itself."""

_REBUTTAL = """\
This is round {round} of {rounds} of a debate. You are given the question, what you answered, what \
the others said, and the question again. Reply to the others in your own voice: name whom you \
answer, say where you agree, where you do not and why, and what, if anything, changed your mind. \
Do not repeat your first answer."""


def instructions_for(persona: Persona, beside: Sequence[Persona] = ()) -> str:
    """Give a persona's system prompt, with its characteristics, and who else is asked."""
    sections = [persona.system_prompt, _characteristics(persona)]
    if beside:
        names = ", ".join(f"{other.name} ({other.role or other.id})" for other in beside)
        sections.append(
            f"The same question goes to others: {names}. Answer for yourself alone, as "
            f"{persona.name}, and never speak in their names."
        )
    return "\n\n".join(section for section in sections if section)


def rebuttal_for(persona: Persona, beside: Sequence[Persona], number: int, rounds: int) -> str:
    """Give what a persona is told in a later round of a debate; rounds count from 1."""
    return f"{instructions_for(persona, beside)}\n\n{_REBUTTAL.format(round=number, rounds=rounds)}"


def rebutted(message: str, own: Answer, others: Sequence[Answer]) -> tuple[Message, ...]:
    """Give what a persona hears in a later round: what it said, and what the others said then.

    Args:
        message: what the user said.
        own: what this persona answered in the round before.
        others: what the others answered in the round before.
    """
    question = Message(role="user", content=message)
    mine = Message(role="assistant", content=own.text)
    return (question, mine, *(spoken_by(answer) for answer in others), question)


def merged(message: str, answers: Sequence[Answer]) -> tuple[Message, ...]:
    """Give what the synthesis hears: what each answered, by name, and then what was asked."""
    return (*(spoken_by(answer) for answer in answers), Message(role="user", content=message))


def side_by_side(answers: Sequence[Answer]) -> str:
    """Give the combined answer where nobody was asked to merge: each under its name."""
    return "\n\n".join(
        f"**{answer.name or answer.persona_id}:** {answer.text}" for answer in answers
    )


def _characteristics(persona: Persona) -> str:
    own: Characteristics = persona.characteristics
    rows = [
        ("Who you are", [persona.role]),
        ("Personality", own.personality),
        ("Goals", own.goals),
        ("What troubles you", own.pain_points),
        ("How you decide", [own.decision_making_style]),
        ("Experience", [own.experience]),
    ]
    lines = [
        f"{title}: {'; '.join(filter(None, values))}." for title, values in rows if any(values)
    ]
    if own.communication_style is not None:
        lines.append(_STYLES[own.communication_style])
    return "\n".join(lines)
