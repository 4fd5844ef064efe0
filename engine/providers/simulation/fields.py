"""What the fields of a structured answer say, by their names, descriptions and the request.

A judge's `prompt_id` is one of the candidates, a `score` lies on the scale that is described, an
`opinion` reads like one and `suggestions` are specific sentences. A name that says nothing gets a
sentence about the topic. Pure.
"""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import Any

from engine.events import JSON
from engine.providers.simulation import exhibition
from engine.providers.simulation.prose import Scribe
from engine.providers.simulation.reading import words_wanted
from engine.providers.simulation.words import upper_first

MAX_ARTISTS = 50
"""Artists of one list, at most."""

_OPINIONS = (
    "The strongest thing here is {a}: it gives the whole its pull, and {b} profits from it.",
    "There is a clear idea in {t}, and {a} carries it further than one expects.",
    "I was held by {a}, less so by {b}, which stays a little too general.",
    "What works is the weight on {a}; what is missing is a consequence for {b}.",
    "It promises much about {a}, and it would gain if {b} were made to cost something.",
    "The move from {a} to {b} comes early, and the reader may not yet know why it matters.",
)
_SUGGESTIONS = (
    "Give {a} one concrete detail that can be seen, heard or touched.",
    "Say what is at stake for {b} before {a} comes into play.",
    "Slow the moment around {a} down by a sentence or two, so that {b} can register.",
    "Let {b} push back: an obstacle here would make {a} feel earned.",
    "Cut the general remark on {c} and show its effect on {a} instead.",
    "Plant a small hint of {b} earlier, so that it does not arrive from nowhere.",
    "End on {a} rather than on an explanation of it.",
    "Make clear from whose point of view {a} is seen.",
)
_REASONS = (
    "It states {a} and {b} most clearly and leaves the least to guess.",
    "It keeps to the request, names {a}, and turns {b} into something that can be checked.",
    "Its treatment of {a} is complete, it is concise about {b}, and it stays on the topic.",
    "{a} is covered in full and {b} is well organised; a tighter ending would raise it further.",
)
_DEFINITIONS = (
    "{a} names the way in which {b} and {c} come together.",
    "By {a} is meant, in this setting, whatever connects {b} with {c}.",
)
_STEPS = (
    "Write down what {a} has to achieve.",
    "Try it on one small case of {b}.",
    "Compare the outcome with what was said about {c}.",
    "Keep what worked for {a}, and drop the rest.",
)

_ID = re.compile(
    r"\b(?:prompt[_ ]?|candidate[_ ]?)?id[\"'`*]{0,3}\s{0,3}[:=]\s{0,3}[\"'`]?([\w-]{1,80})",
    re.IGNORECASE,
)
_SCALE = re.compile(
    r"(-?\d+(?:\.\d+)?)\s*(?:to|-|–|and|\.\.)\s*(-?\d+(?:\.\d+)?)|out of (\d+)", re.IGNORECASE
)
_COUNT = re.compile(r"\b(\d{1,3})\s*(?:to|-|–)\s*(\d{1,3})\b|\b(?:exactly|at least)?\s*(\d{1,3})\s")
_SENTENCES = re.compile(
    r"(\d)\s*(?:to|-|–)\s*(\d)\s+sentences|(\d|one|two|three)\s+sentences?", re.I
)
_NUMBER_WORDS = {"one": 1, "two": 2, "three": 3}

