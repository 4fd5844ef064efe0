"""Writes the answer to a request: decides what kind of text is wanted, and who writes it.

In this order: a schema is filled; a phase of a prompt, an exam, or a text of an exhibition is
written in its form; everything else is a conversation in the persona's voice. Pure: the answer
depends on the request, the key and the modifiers alone.
"""

from __future__ import annotations

import random
import re

from engine.errors import InvalidRequest
from engine.events import JSON
from engine.providers.interface import GenerationRequest
from engine.providers.simulation import chat, exam, exhibition, phases
from engine.providers.simulation.answer import Answer
from engine.providers.simulation.fields import FieldTeller
from engine.providers.simulation.filling import CannotFill, fill, to_json
from engine.providers.simulation.prose import Scribe
from engine.providers.simulation.reading import read_request
from engine.providers.simulation.voices import PLAIN, voice_for

NORMAL_TEMPERATURE = 0.7
MORE_SENTENCES = 64
"""Sentences that a long answer goes on with before they come round again."""
MAX_QUESTIONS = 100

_FEELS = re.compile(
    r"\bi(?:'m| am| feel| have been)(?: \w+){0,2} (?:stressed|sad|lonely|worried|anxious|afraid"
    r"|overwhelmed|tired|exhausted|depressed|scared)\b",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"(\d{1,3})\s+(?:\w+[- ]){0,3}?(?:questions?|items)|questions?\W{1,3}(\d{1,3})", re.I
)


def write(
    request: GenerationRequest, key: bytes, modifiers: frozenset[str] = frozenset()
) -> Answer:
    """Write the whole answer to a request.

    Args:
        request: what is asked.
        key: what all choices are drawn from.
        modifiers: faults that change the text: "bad_output", "invent".

    Raises:
        InvalidRequest: the response schema cannot be filled; the message names the keyword.
    """
    rng = random.Random(key)
    reading = read_request(request)
    # Who talks about feelings, and to nobody in particular, is not answered with an analysis.
    is_confiding = not reading.instructions and _FEELS.search(reading.material[:500])
    persona = reading.persona or ("friend" if is_confiding else "")
    voice = voice_for(persona, reading.instructions)
    temperature = NORMAL_TEMPERATURE if request.temperature is None else request.temperature
    breadth = min(1.0, temperature / NORMAL_TEMPERATURE) * (request.top_p or 1.0)
    scribe = Scribe(reading, voice, rng, breadth=breadth)
    reasoning = chat.think(Scribe(reading, PLAIN, rng)) if request.reasoning else ""
    tools = tuple(_called(tool, scribe) for tool in request.tools)
    if request.response_schema is not None:
        text = _structured(request.response_schema, scribe, modifiers)
        return Answer(text, reasoning=reasoning, tools=tools)
    if (exact := _formal(request, scribe)) is not None:
        if "bad_output" in modifiers:
            exact = re.sub(r"(?im)^(?:correct )?answer:.*$|^key insights?:.*$", "", exact)
        return Answer(exact, reasoning=reasoning, tools=tools)
    text = _free(scribe)

    def more() -> str:
        endless = Scribe(reading, voice, random.Random(key)).endless()
        return "".join(f" {next(endless)}" for _ in range(MORE_SENTENCES))

    return Answer(text, more=more, reasoning=reasoning, tools=tools)


def _structured(schema: JSON, scribe: Scribe, modifiers: frozenset[str]) -> str:
    teller = FieldTeller(scribe, invent="invent" in modifiers)
    try:
        text = to_json(fill(schema, teller, scribe.rng))
    except CannotFill as error:
        raise InvalidRequest(
            f"the simulated provider cannot fill response_schema: {error}",
            [("response_schema", str(error))],
        ) from error
    # Cut inside a string, so that no repair of brackets makes it whole again.
    return text[: max(1, len(text) // 2)] if "bad_output" in modifiers else text


def _formal(request: GenerationRequest, scribe: Scribe) -> str | None:
    """Write an exam's draft or layout; None where none is asked for."""
    reading = scribe.reading
    purpose = reading.purpose.lower()
    kind = request.metadata.get("content_type", "").upper()
    if not kind and "content" in purpose:
        found = re.search(
            r"\b(NMCQ|MCQ|SUMMARY)\b", f"{reading.instructions} {reading.asked}", re.I
        )
        kind = found[1].upper() if found else ""
    if kind not in ("MCQ", "NMCQ", "SUMMARY"):
        return None
    notes = exam.Notes(reading, scribe.rng)
    count = _question_count(request, f"{reading.instructions}\n{reading.asked[:4_000]}")
    if "generator" in purpose:
        return exam.draft(notes, kind, count)
    layouts = {"MCQ": exam.format_mcq, "NMCQ": exam.format_nmcq, "SUMMARY": exam.format_summary}
    return layouts[kind](notes, count)


def _question_count(request: GenerationRequest, text: str) -> int:
    given = request.metadata.get("num_questions", "")
    if not (given.isascii() and given.isdecimal()):
        found = _BOUND.search(text)
        given = (found[1] or found[2]) if found else "5"
    return max(1, min(int(given), MAX_QUESTIONS))


def _free(scribe: Scribe) -> str:
    reading = scribe.reading
    if phase := phases.phase_of(reading.purpose, reading.instructions):
        return phases.write_phase(phase, scribe)
    wanted = reading.words
    match reading.purpose.rpartition(".")[2]:
        case "title":
            return exhibition.title(scribe)
        case "subtitle":
            return exhibition.subtitle(scribe)
        case "statement" | "curatorial_statement":
            return exhibition.statement(scribe, *(wanted or (200, 250)))
        case "rationale" | "scholarly_rationale":
            return exhibition.rationale(scribe, *(wanted or (150, 200)))
        case "audience":
            return exhibition.audience(scribe)
        case "complexity":
            return exhibition.complexity(scribe)
    return chat.converse(scribe)


def _called(tool: JSON, scribe: Scribe) -> JSON:
    """Give the event of a completed call that nobody made, and that says so."""
    function = tool.get("function")
    nested = function.get("name") if isinstance(function, dict) else None
    name = str(tool.get("name") or nested or tool.get("type") or "tool")
    note = f"Simulated: nothing was called. The question was about {scribe.reading.topic}."
    return {
        "status": "completed",
        "tool": name,
        "data": {"simulated": True, "query": scribe.reading.topic, "note": note},
    }
