"""Reading what sources write: years, names, and words that are the same but for their dress.

The one rule: pure functions of text. What cannot be read for certain is None. Must not import
anything of the engine.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_YEAR = re.compile(r"(?<!\d)(1[0-9]{3}|20[0-9]{2})(?!\d)")
_LIFE = re.compile(
    r"\((?:[^()–-]*[^\d()–-])?(1[0-9]{3}|20[0-9]{2})\s*[–-](?:[^()–-]*?(1[0-9]{3}|20[0-9]{2}))?\s*\)"
)
_BORN = re.compile(r"\b(?:born|b\.)[^()]*?(1[0-9]{3}|20[0-9]{2})")
_WORD = re.compile(r"[^\W_]+")


def plain(text: str) -> str:
    """Fold case and accents and keep letters and digits: "Dalí, S." becomes "dali s"."""
    return _remembered(text) if len(text) <= 200 else _fold(text)  # bounds the cache's memory


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).casefold().replace("ø", "o").replace("ł", "l")
    folded = unicodedata.normalize("NFKD", folded)  # a folded letter may be one that divides
    bare = "".join(char for char in folded if not unicodedata.combining(char))
    return " ".join(_WORD.findall(bare))


_remembered = lru_cache(maxsize=8192)(_fold)


def person_key(name: str) -> str:
    """One key for all orders and usual forms of a name, for indexes.

    "Gogh, Vincent van" and "Vincent van Gogh" have one key, and so have "Rembrandt" and "Rembrandt
    van Rijn". A name with no letter has the empty key.
    """
    words = " ".join(sorted(set(plain(name).split())))
    return _KNOWN_AS.get(words, words)


def is_same_person(one: str, other: str) -> bool:
    """Whether two spellings name one person.

    The words are the same in any order; or the longer form has further names ("Vincent Willem van
    Gogh"), but none that makes another person of it ("the Younger", "workshop of"); or the shorter
    is the surname alone.
    """
    left, right = person_key(one), person_key(other)
    if not left or not right:
        return False
    if left == right:
        return True
    short, long = sorted((left.split(), right.split()), key=len)
    further = set(long) - set(short)
    if not set(short) < set(long) or not further.isdisjoint(_OTHERS):
        return False
    if len(short) > 1:
        return True
    longer = one if len(plain(one).split()) == len(long) else other
    return len(short[0]) >= 5 and plain(longer).split()[-1] == short[0]


_OTHERS = frozenset(
    {"elder", "younger", "junior", "senior", "jr", "sr", "ii", "iii", "son", "brother", "sister"}
    | {"after", "attributed", "circle", "copy", "follower", "imitator", "manner", "school"}
    | {"studio", "style", "workshop", "unknown", "and"}
)

_KNOWN_AS = {
    " ".join(sorted(set(short.split()))): " ".join(sorted(set(full.split())))
    for short, full in (
        ("rembrandt", "rembrandt van rijn"),
        ("rembrandt harmenszoon van rijn", "rembrandt van rijn"),
        ("michelangelo", "michelangelo buonarroti"),
        ("raphael", "raffaello sanzio"),
        ("titian", "tiziano vecellio"),
        ("caravaggio", "michelangelo merisi da caravaggio"),
        ("caravaggio michelangelo merisi", "michelangelo merisi da caravaggio"),
        ("leonardo", "leonardo da vinci"),
        ("hokusai", "katsushika hokusai"),
        ("hiroshige", "utagawa hiroshige"),
        ("utamaro", "kitagawa utamaro"),
        ("el greco", "domenikos theotokopoulos"),
        ("el greco domenikos theotokopoulos", "domenikos theotokopoulos"),
        ("jan vermeer", "johannes vermeer"),
        ("francisco de goya", "francisco goya"),
        ("francisco jose de goya y lucientes", "francisco goya"),
        ("goya francisco de goya y lucientes", "francisco goya"),
        ("joseph mallord william turner", "j m w turner"),
        ("j m w turner", "j m w turner"),
        ("vasily kandinsky", "wassily kandinsky"),
        ("vasily vasilyevich kandinsky", "wassily kandinsky"),
        ("kazimir severinovich malevich", "kazimir malevich"),
        ("james abbott mcneill whistler", "james mcneill whistler"),
    )
}


def years_in(text: str) -> list[int]:
    """All years from 1000 to 2099 that stand in a text, in order: "1907–08" gives [1907]."""
    return [int(found) for found in _YEAR.findall(text)]


def life_years(text: str) -> tuple[int | None, int | None]:
    """Read birth and death from a description: "Spanish artist (1904–1989)", "born 1936"."""
    if found := _LIFE.search(text):
        return int(found[1]), int(found[2]) if found[2] else None
    if found := _BORN.search(text):
        return int(found[1]), None
    return None, None


def whole_number(text: str | None) -> int | None:
    """Read an integer, also one with a fraction of zero; None for anything else."""
    try:
        return int(float(text)) if text and text.strip() else None
    except (ValueError, OverflowError):
        return None


def positive_number(text: str | None) -> float | None:
    """Read a positive number, rounded to hundredths; None for anything else."""
    try:
        number = float(text) if text and text.strip() else 0.0
    except ValueError:
        return None
    return round(number, 2) if 0 < number < 1e6 else None
