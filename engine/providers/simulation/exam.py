"""Exam texts: drafts, and the layouts that the content pipeline's validator passes.

The rules are those of the content pipeline's contract: MCQ with a title, a vignette, options from
A, answer, explanation, an analysis of each wrong option and key insights; NMCQ with vignettes and
numbered items; SUMMARY with numbered blocks. Every sentence is made of the notes' own words, with
no quotation marks and no talk of "the text". Pure.
"""

from __future__ import annotations

import random
import re

from engine.providers.simulation.phrases import key_phrases
from engine.providers.simulation.reading import Reading
from engine.providers.simulation.words import upper_first

LETTERS = "ABCDE"
MAX_FACT_WORDS = 40
MAX_FACT_CHARS = 400
MAX_TERMS = 40
MAX_FACTS = 60
"""Three for each of the twenty questions that can be asked for."""
_QUOTES = re.compile(r"[\"“”«»„‟]|(?<!\w)['‘’]|['‘’](?!\w)")
_WRONG = (
    "It is tempting to think of {wrong}, which belongs to the same subject; the statement is about "
    "{right}.",
    "The statement does not describe {wrong}, however often it is named beside {right}.",
    "To choose {wrong} is to take what accompanies {right} for the thing itself.",
    "In another context {wrong} could be the answer, but not to this statement.",
)
_ATTRIBUTION = re.compile(
    r"^\s*(?:(?:according to|as (?:stated|described|noted) in|based on|per) (?:the|this|these) "
    r"\w+,?\s*|(?:the|this) (?:text|passage|author|source|article|notes?) "
    r"(?:states?|says?|notes?|mentions?|explains?|describes?|suggests?)(?: that)?,?\s*)",
    re.IGNORECASE,
)
_FORMAL = re.compile(
    r"^\W*(?:question \d|(?:correct )?answer\b|explanation\b|analysis of\b|distractors\b"
    r"|key insight|high.yield|clinical vignette|option\b|[A-Z][).](?:\s|$)|draft:|topic:"
    r"|the point to test\b|\d+[.):])",
    re.IGNORECASE,
)
"""How a line begins that would be read as a heading of the layout, or is one of a draft's own."""
_MEDICAL = re.compile(
    r"\b(?:patients?|clinical|diseases?|syndrome|therap\w+|diagnos\w+|symptoms?|acute|chronic|renal"
    r"|cardiac|infections?|tumou?rs?|doses?|drugs?|surg\w+|anatom\w+|blood)\b",
    re.IGNORECASE,
)
_NEUTRAL = (
    "A study group works through a case",
    "At an examination, a candidate is shown an example",
    "Two colleagues compare their notes on a case",
    "A trainee has to explain an observation",
    "A reviewer checks a report line by line",
)
_CLINICAL = (
    "A 54-year-old patient is seen in clinic",
    "During a ward round, a team reviews a case",
    "A 31-year-old patient comes to the emergency department",
    "A resident prepares a case for the morning conference",
    "A 67-year-old patient is referred for an opinion",
    "At a follow-up visit, a 45-year-old patient has questions",
)


