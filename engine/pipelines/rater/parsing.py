"""From what a rater wrote to an opinion and suggestions, whole or while it is being written.

The one rule: nothing is invented. An answer without an opinion and a suggestion is none, and an
answer that was meant as JSON and is broken is not read as plain lines.

Half-written JSON is read by jiter, pydantic's own parser: it takes any prefix of a JSON text in one
call, keeps the string that is just being written, and is there with the OpenAI SDK anyway. Pure.
"""

from __future__ import annotations

import re
from typing import Any

import jiter
import msgspec

from engine.events import JSON

MAX_CHARACTERS = 200_000
"""The longest answer that is read; a rater's answer has about 2,000."""

_FENCED = re.compile(r"```[A-Za-z]*[ \t]*\n(.*?)```", re.DOTALL)
_MARKER = re.compile(r"^(?:[-*•–—]|\(?[0-9]{1,3}[.)])\s+")
_LABEL = re.compile(r"^[#*_\s]*(?:opinion|suggestions?|feedback)[*_\s]*:[*_\s]*", re.IGNORECASE)
_SUGGESTION_KEYS = ("suggestion", "text", "content", "description")


class Feedback(msgspec.Struct, frozen=True):
    """What a rater says."""

    opinion: str
    suggestions: tuple[str, ...]

    def as_json(self) -> JSON:
        """Give it in the wire's form."""
        return {"opinion": self.opinion, "suggestions": list(self.suggestions)}


def parse_feedback(text: str) -> Feedback | None:
    """Read a whole answer; None: an opinion and at least one suggestion cannot be had from it.

    Tried in this order: the whole text as JSON, a fenced block, the widest `{…}`, plain lines
    (the first is the opinion, the others are suggestions).
    """
    text = text.strip()
    if not text or len(text) > MAX_CHARACTERS:
        return None
    for candidate in (text, *_FENCED.findall(text), _widest(text)):
        found = _read_object(candidate)
        if found is not None:
            return found
    return None if _was_meant_as_json(text) else _read_lines(text)


def parse_partial(text: str) -> Feedback | None:
    """Read as much as can be read yet of an answer that is being written.

    The last suggestion may be incomplete. None: nothing can be read yet.
    """
    start = text.find("{")
    if start < 0 or len(text) > MAX_CHARACTERS:
        return None
    data = text[start:].encode("utf-8", "replace")
    try:
        value = jiter.from_json(data, partial_mode="trailing-strings")
    except ValueError:
        # What follows a whole object is the end of a fence, or talk; what is broken stays broken.
        return parse_feedback(text)
    opinion, suggestions = _fields(value)
    if not opinion and not suggestions:
        return None
    return Feedback(opinion, suggestions)


def _widest(text: str) -> str:
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else ""


def _read_object(text: str) -> Feedback | None:
    try:
        value = jiter.from_json(text.encode("utf-8", "replace"))
    except ValueError:
        return None
    opinion, suggestions = _fields(value)
    return Feedback(opinion, suggestions) if opinion and suggestions else None


def _fields(value: Any) -> tuple[str, tuple[str, ...]]:
    """Give opinion and suggestions of a JSON value, each empty where it is not there."""
    if not isinstance(value, dict):
        return "", ()
    fields = {str(key).strip().casefold(): each for key, each in value.items()}
    inner = fields.get("feedback")
    if isinstance(inner, dict) and "opinion" not in fields:
        return _fields(inner)
    opinion = fields.get("opinion")
    listed = fields.get("suggestions", fields.get("suggestion"))
    if isinstance(listed, str):
        listed = listed.splitlines()
    if not isinstance(listed, list):
        listed = []
    suggestions = tuple(words for words in map(_suggestion, listed) if words)
    return (opinion.strip() if isinstance(opinion, str) else ""), suggestions


def _suggestion(value: Any) -> str:
    if isinstance(value, dict):
        lowered = {str(key).casefold(): each for key, each in value.items()}
        value = next((lowered[key] for key in _SUGGESTION_KEYS if key in lowered), "")
    return _MARKER.sub("", value.strip()).strip() if isinstance(value, str) else ""


def _was_meant_as_json(text: str) -> bool:
    """Whether a text is broken JSON rather than prose: its lines would be brackets and keys."""
    return bool(re.search(r"^\s*[{\[]|\"(?:opinion|suggestions)\"\s*:", text, re.MULTILINE))


def _read_lines(text: str) -> Feedback | None:
    lines = [_plain(line) for line in text.splitlines()]
    lines = [line for line in lines if any(character.isalnum() for character in line)]
    if len(lines) < 2:
        return None
    return Feedback(lines[0], tuple(lines[1:]))


def _plain(line: str) -> str:
    """Give a line without the mark of its list and without a label."""
    return _MARKER.sub("", _LABEL.sub("", line.strip())).strip()
