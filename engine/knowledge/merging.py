"""The same artist or work from several sources becomes one finding; works are spread over artists.

The one rule: pure, and nothing is made up in between: each field of a merged finding is the word of
the first source that had one, the finding keeps that first source's name and id, and `also` names
the other records. Give the most trusted source first. Must not import a connector, sessions,
pipelines or providers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from engine.knowledge.interface import ArtistFound, ArtworkFound
from engine.knowledge.wording import is_same_person, person_key, plain

T = TypeVar("T", ArtistFound, ArtworkFound)

_YEARS_APART = 2
"""Sources that disagree by more speak of two works (or people): artists paint a subject again."""

_IDENTITY = frozenset({"source", "source_id", "url", "uri", "title", "name", "artist_name", "also"})
"""What a merged finding never takes from another source."""


def merge_artists(artists: Iterable[ArtistFound]) -> list[ArtistFound]:
    """Join what is said of one person; the order of first mention stays.

    Two are one when a Wikidata id says so; two different ids are two people, whatever their names;
    else the name decides.
    """
    merged: list[ArtistFound] = []
    by_word: dict[str, list[int]] = defaultdict(list)
    for artist in artists:
        # Whoever is the same shares the id or a word of the name: the others need no comparing.
        words = {*person_key(artist.name).split(), artist.wikidata_id or ""} - {""}
        places = sorted({place for word in words for place in by_word[word]})
        place = next((each for each in places if _is_one_artist(merged[each], artist)), None)
        if place is None:
            place = len(merged)
            merged.append(artist)
        else:
            merged[place] = _joined(merged[place], artist)
        for word in words:
            by_word[word].append(place)
    return merged


def merge_artworks(works: Iterable[ArtworkFound]) -> list[ArtworkFound]:
    """Join what is said of one work; the order of first mention stays.

    Two are one when they are one record, when a Wikidata id says so, or when artist and title are
    the same and the years agree as far as they are known.
    """
    merged: list[ArtworkFound] = []
    by_title: dict[str, list[int]] = defaultdict(list)
    by_id: dict[str, int] = {}
    for work in works:
        title = _title_key(work.title)
        place = next(
            (by_id[key] for key in _ids(work) if key in by_id),
            next((each for each in by_title[title] if _is_one_work(merged[each], work)), None),
        )
        if place is None:
            place = len(merged)
            merged.append(work)
            by_title[title].append(place)
        else:
            merged[place] = _joined(merged[place], work)
        by_id.update(dict.fromkeys(_ids(work), place))
    return merged


def spread(
    works: Sequence[tuple[ArtworkFound, float]], *, per_artist: int, max_works: int
) -> list[tuple[ArtworkFound, float]]:
    """Choose works so that every artist is heard: in rounds, each round one work an artist.

    Within a round the better works come first, so that a bound cuts off the weakest.

    Args:
        works: pairs of a work and its score.
        per_artist: works of one artist at most.
        max_works: works in all at most.
    """
    by_artist: dict[str, list[tuple[ArtworkFound, float]]] = defaultdict(list)
    for pair in sorted(works, key=lambda each: -each[1]):
        by_artist[person_key(pair[0].artist_name)].append(pair)
    chosen: list[tuple[ArtworkFound, float]] = []
    for turn in range(per_artist):
        round_ = [pairs[turn] for pairs in by_artist.values() if len(pairs) > turn]
        chosen += sorted(round_, key=lambda each: -each[1])
    return chosen[:max_works]


def _is_one_artist(one: ArtistFound, other: ArtistFound) -> bool:
    if one.wikidata_id and other.wikidata_id:
        return one.wikidata_id == other.wikidata_id
    return _agree(one.birth_year, other.birth_year) and is_same_person(one.name, other.name)


def _is_one_work(one: ArtworkFound, other: ArtworkFound) -> bool:
    if one.wikidata_id and other.wikidata_id:
        return one.wikidata_id == other.wikidata_id
    if one.source == other.source and one.source_id != other.source_id:
        return False  # a museum's two records are two objects: two casts, two impressions
    return _agree(one.year, other.year) and is_same_person(one.artist_name, other.artist_name)


def _agree(one: int | None, other: int | None) -> bool:
    """Whether two years may be one; what is not known contradicts nothing."""
    return one is None or other is None or abs(one - other) <= _YEARS_APART


def _ids(work: ArtworkFound) -> list[str]:
    ids = [f"{work.source} {work.source_id}"]
    return [*ids, work.wikidata_id] if work.wikidata_id else ids


def _title_key(title: str) -> str:
    words = plain(title.split(" (")[0]).split()
    return " ".join(word for word in words if word not in ("the", "a", "an", "la", "le", "les"))


def _joined(first: T, second: T) -> T:
    """Fill the first one's gaps with what the second one says; lists are joined."""
    changes: dict[str, Any] = {}
    for field in first.__struct_fields__:
        if field in _IDENTITY:
            continue
        mine: Any = getattr(first, field)
        theirs: Any = getattr(second, field)
        if isinstance(mine, tuple):
            known: set[str] = {plain(word) for word in mine}
            changes[field] = (*mine, *(word for word in theirs if plain(word) not in known))
        elif mine is None:
            changes[field] = theirs
    if isinstance(first, ArtworkFound) and (first.width_cm is None) != (first.height_cm is None):
        # A size is one fact: half of it from each source would be a third work's.
        changes["width_cm"], changes["height_cm"] = first.width_cm, first.height_cm
    record = f"{second.source}:{second.source_id}"
    if record != f"{first.source}:{first.source_id}" and record not in first.also:
        changes["also"] = (*first.also, record, *second.also)
    return msgspec.structs.replace(first, **changes)
