"""Sets a voice's sentences with a request's words, to the length that is wanted.

No sentence is used twice before all were used. Deterministic by its `rng`. Pure.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence

from engine.providers.simulation.reading import Reading
from engine.providers.simulation.voices import Voice
from engine.providers.simulation.words import is_plural, upper_first

FILLERS = ("the practical side", "the timing", "the starting point")
"""Stand in for key phrases where a request has fewer than three."""


class Scribe:
    """Writes sentences about one request in one voice.

    Args:
        reading: what the request is about.
        voice: how to talk.
        rng: where choices come from.
        breadth: from 0 to 1: how much of a stock is used; a low temperature keeps to its head.
    """

    def __init__(
        self, reading: Reading, voice: Voice, rng: random.Random, *, breadth: float = 1.0
    ) -> None:
        self.reading = reading
        self.voice = voice
        self.rng = rng
        self.breadth = breadth
        self._phrases = [*reading.phrases, *FILLERS][: max(3, len(reading.phrases))]
        self._turn = 0

    def one_of(self, stock: Sequence[str]) -> str:
        """Choose a sentence of a stock and set it."""
        head = max(1, round(len(stock) * (0.4 + 0.6 * self.breadth)))
        return self.set(self.rng.choice(stock[:head]))

    def some_of(self, stock: Sequence[str], count: int) -> list[str]:
        """Choose several different sentences of a stock and set them."""
        return [self.set(line) for line in self.rng.sample(stock, min(count, len(stock)))]

    def set(self, line: str) -> str:
        """Put the request's words into a sentence; each sentence moves on to further phrases."""
        a, b, c = self._next_phrases()
        return upper_first(set_words(line, {"t": self.reading.topic, "a": a, "b": b, "c": c}))

    def _next_phrases(self) -> tuple[str, str, str]:
        phrases, turn = self._phrases, self._turn
        self._turn += 1
        if turn == 0:
            return phrases[0], phrases[1], phrases[2]
        a, b, c = self.rng.sample(phrases[: 8 if len(phrases) > 3 else 3], 3)
        return a, b, c

    def endless(self) -> Iterator[str]:
        """Give one point after the other; after the whole stock it begins again, in new order."""
        while True:
            yield from self.some_of(self.voice.points, len(self.voice.points))

    def fit_words(self, start: Sequence[str], least: int, most: int, end: str = "") -> str:
        """Write `start`, points and `end`, in paragraphs, in at least and at most so many words."""
        end_words = len(end.split())
        lines = list(start)
        while len(lines) > 1 and sum(len(line.split()) for line in lines) + end_words > most:
            lines.pop()
        count = sum(len(line.split()) for line in lines) + end_words
        aim = (least + most) // 2
        for line in self.endless():
            if count >= aim or (count >= least and count + len(line.split()) > most):
                break
            room = most - count
            words = line.split()
            lines.append(line if len(words) <= room else _shorten(words, room))
            count += min(len(words), room)
        if end:
            lines.append(end)
        return _shorten_text(paragraphs(lines, 4), most)


_PLACE = re.compile(
    r"(?:\b(?P<before>of|between|about|in|on|for|from|than|under|around|to|with|off|against|into)\s)?"
    r"(?P<pair>\{[abc]\} and )?\{(?P<place>[tabc])\}"
    r"(?:(?P<gap> (?:only |also )?)(?P<verb>is|has|was|does|[a-z]+s)\b)?"
)
_IRREGULAR = {"is": "are", "has": "have", "was": "were", "does": "do", "goes": "go"}
_NO_VERBS = frozenset({"as", "towards", "its", "this", "always", "perhaps", "besides"})


def set_words(line: str, words: Mapping[str, str]) -> str:
    """Put words into the places of a line; a verb after a plural subject agrees with it.

    Args:
        line: with places such as {a}; a word in -s right after one is its verb, unless a
            preposition before the place shows that the subject stands further left.
        words: what stands for each place.
    """

    def agreeing(found: re.Match[str]) -> str:
        place, verb = found["place"], found["verb"]
        left = f"{found['before']} " if found["before"] else ""
        pair = set_words(found["pair"], words) if found["pair"] else ""
        text = f"{left}{pair}{words[place]}"
        if not verb:
            return text
        is_subject = not left and (bool(pair) or is_plural(words[place]))
        if is_subject and verb not in _NO_VERBS:
            stem = re.sub(r"(?<=[^aeiou])ies$", "y", verb)
            verb = _IRREGULAR.get(verb) or (stem if stem != verb else re.sub(r"s$", "", verb))
        return f"{text}{found['gap']}{verb}"

    return _PLACE.sub(agreeing, line)


def _shorten(words: list[str], room: int) -> str:
    return " ".join(words[:room]).rstrip(",;:. ") + "."


def _shorten_text(text: str, most: int) -> str:
    words = text.split()
    return text if len(words) <= most else _shorten(words, most)


def paragraphs(lines: Sequence[str], each: int) -> str:
    """Join sentences to paragraphs of so many sentences; a last one alone joins its neighbour."""
    groups = [list(lines[start : start + each]) for start in range(0, len(lines), each)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        last = groups.pop()
        groups[-1] += last
    return "\n\n".join(" ".join(group) for group in groups)


def cut_to(text: str, most: int) -> str:
    """Cut a text to so many characters, between words where that is possible."""
    if len(text) <= most:
        return text
    head = text[:most]
    if not text[most : most + 1].isspace() and " " in head[most // 2 :]:
        head = head[: head.rindex(" ")]
    while head.rstrip(" ,;:").rpartition(" ")[2].lower() in _DANGLING and " " in head.strip():
        head = head.rstrip(" ,;:").rpartition(" ")[0]
    return head.rstrip(" ,;:-") or text[:most]


_DANGLING = frozenset(
    [
        "a",
        "an",
        "and",
        "at",
        "by",
        "for",
        "from",
        "in",
        "of",
        "on",
        "or",
        "that",
        "the",
        "to",
        "with",
    ]
)
