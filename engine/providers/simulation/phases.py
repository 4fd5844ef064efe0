"""The three phases of a prompt: taken apart, written out, tightened.

What one phase writes the next one can read again: `Brief` is what they have in common. Pure.
"""

from __future__ import annotations

import re

import msgspec

from engine.providers.simulation.prose import Scribe, set_words
from engine.providers.simulation.words import MAX_CHARS, VERBS, join_words, lower_first, upper_first

PHASES = ("prima-materia", "solutio", "coagulatio")

_SIGNS = {
    "prima-materia": re.compile(
        r"prima.?materia|main task|takes? (?:the|a|this) (?:raw )?(?:idea|input) apart|raw idea",
        re.I,
    ),
    "solutio": re.compile(
        r"solutio\b|natural(?:,| and|ly)? .{0,40}(?:language|readable|engaging)", re.I
    ),
    "coagulatio": re.compile(
        r"coagulatio|remov\w+ redundan|sharpen\w* (?:the )?clarity|tighten", re.I
    ),
}
_CONSTRAINT = re.compile(
    r"\b(?:not|never|no|avoid|without|only|at most|no more than|limit|under|within"
    r"|must not|don't|exactly|maximum|minimum)\b",
    re.IGNORECASE,
)
_FORM = re.compile(
    r"\b(?:format|json|table|bullet|list of|markdown|paragraphs?|words|sections?|headings?|csv|yaml"
    r"|step.by.step|essay|email|diagram)\b",
    re.IGNORECASE,
)
_HEADS = {
    "main task": "task",
    "requirements": "requirements",
    "constraints": "constraints",
    "context": "context",
    "output form": "form",
    "settled": "settled",
}
_HEAD = re.compile(r"^[#* \t]{0,8}([A-Za-z ]{1,40}?)[*]*:[*]*\s*(.*)$")
_OPENERS = (
    "To begin with, ",
    "Beyond that, ",
    "Along the way, ",
    "It also matters to ",
    "In the same spirit, ",
    "Just as important, ",
)
_OPENER = re.compile(
    rf"^(?:{'|'.join(map(re.escape, _OPENERS))}|Please |Throughout, |For the result, "
    r"|As background, keep in mind: |One point is settled in advance: )"
)
_VERB = re.compile(
    r"^(?:write|create|draft|make|build|design|explain|describe|summari[sz]e|compare|plan|give|list"
    r"|develop|generate|prepare|produce|compose|analy[sz]e|help|show|tell|find|translate|review"
    r"|implement|outline|suggest|invent|teach|improve|refactor|fix|add|include|use|keep|avoid|cover"
    r"|support|state|name|define|provide|ensure|present|consider|evaluate|propose)\b",
    re.IGNORECASE,
)


class Brief(msgspec.Struct, kw_only=True):
    """What a prompt asks for, taken apart."""

    task: str = ""
    requirements: list[str] = []
    constraints: list[str] = []
    context: list[str] = []
    form: str = ""
    settled: str = ""


def phase_of(purpose: str, instructions: str) -> str | None:
    """Name the phase that a request is for, by its purpose or else by its instructions."""
    for phase in PHASES:
        if phase in purpose.replace("_", "-"):
            return phase
    if re.match(r"judge|score|rank|content|exhibition|rater|chat", purpose):
        return None
    return next((phase for phase in PHASES if _SIGNS[phase].search(instructions)), None)


def write_phase(phase: str, scribe: Scribe) -> str:
    """Turn the request's text into the phase's prompt."""
    brief = read_brief(scribe)
    match phase:
        case "prima-materia":
            return _take_apart(brief, scribe)
        case "solutio":
            return _write_out(brief, scribe)
        case _:
            return _tighten(brief, scribe)


def read_brief(scribe: Scribe) -> Brief:
    """Read a prompt in any of the forms: raw, taken apart, written out."""
    brief = Brief()
    head = ""
    for line in scribe.reading.material.splitlines():
        found = _HEAD.match(line)
        if found and found[1].strip().lower() in _HEADS:
            head, rest = _HEADS[found[1].strip().lower()], found[2]
        elif found and re.match(r"context|background", found[1], re.IGNORECASE):
            head, rest = "context", found[2]
        else:
            rest = line
        if head and rest.strip():
            _put(brief, head, rest)
    if not brief.task:
        _read_sentences(brief, scribe)
    return brief


