"""Reads a request as a writer would: what it is about, who asks whom, and how long to answer.

What a template wraps around the user's own text (tags, fences, labels) is told from the text
itself, so that an answer is made of the user's words. Metadata is a hint: without it, the
instructions say the same. Pure, and bounded by `words.MAX_CHARS`.
"""

from __future__ import annotations

import re

import msgspec

from engine.providers.interface import GenerationRequest
from engine.providers.simulation.phrases import key_phrases
from engine.providers.simulation.words import (
    MAX_CHARS,
    join_words,
    lower_first,
    sentences,
)

MAX_TOPIC_WORDS = 10
MAX_PHRASES = 12


class Speech(msgspec.Struct, frozen=True):
    """What somebody said earlier, or another persona beside."""

    speaker: str
    topic: str
    text: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for."""

    purpose: str
    persona: str
    instructions: str
    asked: str
    """The last user message, whole."""
    material: str
    """The user's own text in it, without what a template wraps around it."""
    topic: str
    """What it is about, as a phrase that fits into a sentence."""
    phrases: tuple[str, ...]
    """Its key phrases, at least one."""
    sentences: tuple[str, ...]
    earlier: tuple[Speech, ...] = ()
    """What the user asked in earlier turns, the oldest first."""
    others: tuple[Speech, ...] = ()
    """What others than the answering persona said."""
    words: tuple[int, int] | None = None
    """How many words are wanted, at least and at most."""


MAX_WRAPPINGS = 32
"""Opening tags that are looked at: a text of nothing but tags costs no more than this."""

_TAG = re.compile(r"<([a-zA-Z][\w-]*)>")
_LABEL = re.compile(
    r"^\s*(?:#+\s*|\*\*)?([A-Za-z][\w '’/()-]{1,48}?)(?:\*\*)?:(?:\*\*)?[ \t]*(.*)$"
)
_OWN_TEXT = re.compile(
    r"\b(text|notes?|input|idea|draft|prompt|material|source|plot ?point|message|question|content"
    r"|theme|request|passage|brief|title|description)\b",
    re.IGNORECASE,
)
_BESIDE = re.compile(r"context|tags?$|earlier|example|background|instructions|critique|errors?$")
"""Tags around what is no text to work on."""
_TITLE = re.compile(
    r"^[ \t\"*#-]{0,8}(?:theme|theme[ _]title|working title)[\"*]{0,3}:[\"* ]{0,4}([^\"\n]{5,200})",
    re.IGNORECASE | re.MULTILINE,
)
_CONCEPTS = re.compile(
    r"^[ \t\"*#-]{0,8}(?:theme[ _]|key[ _])?concepts?[\"*]{0,3}:[\"* ]{0,4}([^\n]{3,400})",
    re.IGNORECASE | re.MULTILINE,
)
_WORD_RANGE = re.compile(
    r"(?:between\s+)?(\d{1,5})\s*(?:to|-|–|and)\s*(\d{1,5})\s+words", re.IGNORECASE
)
_WORD_LIMIT = re.compile(
    r"(?:at most|up to|under|no more than|maximum of|within|fewer than|less than)\s+"
    r"(\d{1,5})\s+words",
    re.IGNORECASE,
)
_POLITE = re.compile(
    r"^(?:(?:hi|hello|hey|ok|okay|well|so|now|please|thanks|thank you|and|but)\b[,!. ]*)*"
    r"(?:(?:can|could|would|will) you (?:please )?"
    r"|i(?:'d| would)? (?:want|need|like) (?:you )?to )?",
    re.IGNORECASE,
)
_LEADS: tuple[tuple[re.Pattern[str], str | None], ...] = tuple(
    (re.compile(rf"^(?:{lead})\s+(?=\S)", re.IGNORECASE), noun)
    for lead, noun in (
        (r"how (?:do|does|did|can|could|should|would|might) (?:i|we|you|one|people)", "how to "),
        (r"(?:should|shall|can|could) (?:i|we|you|one)", "the question whether to "),
        (r"what(?:'s| is| are)? the best way to|tell (?:me|us) how to", "how to "),
        (r"(?:tell|teach|show|give|remind) (?:me|us) (?:more )?"
         r"(?:about|your \w+ (?:on|of|about))", ""),
        (r"(?:give|show|tell|write|make|draft|build|find) (?:me|us)", ""),
        (r"(?:explain|describe|discuss|summari[sz]e|compare|analy[sz]e|outline|define|review)"
         r"(?: to (?:me|us))?", ""),
        (r"what(?:'s| is| are) your (?:view|opinion|take|thoughts|advice) (?:on|of|about)", ""),
        (r"what do you (?:all )?think (?:about|of)|what about|how about", ""),
        (r"what (?:makes|happens to|happens with)", ""),
        (r"what(?:'s| is| are| was| were)", ""),
        (r"(?:write|create|draft|make|build|design|generate|compose|produce|develop|prepare"
         r"|plan)", ""),
        (r"(?:why|how|when|where|which|who|what|is|are|do|does|did|can|should|would|will)", None),
    )
)  # fmt: skip
"""How a request begins, and what its rest needs to be a noun phrase; None: it is a clause."""


