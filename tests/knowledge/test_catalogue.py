"""The embedded catalogue: what is shipped, and how it is found."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from engine.errors import SourceFailed
from engine.knowledge.catalogue import open_catalogue
from engine.knowledge.interface import ArtistQuery, ArtworkFound, ArtworkQuery, TimePeriod

DATA = Path(__file__).parents[2] / "engine" / "knowledge" / "data"


async def test_shipped_catalogue_is_large_enough_and_nothing_is_without_a_source() -> None:
    """At least 60 artists and 200 works are shipped, each with its source, id and address."""
    async with open_catalogue() as catalogue:
        size = await catalogue.size()
        artists = await catalogue.find_artists(ArtistQuery(names=_names(), limit=1000))
        works = [
            work
            for name in _names()
            for work in await catalogue.find_artworks(ArtworkQuery(artist_name=name, limit=100))
        ]
    assert size.artists == len(artists) >= 60
    assert size.artworks == len(works) >= 200
    for finding in (*artists, *works):
        assert finding.source == "catalogue"
        assert finding.source_id.startswith("wikipedia")
        assert finding.url.startswith("https://en.wikipedia.org/")


async def test_shipped_facts_are_possible() -> None:
    """Nobody made a work before birth, nor (but for casts) long after death; sizes are sane."""
    async with open_catalogue() as catalogue:
        artists = await catalogue.find_artists(ArtistQuery(names=_names(), limit=1000))
        for artist in artists:
            query = ArtworkQuery(artist_name=artist.name, limit=100)
            for work in await catalogue.find_artworks(query):
                assert work.year is not None
                assert (artist.birth_year or 0) + 12 <= work.year <= (artist.death_year or 2026)
                for size_cm in (work.width_cm, work.height_cm):
                    assert size_cm is None or 10 < size_cm < 1000


def test_shipped_artists_are_many_kinds() -> None:
    """Movements, times and regions are mixed, and women are not an exception."""
    artists = json.loads((DATA / "artists.json").read_text())
    movements = Counter(movement for artist in artists for movement in artist["movements"])
    for movement in (
        *("Surrealism", "Impressionism", "Cubism", "Baroque", "Ukiyo-e", "Abstract expressionism"),
        *("Bauhaus", "Mexican muralism", "Harlem Renaissance", "Dutch Golden Age", "Renaissance"),
        *("Romanticism", "Photography", "Pop art"),
    ):
        assert movements[movement] >= 3, movement
    assert sum(artist["gender"] == "female" for artist in artists) >= 25
    assert len({artist["nationality"] for artist in artists}) >= 15


def test_shipped_wikidata_ids_are_unique() -> None:
    """An id that stands twice is wrong once."""
    artists = json.loads((DATA / "artists.json").read_text())
    ids = [artist["wikidata"] for artist in artists if artist["wikidata"]]
    assert len(ids) == len(set(ids))
    assert all(id_[0] == "Q" and id_[1:].isdigit() for id_ in ids)


@pytest.mark.parametrize(
    "theme",
    [
        "dreams",
        "water",
        "city",
        "labour",
        "night",
        "portrait",
        "war",
        "garden",
        "colour",
        "machine",
    ],
)
async def test_theme_finds_artists_and_works(theme: str) -> None:
    """The usual themes find enough for an exhibition."""
    async with open_catalogue() as catalogue:
        artists = await catalogue.find_artists(ArtistQuery(concepts=(theme,), limit=15))
        works = await catalogue.find_artworks(ArtworkQuery(concepts=(theme,), limit=20))
    assert len(artists) == 15
    assert len({work.source_id for work in works}) == 20


async def test_words_are_found_whatever_their_dress() -> None:
    """Plurals, capitals and accents do not matter; a longer concept needs all of its words."""
    async with open_catalogue() as catalogue:
        titles = [
            [
                work.title
                for work in await catalogue.find_artworks(ArtworkQuery(concepts=(word,), limit=60))
            ]
            for word in ("dream", "DREAMS", "drëams")
        ]
        [first, *_] = await catalogue.find_artists(ArtistQuery(movements=("Mexican muralism",)))
    assert titles[0] == titles[1] == titles[2]
    assert "The Persistence of Memory" in titles[0]
    assert "Mexican muralism" in first.movements


@pytest.mark.parametrize(
    "name",
    ["Vincent van Gogh", "Gogh, Vincent van", "VAN GOGH, VINCENT", "Vincent Willem van Gogh"],
)
async def test_artist_is_found_by_any_order_of_the_name(name: str) -> None:
    """A name is one person's, however it is written."""
    async with open_catalogue() as catalogue:
        [artist] = await catalogue.find_artists(ArtistQuery(names=(name,)))
        works = await catalogue.find_artworks(ArtworkQuery(artist_name=name))
    assert artist.wikidata_id == "Q5582"
    assert "The Starry Night" in {work.title for work in works}