def _put(brief: Brief, head: str, line: str) -> None:
    text = _clause(line)
    match head:
        case "task" | "form" | "settled":
            setattr(brief, head, f"{getattr(brief, head)} {text}".strip())
        case _:
            getattr(brief, head).append(text)


def _read_sentences(brief: Brief, scribe: Scribe) -> None:
    for sentence in scribe.reading.sentences:
        text = _clause(_OPENER.sub("", sentence))
        if sentence.startswith("As background, "):
            brief.context.append(text)
        elif sentence.startswith("One point is settled"):
            brief.settled = text
        elif not brief.task:
            brief.task = text
        elif sentence.startswith("For the result, ") or (_FORM.search(text) and not brief.form):
            brief.form = text
        elif sentence.startswith("Throughout, ") or _CONSTRAINT.search(text):
            brief.constraints.append(text)
        else:
            brief.requirements.append(text)
    brief.task = brief.task or f"write about {scribe.reading.topic}"


def _clause(text: str) -> str:
    return re.sub(r"^\s*(?:[-*•]|\d+[.)])\s*", "", text).strip().rstrip(".;: ")


def _asking(task: str) -> str:
    """Make a task an imperative clause: "a haiku" becomes "write a haiku"."""
    bare = re.sub(
        r"^(?:please\s+|(?:can|could|would) you (?:please )?"
        r"|i(?:'d| would)? (?:want|need|like) (?:you )?to )",
        "",
        task,
        flags=re.IGNORECASE,
    )
    bare = bare.rstrip("?").strip() or task  # it may have been a question mark and nothing else
    if _is_imperative(bare):
        return bare[0].lower() + bare[1:]
    if len(bare.split()) > 8 or re.match(
        r"(?:how|why|what|when|where|who|is|are|do|does)\b", bare, re.I
    ):
        return f"respond to this: {bare}"
    return (
        f"write {lower_first(bare)}"
        if bare.split()[0].lower() in ("a", "an", "the")
        else (f"work out {lower_first(bare)}")
    )


def _is_imperative(text: str) -> bool:
    return bool(_VERB.match(text)) or text.split(" ", 1)[0].lower() in VERBS


def _need(text: str) -> str:
    """Make a requirement an imperative clause."""
    if _is_imperative(text):
        return text[0].lower() + text[1:]
    if re.match(r"no\s+\w", text, re.IGNORECASE):
        return f"use {text[0].lower()}{text[1:]}"
    return f"remember that {lower_first(text)}"


_ADDED = (
    "Cover {a} explicitly, with at least one concrete example",
    "Say where {a} begins and where it ends",
    "Name the terms that the reader needs for {b}",
    "Take the ordinary case of {a} first, and the edge cases after it",
    "Give the reason for each choice that concerns {a}",
    "Say how one can tell that {b} came out right",
)
_FORMS = (
    "A structured text with short sections, beginning with {a}",
    "The short answer first, then the details on {a} in the order of their weight",
    "One complete piece with {a} at its centre, to which nothing has to be added",
)
_SETTLED = (
    "Where {a} could be read in more than one way, the sense that serves the main task is meant",
    "Where nothing is said about {b}, the usual choice is meant, and it is named",
    "Where {a} leaves room, the simplest reading that meets all requirements is meant",
)


def _take_apart(brief: Brief, scribe: Scribe) -> str:
    phrases = list(scribe.reading.phrases)
    requirements = [upper_first(text) for text in brief.requirements]
    words = {"a": phrases[0], "b": phrases[-1]}
    made = [set_words(text, words) for text in scribe.rng.sample(_ADDED, len(_ADDED))]
    if len(phrases) > 2:
        made[1] = set_words("Show how {a} bears on {b}", {"a": phrases[1], "b": phrases[2]})
    requirements += made[: max(2, 4 - len(requirements))]
    constraints = [upper_first(text) for text in brief.constraints] or [
        f"Stay with {join_words(phrases[:2])}; leave side issues out",
        "State assumptions openly instead of filling gaps with guesses",
    ]
    context = brief.context or _context_lines(scribe)
    form = upper_first(brief.form) or set_words(scribe.rng.choice(_FORMS), words)
    settled = brief.settled or set_words(scribe.rng.choice(_SETTLED), words)
    parts = [
        f"Main task: {upper_first(_asking(brief.task))}.",
        "Requirements:\n" + "\n".join(f"- {text}." for text in requirements),
        "Constraints:\n" + "\n".join(f"- {text}." for text in constraints),
    ]
    if context:
        parts.append("Context:\n" + "\n".join(f"- {text}." for text in context))
    return "\n\n".join([*parts, f"Output form: {form}.", f"Settled: {settled}."])


