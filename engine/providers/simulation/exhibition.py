"""Texts of an exhibition: title, subtitle, statement, rationale; and artists to propose.

The artists are people who lived, with dates as reference works give them: what a model proposes
counts only when a source confirms it, and a simulated one should not make work for nothing. The one
who never lived is for the fault `invent`. Pure.
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

import msgspec

from engine.providers.simulation.prose import Scribe, cut_to
from engine.providers.simulation.words import MAX_CHARS, join_words, upper_first


class Artist(msgspec.Struct, frozen=True):
    """An artist of the past."""

    name: str
    birth_year: int
    death_year: int | None
    movements: tuple[str, ...]
    themes: str = ""


def _load() -> tuple[Artist, ...]:
    with files(__package__).joinpath("artists.toml").open("rb") as file:
        return tuple(
            Artist(
                name=entry["name"],
                birth_year=entry["years"][0],
                death_year=entry["years"][1],
                movements=tuple(entry["movements"]),
                themes=entry["themes"],
            )
            for entry in tomllib.load(file)["artist"]
        )


ARTISTS = _load()
INVENTED = Artist("Aurelio Vantreight", 1887, 1961, ("Surrealism",))
"""Nobody: the fault `invent` proposes him, and no source knows him."""

_TITLES = (
    "{a} and {b}",
    "The Shape of {a}",
    "{a}: Between {b} and {c}",
    "After {a}",
    "Rooms for {a}",
)
_SUBTITLES = (
    "On {a}, {b} and what lies between them",
    "How artists have looked at {a}",
    "{a} in the light of {b}",
)
_SMALL_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "as",
        "at",
        "by",
        "for",
        "from",
        "in",
        "into",
        "of",
        "on",
        "or",
        "the",
        "to",
        "with",
    ]
)
STATEMENT = (
    "This exhibition is about {t}. It asks how artists have given a form to {a}, and why that form "
    "still concerns us when we think about {b}.",
    "Visitors enter through {a}. The first room is quiet and spare, so that each work can be met "
    "on its own terms before it is drawn into conversation with its neighbours.",
    "From there the path leads to {b}, where works of different times face one another across the "
    "room and disagree about what {c} has to mean.",
    "The selection does not follow a single line. It sets {a} beside {c}, and lets the distance "
    "between them become visible in material, scale and colour.",
    "Some of these works were made in protest, others in solitude; what they share is a refusal to "
    "treat {b} as a settled matter.",
    "Wall texts are brief, and they ask more than they answer: what is seen first, what is "
    "overlooked, and who was allowed to speak about {a}.",
    "The last room comes back to {c}, changed by everything that came before, and leaves the "
    "visitor with a question to carry outside.",
    "Seen together, the works suggest that {a} is less a subject than a way of paying attention.",
    "The exhibition invites slow looking, conversation, and a second visit; it offers {b} as a "
    "place to begin rather than as a conclusion.",
)
RATIONALE = (
    "The project answers to a growing interest in {t}, and it brings together strands of research "
    "that are seldom shown in one place.",
    "Studies of {a} have tended to treat {b} as background; here the relation is reversed, and the "
    "works themselves serve as evidence.",
    "The method is comparative: objects are grouped by the question that they put to {c}, not by "
    "school or nation.",
    "Each inclusion rests on documented provenance and on a published record, so that claims about "
    "{a} can be checked against sources.",
    "The arrangement also shows where the record is thin, for the history of {b} has been written "
    "from few points of view.",
    "By keeping {a} and {c} in the same field of vision, the exhibition offers a frame in which "
    "later scholarship can take issue with its choices.",
    "Works that are seldom lent are shown beside well-known ones, which makes it possible to test "
    "what has been said about {c} against the objects themselves.",
    "Its contribution lies in method as much as in selection: looking closely at {b} becomes a way "
    "of arguing about {a}.",
)


def title(scribe: Scribe, most: int = 50) -> str:
    """Write an exhibition's title of at most so many characters."""
    a, b, c = (_title_case(p) for p in [*scribe.reading.phrases, "Form", "Time", "Light"][:3])
    lines = [line.format(a=a, b=b, c=c) for line in _TITLES]
    scribe.rng.shuffle(lines)
    fitting = [line for line in lines if len(line) <= most]
    return fitting[0] if fitting else cut_to(a, most)


def _title_case(phrase: str) -> str:
    words = re.sub(r"^the ", "", phrase).split()
    return " ".join(word if word in _SMALL_WORDS else upper_first(word) for word in words)


def subtitle(scribe: Scribe, most: int = 120) -> str:
    """Write a subtitle."""
    return cut_to(scribe.set(scribe.rng.choice(_SUBTITLES)), most)


def statement(scribe: Scribe, least: int = 200, most: int = 250) -> str:
    """Write the curatorial statement, in so many words."""
    return _of_stock(scribe, STATEMENT, least, most)


def rationale(scribe: Scribe, least: int = 150, most: int = 200) -> str:
    """Write the scholarly rationale, in so many words."""
    return _of_stock(scribe, RATIONALE, least, most)


def audience(scribe: Scribe) -> str:
    """Say who is spoken to."""
    return f"Visitors with an interest in {join_words(list(scribe.reading.phrases[:2]))}"


def complexity(scribe: Scribe) -> str:
    """Say how demanding it is."""
    return scribe.rng.choice(("introductory", "intermediate", "advanced"))


def _of_stock(scribe: Scribe, stock: tuple[str, ...], least: int, most: int) -> str:
    lines = [scribe.set(line) for line in stock]
    return scribe.fit_words(lines, least, most)


def proposed_artists(scribe: Scribe, count: int) -> list[Artist]:
    """Propose so many artists who suit the request, the most suitable first.

    Those whom it names come first, then those of its movements, themes and times; never those whom
    it says to leave out.
    """
    text = scribe.reading.asked[:MAX_CHARS]
    left_out = " ".join(re.findall(r"exclu\w*[^\n]*", text, re.IGNORECASE)).lower()
    years = [int(year) for year in re.findall(r"\b1[4-9]\d\d\b|\b20[0-2]\d\b", text)]
    lowered = text.lower()
    words = set(re.findall(r"\w+", lowered))

    def suits(artist: Artist) -> float:
        score = 8.0 * (artist.name.lower() in lowered)
        score += 4 * sum(movement.lower() in lowered for movement in artist.movements)
        score += sum(theme in words or f"{theme}s" in words for theme in artist.themes.split())
        if years:
            died = artist.death_year or 2000
            score += 2 * (artist.birth_year + 20 <= max(years) and died >= min(years))
        return score

    known = [artist for artist in ARTISTS if artist.name.lower() not in left_out]
    known.sort(key=lambda artist: (-suits(artist), artist.birth_year))
    return known[:count]


def reason_for(artist: Artist, scribe: Scribe) -> str:
    """Say why an artist belongs to the theme, without a fact that is not known here."""
    return (
        f"{artist.name} stands for {join_words(list(artist.movements))}, and bears on "
        f"{scribe.rng.choice(scribe.reading.phrases)}."
    )