def read_request(request: GenerationRequest) -> Reading:
    """Read a request."""
    persona = request.metadata.get("persona", "")
    users = [m for m in request.messages if m.role == "user" and m.name in (None, "", "user")]
    asked = users[-1].content if users else (request.messages or (None,))[-1]
    asked = asked if isinstance(asked, str) else (asked.content if asked else request.instructions)
    asked = asked[: 4 * MAX_CHARS]
    system = "\n".join(m.content for m in request.messages if m.role == "system")
    instructions = f"{request.instructions}\n{system}".strip()
    material = _own_text(asked)
    title, named = _title(asked), _named(asked)
    phrases = _phrases(material) or _phrases(asked) or _phrases(instructions)
    if title:
        phrases = list(dict.fromkeys([*named, *key_phrases(title, 3), *phrases]))[:MAX_PHRASES]
    topic = title or topic_of(material, phrases)
    return Reading(
        purpose=request.metadata.get("purpose", ""),
        persona=persona,
        instructions=instructions,
        asked=asked,
        material=material,
        topic=topic,
        phrases=tuple(phrases) or (topic,),
        sentences=tuple(sentences(material)),
        earlier=tuple(
            Speech("user", topic_of(m.content, _phrases(m.content)), m.content)
            for m in users[:-1][-3:]
        ),
        others=_others(request, asked, persona),
        words=words_wanted(asked[-2_000:]) or words_wanted(instructions),
    )


def _phrases(text: str) -> list[str]:
    return key_phrases(text, MAX_PHRASES, articles=True)


def _title(asked: str) -> str:
    found = _TITLE.search(asked[:MAX_CHARS])
    return found[1].strip(" .,") if found else ""


def _named(asked: str) -> list[str]:
    found = _CONCEPTS.search(asked[:MAX_CHARS])
    items = re.split(r"[,;]", found[1]) if found else []
    return [word for item in items[:6] if (word := item.strip(" .\"'[]"))]


def words_wanted(text: str) -> tuple[int, int] | None:
    """Read "200 to 250 words" or "at most 80 words" out of a text."""
    if found := _WORD_RANGE.search(text):
        least, most = sorted((int(found[1]), int(found[2])))
        return (least, most) if most else None
    if found := _WORD_LIMIT.search(text):
        most = int(found[1])
        return (max(1, most // 2), most) if most else None
    return None


def topic_of(text: str, phrases: list[str]) -> str:
    """Name what a text is about, as a noun phrase: its question without the asking, or its phrases.

    Args:
        text: what somebody said.
        phrases: its key phrases.
    """
    said = sentences(text)
    asked = (
        next((s for s in reversed(said) if s.endswith("?")), None) if len(text) < 1_000 else None
    )
    first = _POLITE.sub("", asked or next(iter(said), ""))
    for lead, noun in _LEADS:
        if found := lead.match(first):
            bare = first[found.end() :].strip(" .?!:,;\"'")
            if noun is not None and 0 < len(bare.split()) <= MAX_TOPIC_WORDS:
                return noun + lower_first(bare)
            break
    else:
        if 0 < len(first.split()) <= 5 and not first.endswith((".", "!", "?", ":")):
            return lower_first(first)
    return join_words(phrases[:2]) or "this"


def _own_text(asked: str) -> str:
    wrapped = _wrapped(asked)
    own = [text for tag, text in wrapped if _OWN_TEXT.search(tag.replace("_", " "))]
    others = [text for tag, text in wrapped if not _BESIDE.match(tag)]
    if found := (own or [max(others, key=len, default="")])[0].strip():
        return found
    sections: list[tuple[str, list[str]]] = [("", [])]
    for line in asked.splitlines():
        label = _LABEL.match(line)
        if label and len(label[1].split()) <= 5:
            sections.append((label[1], [label[2]]))
        else:
            sections[-1][1].append(line)
    own = ["\n".join(lines).strip() for name, lines in sections if _OWN_TEXT.search(name)]
    longest = max(own, key=len, default="")
    return longest if len(longest) >= 10 else asked.strip()


def _wrapped(asked: str) -> list[tuple[str, str]]:
    """Give (tag, text) of what stands between tags or fences; a fence's tag is empty."""
    found = []
    for number, tag in enumerate(_TAG.finditer(asked)):
        if number == MAX_WRAPPINGS:
            break
        end = asked.find(f"</{tag[1]}>", tag.end())
        # A text that was cut for its length has lost its closing tag.
        if end >= 0 or len(asked) == 4 * MAX_CHARS:
            found.append((tag[1], asked[tag.end() : end if end >= 0 else None]))
    for fence in ('"' * 3, "`" * 3):
        found.extend(("", text) for text in asked.split(fence)[1::2])
    return found


_SAID = re.compile(
    r"^[ \t]{0,8}(?:[-*] {0,3})?\*{0,2}([A-Za-z][\w .'-]{1,40}?)\*{0,2} ?(?:\([^)\n]{0,40}\))? ?"
    r"(?:said|says|answered|wrote|argued)?:\*{0,2}[ \t]{1,4}(\S.{14,})$",
    re.MULTILINE,
)


def _others(request: GenerationRequest, asked: str, persona: str) -> tuple[Speech, ...]:
    said: dict[str, str] = {}
    for message in request.messages:
        if message.name and message.name not in (persona, "user") and message.role != "system":
            said[message.name] = message.content
    if not said and re.search(r"\b(others?|answers?|round|said|colleagues)\b", asked):
        said = {m[1]: m[2] for m in _SAID.finditer(asked) if m[1].lower() not in ("user", "you")}
    return tuple(
        Speech(name.replace("_", " "), topic_of("", _phrases(text)), text)
        for name, text in list(said.items())[:8]
        if name != persona
    )