def _context_lines(scribe: Scribe) -> list[str]:
    found = re.search(
        r"^(?:<context>|[#* ]{0,6}(?:context|background)[^:\n]{0,40}:[* ]{0,4})\n?"
        r"((?:[^<\n].*\n?)+)",
        scribe.reading.asked[:MAX_CHARS],
        re.IGNORECASE | re.MULTILINE,
    )
    lines = [_clause(line) for line in found[1].splitlines()] if found else []
    return [line for line in lines if line and line not in scribe.reading.material][:10]


def _write_out(brief: Brief, scribe: Scribe) -> str:
    first = (
        "Please {task}. What counts is a text that somebody would read with pleasure to its end, "
        "and that leaves no doubt about what was asked.",
        "Please {task}. Write for a reader who is curious, short of time, and quick to notice "
        "when something is missing.",
        "Please {task}. Take the reader by the hand: begin where the question begins, and let each "
        "paragraph earn the next.",
    )
    task = _asking(brief.task)
    opening = scribe.rng.choice(first).replace("{task}", task)
    needs = [
        f"{_OPENERS[place % len(_OPENERS)]}{_need(text)}."
        for place, text in enumerate(brief.requirements)
    ]
    limits = [f"Throughout, {_need(text)}." for text in brief.constraints]
    context = [f"As background, keep in mind: {lower_first(text)}." for text in brief.context]
    ending = []
    if brief.form:
        form = brief.form if _VERB.match(brief.form) else f"aim for {lower_first(brief.form)}"
        ending.append(f"For the result, {lower_first(form)}.")
    if brief.settled:
        ending.append(f"One point is settled in advance: {lower_first(brief.settled)}.")
    blocks = [opening, " ".join(needs), " ".join([*context, *limits]), " ".join(ending)]
    return "\n\n".join(block for block in blocks if block)


_ORNAMENTS = re.compile(
    r"^(?:What counts is a text|Write for a reader who is curious|Take the reader by the hand)",
    re.I,
)


def _tighten(brief: Brief, scribe: Scribe) -> str:
    needs = [text for text in brief.requirements if not _ORNAMENTS.match(text)]
    limits = [text for text in brief.constraints if not _ORNAMENTS.match(text)]
    reading = scribe.reading
    target = _targets(f"{reading.instructions}\n{reading.asked}")
    lines = [f"{upper_first(_asking(brief.task))}{target}."]
    if brief.context:
        lines.append(f"Context: {'; '.join(brief.context)}.")
    points = [upper_first(_shorter(text)) for text in dict.fromkeys(needs)]
    if points:
        lines.append("Requirements:\n" + "\n".join(f"{n}. {t}" for n, t in enumerate(points, 1)))
    if limits:
        lines.append("Limits: " + "; ".join(_shorter(lower_first(text)) for text in limits) + ".")
    if brief.form:
        form = re.sub(r"^aim for ", "", brief.form)
        lines.append(f"Output: {lower_first(form)}.")
    if len(lines) == 1:
        lines.append(f"Keep to {join_words(list(reading.phrases[:3]))}; be brief and complete.")
    return "\n".join(lines)


def _shorter(text: str) -> str:
    text = re.sub(r"^remember that ", "", text)
    text = re.sub(r",? with at least one concrete example$", " with an example", text)
    return re.sub(r"\b(?:very|really|quite|explicitly|simply|clearly)\s+", "", text)


def _targets(text: str) -> str:
    """Read "target model: X", "persona: Y" and "use case: Z" out of a request's frame."""
    named = []
    for sign, frame in (
        (r"target[ _]?model", "for {}"),
        (r"persona", "in the {} persona"),
        (r"(?:target[ _]?)?use[ _]?case", "for use in {}"),
    ):
        found = re.search(
            rf"\b{sign}\s*[:=]\s*[\"'`*]*([^\n\"'`*;,.]{{2,60}})", text, re.IGNORECASE
        )
        value = found[1].strip() if found else ""
        if value and value.lower() not in ("none", "not specified", "generic"):
            named.append(frame.format(value))
    return f" ({', '.join(named)})" if named else ""