class Notes:
    """What the user's notes say, as facts and terms to build questions from.

    Args:
        reading: the request; its material is the notes.
        rng: where choices come from.
    """

    def __init__(self, reading: Reading, rng: random.Random) -> None:
        self.rng = rng
        facts = [_plain(sentence) for sentence in reading.sentences]
        self.facts = [
            fact
            for fact in dict.fromkeys(facts)
            if 4 <= len(fact.split()) <= MAX_FACT_WORDS
            and len(fact) <= MAX_FACT_CHARS
            and not _FORMAL.match(fact)
        ][:MAX_FACTS]
        found = key_phrases(" ".join(self.facts), MAX_TERMS)
        self.terms = list(dict.fromkeys(term for term in map(_term, found) if term))
        self.settings = _CLINICAL if _MEDICAL.search(reading.material) else _NEUTRAL
        for spare in ("the underlying cause", "the first finding", "the usual course",
                      "the main risk", "the next step"):  # fmt: skip
            if len(self.terms) < 6:
                self.terms.append(spare)
        if not self.facts:
            self.facts = [f"{upper_first(self.terms[0])} is closely related to {self.terms[1]}."]

    def fact(self, index: int) -> str:
        """Give fact `index`, counting round."""
        return self.facts[index % len(self.facts)]

    def term_in(self, fact: str, index: int) -> str:
        """Give the term that a fact is about, else term `index`."""
        lowered = fact.lower()
        found = [term for term in self.terms if term.lower() in lowered]
        return found[index // len(self.facts) % len(found)] if found else self.term(index)

    def term(self, index: int) -> str:
        """Give term `index`, counting round."""
        return self.terms[index % len(self.terms)]

    def others(self, term: str, count: int, fact: str = "") -> list[str]:
        """Give so many other terms; those that a fact names itself only if there are no more."""
        rest = [other for other in self.terms if other != term]
        told = fact.lower()
        far = [other for other in rest if other.lower() not in told]
        return self.rng.sample(far if len(far) >= count else rest, count)


def _plain(sentence: str) -> str:
    text = _QUOTES.sub("", sentence).strip(" -–—:;,")
    text = upper_first(_ATTRIBUTION.sub("", text).strip())
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _term(phrase: str) -> str:
    return re.sub(r"[*_#`>]+", " ", _QUOTES.sub("", phrase)).strip(" .:;,-")


def format_mcq(notes: Notes, count: int) -> str:
    """Lay out exactly `count` questions with options, answer, explanation, analysis, insights."""
    return "\n\n".join(_question(notes, number) for number in range(1, count + 1))


def _question(notes: Notes, number: int) -> str:
    fact = notes.fact(number - 1)
    right = notes.term_in(fact, number - 1)
    options = [right, *notes.others(right, 3, fact)]
    notes.rng.shuffle(options)
    letter = LETTERS[options.index(right)]
    setting = notes.rng.choice(notes.settings)
    rival = notes.others(right, 1)[0]
    context = notes.fact(number)
    lines = [
        f"Question {number} - {upper_first(right)}",
        "",
        f"{setting}, and somebody brings up {rival}. One statement, however, settles the matter: "
        f"{_hide(fact, right)} What does the blank stand for?",
        "",
        *(f"{mark}) {upper_first(text)}" for mark, text in zip(LETTERS, options, strict=False)),
        "",
        f"Correct Answer: {letter}",
        "",
        "Explanation",
        f"{fact} The statement fits {right}, and none of the other options.",
        "",
        "Analysis of Other Options",
    ]
    for mark, text in zip(LETTERS, options, strict=False):
        if mark != letter:
            lines += [
                f"{mark}) " + notes.rng.choice(_WRONG).format(wrong=text, right=right),
                "",
            ]
    lines += [
        "Key Insights:",
        f"- {fact}",
        f"- {context}"
        if context != fact
        else f"- Tell {right} apart from {notes.others(right, 1)[0]}.",
    ]
    return "\n".join(lines)


def _hide(fact: str, term: str) -> str:
    """Say a fact with a blank for the term that it is about."""
    hidden, times = re.subn(re.escape(term), "____", fact, flags=re.IGNORECASE)
    return hidden if times else f"{fact} This concerns ____."


def format_nmcq(notes: Notes, count: int) -> str:
    """Lay out vignettes whose items are `count` in total, one vignette for about nine of them."""
    vignettes = max(1, round(count / 9))
    sizes = [count // vignettes + (place < count % vignettes) for place in range(vignettes)]
    blocks, at = [], 0
    for number, size in enumerate(sizes, 1):
        title = upper_first(notes.term(number - 1))
        body = f"{notes.rng.choice(notes.settings)}. {notes.fact(at)} {notes.fact(at + 1)}"
        items = [_item(notes, at + place, place + 1) for place in range(size)]
        blocks.append("\n\n".join([f"Clinical Vignette {number}: {title}", body, *items]))
        at += size
    return "\n\n".join(blocks)


def _item(notes: Notes, index: int, number: int) -> str:
    fact = notes.fact(index)
    term = notes.term_in(fact, index)
    other = notes.others(term, 1)[0]
    true = notes.rng.random() < 0.5
    match index % 3:
        case 0:
            text = fact if true else f"{upper_first(other)} is another name for {term}."
            lines = [f"{number}. True/False: {text}", f"Answer: {'True' if true else 'False'}"]
        case 1:
            asked = term if true else other
            lines = [
                f"{number}. Yes/No: Does {asked} fill the blank? {_hide(fact, term)}",
                f"Answer: {'Yes' if true else 'No'}",
            ]
        case _:
            options = [term, *notes.others(term, 2, fact)]
            notes.rng.shuffle(options)
            lines = [
                f"{number}. Drop Down: Choose what fills the blank. {_hide(fact, term)}",
                *(f"{mark}) {option}" for mark, option in zip(LETTERS, options, strict=False)),
                f"Answer: {LETTERS[options.index(term)]}",
            ]
    return "\n".join([*lines, f"Explanation: {fact} That decides the question of {term}."])


_SHORT = 40
"""Characters; below them a fact alone is hardly a point."""


def format_summary(notes: Notes, count: int) -> str:
    """Lay out numbered blocks with high-yield points and a key insight each."""
    blocks = []
    for number in range(1, max(1, min(count, len(notes.facts))) + 1):
        fact, further = notes.fact(2 * number - 2), notes.fact(2 * number - 1)
        term = notes.term_in(fact, number)
        points = [f"- {fact}"] + ([f"- {further}"] if further != fact else [])
        if len(fact) < _SHORT:  # the validator wants a point that says something
            points.append(f"- The notes say no more about {term} than this.")
        blocks.append(
            "\n".join(
                [
                    f"{number}. {upper_first(term)}",
                    "",
                    "High Yield Points:",
                    *points,
                    "",
                    "Key Insight:",
                    f"Understanding {term} means being able to tell it apart from "
                    f"{notes.others(term, 1)[0]}.",
                ]
            )
        )
    return "\n\n".join(blocks)


def draft(notes: Notes, kind: str, count: int) -> str:
    """Write a generator's draft: the same substance, before it is laid out."""
    lines = [f"Draft: {count} {'blocks' if kind == 'SUMMARY' else 'questions'} on {notes.term(0)}."]
    for index in range(count):
        fact = notes.fact(index)
        term = notes.term_in(fact, index)
        rivals = notes.others(term, 3)
        lines.append(
            f"{index + 1}) Topic: {term}. {fact} The point to test is {term}; close to it, and "
            f"wrong here, are {rivals[0]}, {rivals[1]} and {rivals[2]}."
        )
    return "\n\n".join(lines)
