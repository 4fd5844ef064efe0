"""Words that belong together in themes: "dreams" finds what is tagged "sleep" or "the unconscious".

The one rule: pure, and small on purpose. It widens a search and never says anything about a work;
a match by a related word counts less than one by the word itself (`scoring`). Must not import
anything of the engine but `wording`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

from engine.knowledge.wording import plain

_FAMILIES: tuple[tuple[str, ...], ...] = (
    (
        "dream",
        "sleep",
        "unconscious",
        "subconscious",
        "surrealism",
        "nightmare",
        "vision",
        "fantasy",
    ),
    ("water", "sea", "river", "ocean", "wave", "lake", "bathing", "boat", "harbour", "rain"),
    ("city", "urban", "street", "metropolis", "architecture", "cafe", "crowd", "town"),
    ("labour", "labor", "work", "worker", "industry", "factory", "harvest", "peasant"),
    ("night", "nocturne", "darkness", "moon", "star", "evening"),
    ("portrait", "face", "likeness", "self-portrait", "identity", "self"),
    ("war", "violence", "battle", "soldier", "conflict", "massacre", "revolution"),
    ("peace", "harmony", "reconciliation"),
    ("garden", "flower", "plant", "botany", "botanical", "tree"),
    ("nature", "landscape", "wilderness", "environment", "mountain", "forest", "ecology"),
    ("colour", "color", "chromatic", "hue", "colour field"),
    ("machine", "technology", "mechanical", "speed", "industry", "modernity", "progress"),
    ("light", "luminosity", "sunlight", "shadow", "sunrise", "chiaroscuro"),
    ("memory", "time", "nostalgia", "past", "history", "remembrance"),
    ("death", "mortality", "mourning", "skull", "vanitas", "grief"),
    ("love", "desire", "couple", "kiss", "eros", "intimacy"),
    ("body", "nude", "figure", "anatomy", "gender"),
    ("women", "woman", "feminism", "feminine", "female", "gender"),
    ("mother", "motherhood", "family", "child", "childhood"),
    ("myth", "mythology", "legend", "goddess", "gods", "antiquity"),
    ("faith", "religion", "sacred", "spiritual", "spirituality", "bible", "christianity"),
    ("power", "politics", "protest", "revolution", "justice", "freedom"),
    ("migration", "exile", "diaspora", "displacement", "journey"),
    ("slavery", "race", "racism", "civil rights", "african american"),
    ("everyday life", "domestic", "interior", "genre scene", "household"),
    ("food", "still life", "fruit", "table", "feast"),
    ("music", "dance", "theatre", "performance", "rhythm"),
    ("animal", "horse", "bird", "cat", "dog", "fish"),
    ("geometry", "abstraction", "abstract", "grid", "line", "form"),
    ("emotion", "anxiety", "loneliness", "melancholy", "solitude", "alienation", "despair"),
    ("consumption", "consumerism", "advertising", "celebrity", "mass media", "popular culture"),
    ("weather", "storm", "snow", "winter", "wind", "cloud", "season", "spring", "summer", "autumn"),
    ("paris", "france", "montmartre"),
    ("metamorphosis", "transformation", "hybrid", "illusion", "paradox"),
)


def stem(word: str) -> str:
    """Cut the endings that make a plural or a derived word: "dreaming" and "dreams" are "dream".

    Rough on purpose, and used on both sides of every comparison.
    """
    for ending, floor in (("ies", 4), ("ing", 6), ("es", 5), ("s", 4), ("ed", 6)):
        if word.endswith(ending) and len(word) >= floor and not word.endswith("ss"):
            bare = word[: -len(ending)]
            return bare + "y" if ending == "ies" else bare.removesuffix("e")
    return word.removesuffix("e") if len(word) > 2 else word


def stems(text: str) -> frozenset[str]:
    """The stems of a text's words, without the words that carry nothing."""
    return _remembered(text) if len(text) <= 200 else _stems(text)  # bounds the cache's memory


def _stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in plain(text).split() if word not in _EMPTY)


_remembered = lru_cache(maxsize=4096)(_stems)


@lru_cache(maxsize=1024)
def related(concept: str) -> tuple[str, ...]:
    """Words of the families that a concept belongs to, without its own."""
    own = stems(concept)
    found: dict[str, None] = {}
    for family in _families():
        if any(word_stems <= own for word_stems in family.values()):
            found.update(
                dict.fromkeys(word for word, word_stems in family.items() if not word_stems <= own)
            )
    return tuple(found)


@cache
def _families() -> tuple[dict[str, frozenset[str]], ...]:
    """The families, each word with its stems."""
    return tuple({word: stems(word) for word in family} for family in _FAMILIES)


def expanded(concepts: Iterable[str]) -> tuple[str, ...]:
    """The concepts, then all their related words, each once."""
    given = tuple(concepts)
    return tuple(dict.fromkeys((*given, *(word for each in given for word in related(each)))))


_EMPTY = frozenset(
    {"the", "a", "an", "of", "and", "in", "on", "to", "for", "with", "from", "by", "at", "as"}
    | {"art", "modern", "as", "its", "their", "is", "or"}
)
