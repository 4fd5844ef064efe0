"""The texts of an exhibition: which there are, how long each may be, and what is cut.

The one rule: pure, and honest about length. A text that breaks its bounds is written once more;
what is too long after that is cut, at the end of a sentence where that leaves enough, and the
proposal says so. Nothing is ever added to a text that is too short. Must not import sessions or
providers.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

TextName = Literal[
    "exhibition_title",
    "subtitle",
    "curatorial_statement",
    "scholarly_rationale",
    "target_audience_refined",
    "complexity_level",
]
COMPLEXITY: Final = ("introductory", "intermediate", "advanced")


class TextRule(msgspec.Struct, frozen=True, kw_only=True):
    """What one text has to be."""

    name: TextName
    label: str
    """For people: "curatorial statement"."""
    purpose: str
    """The hint that goes with the request."""
    max_chars: int | None = None
    """A text with this bound is one line."""
    words: tuple[int, int] | None = None
    one_of: tuple[str, ...] = ()


RULES: Final = (
    TextRule(
        name="exhibition_title",
        label="exhibition title",
        purpose="exhibition.title",
        max_chars=50,
    ),
    TextRule(name="subtitle", label="subtitle", purpose="exhibition.subtitle", max_chars=120),
    TextRule(
        name="curatorial_statement",
        label="curatorial statement",
        purpose="exhibition.statement",
        words=(200, 250),
    ),
    TextRule(
        name="scholarly_rationale",
        label="scholarly rationale",
        purpose="exhibition.rationale",
        words=(150, 200),
    ),
    TextRule(
        name="target_audience_refined",
        label="target audience",
        purpose="exhibition.audience",
        max_chars=200,
    ),
    TextRule(
        name="complexity_level",
        label="complexity level",
        purpose="exhibition.complexity",
        one_of=COMPLEXITY,
    ),
)
"""In the order of `stage_complete`; the title is written first, for the others build on it."""

_DRESS = re.compile(r"^[\s\"'“”«»*_#]+|[\s\"'“”«»*_]+$")
_SENTENCE_END = re.compile(r"[.!?…][\"'”»)]*(?=\s|$)")


def undressed(text: str, rule: TextRule) -> str:
    """Give a text without what stands around it: space, and on a line quotes and marks as well."""
    if rule.one_of:
        words = re.findall(r"[a-z]+", text.lower())
        return next((word for word in words if word in rule.one_of), text.strip())
    return _DRESS.sub("", text) if rule.max_chars is not None else text.strip()


def fault_of(text: str, rule: TextRule) -> str:
    """Say what is wrong with a text, in a sentence for whoever writes it again; "" for nothing."""
    if not text:
        return f"The {rule.label} is empty."
    if rule.one_of and text not in rule.one_of:
        return f"The {rule.label} has to be one word: {', '.join(rule.one_of)}."
    if rule.max_chars is not None and "\n" in text:
        return f"The {rule.label} has to be one line."
    if rule.max_chars is not None and len(text) > rule.max_chars:
        return f"The {rule.label} has {len(text)} characters; at most {rule.max_chars} are allowed."
    if rule.words is not None:
        least, most = rule.words
        count = len(text.split())
        if not least <= count <= most:
            return f"The {rule.label} has {count} words; it has to have {least} to {most} words."
    return ""


def settled(text: str, rule: TextRule) -> tuple[str, str]:
    """Give what is taken of a text that broke its bounds twice, and a note that says so.

    Returns: ("", note) where nothing can be taken.
    """
    if not text:
        return "", f"No {rule.label} was written."
    if rule.one_of:
        return "", f"The {rule.label} was none of {', '.join(rule.one_of)}, and is left open."
    if rule.max_chars is not None:
        line = text.splitlines()[0].strip()
        cut = cut_chars(line, rule.max_chars)
        return cut, f"The {rule.label} was cut to {len(cut)} of {len(text)} characters."
    assert rule.words is not None
    least, most = rule.words
    count = len(text.split())
    if count < least:
        return text, f"The {rule.label} has {count} words, fewer than the {least} asked for."
    cut = cut_words(text, least, most)
    return cut, f"The {rule.label} was cut from {count} to {len(cut.split())} words."


def cut_chars(text: str, most: int) -> str:
    """Cut a line to so many characters, between words where that leaves half of them."""
    if len(text) <= most:
        return text
    head = text[: most - 1]
    space = head.rfind(" ")
    if text[most - 1] != " " and space >= most // 2:
        head = head[:space]
    return head.rstrip(" ,;:–-") + "…"


def cut_words(text: str, least: int, most: int) -> str:
    """Cut a text to so many words: after a sentence if `least` are left, else with an ellipsis."""
    words = list(re.finditer(r"\S+", text))
    if len(words) <= most:
        return text
    head = text[: words[most - 1].end()]
    for end in reversed([found.end() for found in _SENTENCE_END.finditer(head)]):
        if len(head[:end].split()) >= least:
            return head[:end]
    return head.rstrip(" ,;:–-") + "…"
