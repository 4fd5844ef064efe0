"""Answers in a conversation: in the persona's voice, with an eye on what was said before. Pure."""

from __future__ import annotations

import re

from engine.providers.simulation.prose import Scribe, paragraphs
from engine.providers.simulation.voices import role_in
from engine.providers.simulation.words import join_words, upper_first

_BACK = (
    "Earlier you asked about {e}, and that bears on {t}: the answer there limits what {a} can be.",
    "This continues what we said about {e}, only now the weight lies on {a}.",
    "Coming back to {e} for a moment: it is the background against which {a} matters.",
)
_AGREE = (
    "I agree with {s} on {o}, but I would give {a} more weight.",
    "{s} makes a fair point about {o}; what it leaves open is {a}.",
    "Where {s} starts from {o}, I would start from {a}.",
    "I read {s} on {o} differently: the question behind it is {a}.",
)
_ROLES = (
    "Speaking as {r}, I meet this often.",
    "As {r}, I see it from close by.",
    "That is how it looks to {r}, at any rate.",
)
_MERGE = (
    "On {t}, the answers have more in common than it seems: each of them turns on {a}.",
    "Taken together, the answers on {t} agree about {a} and differ about {b}.",
)
_GREETING = re.compile(
    r"(?:hi|hello|hey|greetings|good (?:morning|afternoon|evening|day))"
    r"(?: there| all| everyone)?[.!, ]*",
    re.IGNORECASE,
)
_GREETINGS = (
    "Hello! What would you like to talk about?",
    "Hello, good to meet you. Give me a question or a piece of text, and I will work with it.",
    "Hi there! Which topic shall we start with?",
)
_SYNTHESIS = re.compile(r"\b(synthes\w+|combin\w+|merg\w+)\b", re.IGNORECASE)


def converse(scribe: Scribe) -> str:
    """Answer the user's last message in the voice of the scribe."""
    reading = scribe.reading
    if _GREETING.fullmatch(reading.asked.strip()):
        return scribe.rng.choice(_GREETINGS)
    if reading.others and _is_synthesis(scribe):
        return synthesise(scribe)
    if reading.words:
        start = [scribe.one_of(scribe.voice.openings), *_links(scribe)]
        return scribe.fit_words(start, *reading.words, end=scribe.one_of(scribe.voice.closings))
    lines = [scribe.one_of(scribe.voice.openings), *_links(scribe)]
    if role := role_in(reading.instructions):
        lines.append(scribe.rng.choice(_ROLES).format(r=role))
    count = scribe.rng.randint(3, 6)
    points = scribe.some_of(scribe.voice.points, count)
    if count >= 5 and scribe.rng.random() < 0.4:
        listed = "\n".join(f"- {point}" for point in points[1:4])
        body = f"{paragraphs([*lines, points[0]], 6)}\n\n{listed}\n\n{' '.join(points[4:])}"
    else:
        body = paragraphs([*lines, *points], 4)
    return f"{body.rstrip()}\n\n{scribe.one_of(scribe.voice.closings)}"


def synthesise(scribe: Scribe) -> str:
    """Merge what others said into one answer that names them."""
    reading = scribe.reading
    lines = [scribe.one_of(_MERGE)]
    for speech in reading.others:
        weight = scribe.rng.choice(("stresses", "brings in", "insists on", "begins with"))
        lines.append(f"{upper_first(speech.speaker)} {weight} {speech.topic}.")
    names = join_words([speech.speaker for speech in reading.others])
    lines += scribe.some_of(scribe.voice.points, 2)
    lines.append(scribe.set(f"A combined answer keeps what {names} share, and begins with {{a}}."))
    return paragraphs(lines, 4)


def think(scribe: Scribe) -> str:
    """Give the summary of a reasoning that precedes the answer."""
    reading = scribe.reading
    steps = [
        f"The question is about {reading.topic}.",
        scribe.set("The parts to keep apart are {a}, {b} and {c}."),
    ]
    if reading.earlier:
        steps.append(f"It follows on {reading.earlier[-1].topic}.")
    if role := role_in(reading.instructions):
        steps.append(f"The answer should sound like {role}.")
    return " ".join([*steps, scribe.set("I will begin with {a} and then turn to {b}.")])


def _is_synthesis(scribe: Scribe) -> bool:
    reading = scribe.reading
    return "synthesis" in reading.purpose or bool(
        not reading.persona and _SYNTHESIS.search(reading.instructions + reading.asked[:500])
    )


def _links(scribe: Scribe) -> list[str]:
    reading = scribe.reading
    lines = []
    if reading.earlier:
        line = scribe.rng.choice(_BACK).replace("{e}", reading.earlier[-1].topic)
        lines.append(scribe.set(line))
    if reading.others:
        speech = scribe.rng.choice(reading.others)
        line = scribe.rng.choice(_AGREE).replace("{s}", speech.speaker)
        lines.append(scribe.set(line.replace("{o}", speech.topic)))
    return lines