async def test_invented_artist_is_not_confirmed() -> None:
    """A name that no record has finds nobody, however well parts of it fit."""
    async with open_catalogue() as catalogue:
        for name in ("Salvador van Gogh", "Frida", "Workshop of Rembrandt van Rijn", '" OR 1', ""):
            assert await catalogue.find_artists(ArtistQuery(names=(name,))) == []


async def test_period_bounds_artists_and_works() -> None:
    """Artists who lived, and works that were made, outside the years are left out."""
    period = TimePeriod(start_year=1850, end_year=1900)
    async with open_catalogue() as catalogue:
        artists = await catalogue.find_artists(ArtistQuery(concepts=("water",), period=period))
        works = await catalogue.find_artworks(ArtworkQuery(concepts=("water",), period=period))
    assert artists
    assert works
    assert all((a.birth_year or 0) <= 1900 and (a.death_year or 9999) >= 1850 for a in artists)
    assert all(1850 <= (work.year or 1850) <= 1900 for work in works)


async def test_works_of_an_artist_on_the_theme_come_first() -> None:
    """With a name and concepts all the artist's works count, those on the theme first."""
    query = ArtworkQuery(artist_name="Vincent van Gogh", concepts=("flowers",), limit=20)
    async with open_catalogue() as catalogue:
        works = await catalogue.find_artworks(query)
    assert works[0].title == "Irises"
    assert len(works) > 5


@pytest.mark.parametrize(
    "concept", ["dreams", "Surrealism", "labor", "the unconscious", "Machines"]
)
async def test_concept_is_defined(concept: str) -> None:
    """Movements and themes have a meaning with a source, in singular and plural."""
    async with open_catalogue() as catalogue:
        definition = await catalogue.define(concept)
    assert definition is not None
    assert definition.concept == concept
    assert definition.url.startswith("https://en.wikipedia.org/wiki/")


async def test_unknown_concept_is_not_defined() -> None:
    """What nobody wrote down has no meaning here."""
    async with open_catalogue() as catalogue:
        assert await catalogue.define("quantum macramé") is None


@pytest.mark.parametrize(
    "text", ['"', "NEAR(", "a* OR b", "title : x", "'; DROP TABLE artworks", "…"]
)
async def test_syntax_in_a_question_is_only_text(text: str) -> None:
    """Nothing that a user writes is taken for FTS5's or SQL's syntax."""
    async with open_catalogue() as catalogue:
        await catalogue.find_artists(ArtistQuery(concepts=(text,), movements=(text,)))
        await catalogue.find_artworks(ArtworkQuery(concepts=(text,)))
        await catalogue.find_artworks(ArtworkQuery(artist_name=text))
        assert (await catalogue.size()).artworks >= 200


async def test_file_keeps_imports_and_takes_changed_facts(tmp_path: Path) -> None:
    """Opening a file again changes nothing; changed shipped facts replace the old ones alone."""
    path = tmp_path / "deep" / "catalogue.sqlite"
    imported = ArtworkFound(
        title="A Loan", artist_name="Claude Monet", uri="u", source="moma", source_id="1", url="u"
    )
    async with open_catalogue(path) as catalogue:
        await catalogue.run(lambda shelves: shelves.put((), (imported,)))
        before = await catalogue.size()
        # As an older release would have left it: other facts under another digest.
        await catalogue.run(
            lambda shelves: shelves._database.execute(
                "UPDATE artworks SET title = 'Old' WHERE title = 'Irises'"
            )
        )
        await catalogue.run(
            lambda shelves: shelves._database.execute("UPDATE facts SET value = 'older'")
        )
    async with open_catalogue(path) as catalogue:
        assert await catalogue.size() == before
        works = await catalogue.find_artworks(ArtworkQuery(concepts=("irises",)))
        assert works[0].title == "Irises"
        monets = await catalogue.find_artworks(ArtworkQuery(artist_name="Claude Monet"))
        assert imported in monets


async def test_damaged_file_is_a_failure_of_the_source(tmp_path: Path) -> None:
    """A file that is no database is reported as a source's failure, with its reason."""
    path = tmp_path / "catalogue.sqlite"
    path.write_bytes(b"not a database " * 100)
    async with open_catalogue(path) as catalogue:
        with pytest.raises(SourceFailed, match="not a database"):
            await catalogue.find_artists(ArtistQuery(concepts=("dreams",)))


def _names() -> tuple[str, ...]:
    return tuple(artist["name"] for artist in json.loads((DATA / "artists.json").read_text()))
