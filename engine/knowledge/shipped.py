"""The facts that ship with the project: `data/*.json`, read into findings.

The one rule: a fact's place to be checked comes with it. `article` is an article of the English
Wikipedia; where a work has none of its own, the address is a search there for its title and
artist. Pure: bytes in, structs out. Must not import a connector, sessions, pipelines or providers.
"""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import msgspec

from engine.knowledge.interface import ArtistFound, ArtworkFound, Definition
from engine.knowledge.wording import plain

SHIPPED_FILES = ("artists", "artworks", "concepts")
SOURCE = "catalogue"


class _Artist(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    born: int | None
    """None where the year is not known to within a few."""
    died: int | None
    nationality: str
    gender: str
    movements: list[str]
    tags: list[str]
    article: str
    wikidata: str | None = None


class _Work(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    artist: str
    date: str
    year: int
    medium: str
    institution: str | None
    tags: list[str]
    article: str | None = None
    height_cm: float | None = None
    width_cm: float | None = None
    movements: list[str] | None = None
    """Where the work does not belong to what its maker is known for."""


class _Concept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    kind: str
    text: str
    article: str
    also: list[str] = []


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """All that is shipped."""

    artists: tuple[ArtistFound, ...]
    artworks: tuple[ArtworkFound, ...]
    definitions: tuple[tuple[str, Definition], ...]
    """Pairs of a plain word and what it means."""


def read_shipped(artists: bytes, artworks: bytes, concepts: bytes) -> Shipped:
    """Read the three files.

    Raises:
        msgspec.DecodeError: a file is damaged; ours.
        KeyError: a work names an artist whom `artists.json` does not have; ours.
    """
    makers = {maker.name: maker for maker in msgspec.json.decode(artists, type=list[_Artist])}
    works = msgspec.json.decode(artworks, type=list[_Work])
    meanings = msgspec.json.decode(concepts, type=list[_Concept])
    return Shipped(
        artists=tuple(_artist(maker) for maker in makers.values()),
        artworks=tuple(_artwork(work, makers[work.artist]) for work in works),
        definitions=tuple(
            (plain(word), _definition(meaning))
            for meaning in meanings
            for word in (meaning.name, *meaning.also)
        ),
    )


def _artist(maker: _Artist) -> ArtistFound:
    return ArtistFound(
        name=maker.name,
        wikidata_id=maker.wikidata,
        birth_year=maker.born,
        death_year=maker.died,
        movements=tuple(maker.movements),
        nationality=maker.nationality,
        gender=maker.gender,
        tags=tuple(maker.tags),
        source=SOURCE,
        source_id=f"wikipedia:{maker.article}",
        url=_article(maker.article),
    )


def _artwork(work: _Work, maker: _Artist) -> ArtworkFound:
    if work.article is not None:
        source_id, url = f"wikipedia:{work.article}", _article(work.article)
    else:
        source_id = f"wikipedia-search:{work.title} {maker.name}"
        words = quote_plus(f"{work.title} {maker.name}")
        url = f"https://en.wikipedia.org/w/index.php?search={words}"
    return ArtworkFound(
        title=work.title,
        artist_name=maker.name,
        uri=url,
        date_created=work.date,
        year=work.year,
        medium=work.medium,
        institution_name=work.institution,
        width_cm=work.width_cm,
        height_cm=work.height_cm,
        movements=tuple(maker.movements if work.movements is None else work.movements),
        tags=tuple(work.tags),
        source=SOURCE,
        source_id=source_id,
        url=url,
    )


def _definition(meaning: _Concept) -> Definition:
    return Definition(
        concept=meaning.name,
        title=meaning.name,
        text=meaning.text,
        context=meaning.kind,
        confidence=0.9,
        source=SOURCE,
        source_id=f"wikipedia:{meaning.article}",
        url=_article(meaning.article),
    )


def _article(title: str) -> str:
    return "https://en.wikipedia.org/wiki/" + quote(title.replace(" ", "_"), safe="()_,'!:")