_KINDS: tuple[tuple[str, str], ...] = (
    (r"(?:^|_)(?:id|ids)$|prompt_?id|candidate_?id", "id"),
    (r"title|heading|headline", "title"),
    (r"subtitle|tagline", "subtitle"),
    (r"curatorial_?statement", "statement"),
    (r"rationale$|scholarly", "rationale"),
    (r"audience", "audience"),
    (r"complexity|difficulty", "complexity"),
    (r"suggestion|recommendation|improvement|feedback_?items", "suggestion"),
    (r"reason|justif|why|explanation|critique", "reason"),
    (r"opinion|feedback|review|assessment|verdict|comment|impression", "opinion"),
    (r"definition|meaning|context$", "definition"),
    (r"keyword|tags?$|concept|topics?$|themes?$|terms?$|movement|category|label", "phrase"),
    (r"question", "question"),
    (r"steps?$|actions?$|tasks?$|plan$", "step"),
    (r"artist(?:_?names?)?s?$", "artist"),
    (r"(?:^|_)names?$|author|speaker|person", "name"),
    (r"language|locale", "language"),
    (r"summary|abstract|description|overview|answer|text|content|body|response|message", "prose"),
)


class FieldTeller:
    """Tells what fields hold.

    Args:
        scribe: the writer, with what it read.
        invent: a list of artists gets one who never lived.
    """

    def __init__(self, scribe: Scribe, *, invent: bool = False) -> None:
        self._scribe = scribe
        self._ids = list(dict.fromkeys(_ID.findall(scribe.reading.asked)))
        self._stocks: dict[str, list[str]] = {}
        self._invent = invent
        self._about = exhibition.ARTISTS[0]
        """The artist whose fields are being told."""

    @cached_property
    def _artists(self) -> list[exhibition.Artist]:
        proposed = exhibition.proposed_artists(self._scribe, MAX_ARTISTS)
        return [proposed[0], exhibition.INVENTED, *proposed[1:]] if self._invent else proposed

    def text(self, path: tuple[str, ...], schema: JSON, index: int) -> str:
        """Say a string: what its name and description call for."""
        name = path[-1].lower() if path else ""
        described = str(schema.get("description", ""))
        if self._is_artist(path) and (told := self._about_artist(name, index)):
            return told
        if wanted := words_wanted(described):
            return (
                self._scribe.fit_words([], *wanted)
                if "statement" not in name and ("rationale" not in name)
                else self._long(name, wanted)
            )
        kind = next((k for pattern, k in _KINDS if re.search(pattern, name)), "")
        if name == "subtitle":
            kind = "subtitle"
        if counted := _SENTENCES.search(described):
            count = self._between(counted)
            stock = {"reason": _REASONS, "suggestion": _SUGGESTIONS}.get(kind, _OPINIONS)
            return " ".join(self._from(kind or "opinion", stock) for _ in range(count))
        return self._of_kind(kind, schema, index)

    def _long(self, name: str, wanted: tuple[int, int]) -> str:
        write = exhibition.statement if "statement" in name else exhibition.rationale
        return write(self._scribe, *wanted)

    def _of_kind(self, kind: str, schema: JSON, index: int) -> str:
        scribe, reading = self._scribe, self._scribe.reading
        most = schema.get("maxLength")
        if most is None and (
            limit := re.search(r"(\d+) characters", str(schema.get("description")))
        ):
            most = int(limit[1])
        match kind:
            case "id":
                ids = self._ids or [f"{reading.phrases[0].lower().replace(' ', '-')}-1"]
                chosen = ids[index % len(ids)] if index else scribe.rng.choice(ids)
                return str(chosen)
            case "title":
                return exhibition.title(scribe, most or 60)
            case "subtitle":
                return exhibition.subtitle(scribe, most or 120)
            case "statement":
                return exhibition.statement(scribe)
            case "rationale":
                return exhibition.rationale(scribe)
            case "audience":
                return exhibition.audience(scribe)
            case "complexity":
                return exhibition.complexity(scribe)
            case "suggestion":
                return self._from("suggestion", _SUGGESTIONS)
            case "reason":
                return self._from("reason", _REASONS)
            case "opinion":
                return " ".join(self._from("opinion", _OPINIONS) for _ in range(2))
            case "definition":
                return self._from("definition", _DEFINITIONS)
            case "phrase":
                return reading.phrases[index % len(reading.phrases)]
            case "question":
                return scribe.set("How does {a} depend on {b}?")
            case "step":
                return self._from("step", _STEPS)
            case "artist":
                return self._artists[index % len(self._artists)].name
            case "name":
                return upper_first(reading.phrases[index % len(reading.phrases)])
            case "language":
                return "en"
            case "prose":
                return " ".join(self._from("prose", scribe.voice.points) for _ in range(2))
        if most is not None and most < 60:
            return reading.phrases[index % len(reading.phrases)]
        return self._from("prose", scribe.voice.points)

    def number(self, path: tuple[str, ...], schema: JSON, low: float, high: float) -> float:
        """Say a number: on its scale, rather high than low for scores."""
        name = path[-1].lower() if path else ""
        if self._is_artist(path):
            if "birth" in name:
                return self._about.birth_year
            if "death" in name and self._about.death_year:
                return self._about.death_year
        if not (math.isfinite(low) and math.isfinite(high)):
            low, high = self._scale(name, str(schema.get("description", "")), low, high)
        share = self._scribe.rng.uniform(0.62, 0.94)
        if not re.search(r"score|confidence|rating|relevance|quality|probab|weight", name):
            share = self._scribe.rng.uniform(0.2, 0.8)
        digits = 2 if high - low <= 2 else 1
        return round(low + (high - low) * share, digits)

    def _scale(self, name: str, described: str, low: float, high: float) -> tuple[float, float]:
        bounds = (0.0, 10.0)
        if found := _SCALE.search(described):
            bounds = (0.0, float(found[3])) if found[3] else (float(found[1]), float(found[2]))
        elif re.search(r"confidence|probab|relevance|weight|share|ratio", name):
            bounds = (0.0, 1.0)
        elif "year" in name:
            bounds = (1850.0, 2000.0)
        least = low if math.isfinite(low) else min(bounds[0], high)
        most = high if math.isfinite(high) else max(bounds[1], least + 1)
        return min(least, most), most

    def choice(self, path: tuple[str, ...], values: list[Any]) -> Any:
        """Choose a value; null only where there is nothing else."""
        del path
        spoken = [value for value in values if value is not None]
        return self._scribe.rng.choice(spoken or values)

    def count(self, path: tuple[str, ...], schema: JSON, least: int, most: float) -> int:
        """Say how many items: as many as are described, else about four."""
        found = _COUNT.search(str(schema.get("description", "")) + " ")
        low, high = 3, 5
        if found:
            low, high = (int(found[3]),) * 2 if found[3] else (int(found[1]), int(found[2]))
        elif path and re.search(r"suggestion", path[-1]):
            low, high = 4, 6
        elif self._is_artist(path) or (path and "artist" in path[-1]):
            low, high = 12, 12
        wanted = self._scribe.rng.randint(min(low, high), max(low, high))
        return int(max(least, min(wanted, most, 200)))

    def _is_artist(self, path: tuple[str, ...]) -> bool:
        return len(path) > 1 and "artist" in path[-2]

    def _about_artist(self, name: str, index: int) -> str:
        del index
        if re.search(r"(?:^|_)name$", name):
            used = self._stocks.setdefault("artists", [a.name for a in reversed(self._artists)])
            chosen = used.pop() if used else self._artists[0].name
            self._about = next(a for a in self._artists if a.name == chosen)
            return chosen
        if "reason" in name or name in ("relevance", "why"):
            return exhibition.reason_for(self._about, self._scribe)
        if "movement" in name:
            return self._about.movements[0]
        return ""

    def _from(self, kind: str, stock: tuple[str, ...]) -> str:
        """Give a line of a stock, and none twice before all were used."""
        left = self._stocks.setdefault(kind, [])
        if not left:
            left.extend(self._scribe.rng.sample(stock, len(stock)))
        return self._scribe.set(left.pop())

    def _between(self, counted: re.Match[str]) -> int:
        if counted[3]:
            return _NUMBER_WORDS.get(counted[3].lower()) or int(counted[3])
        return self._scribe.rng.randint(int(counted[1]), max(int(counted[1]), int(counted[2])))
