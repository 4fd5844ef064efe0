"""Each connector over real HTTP, against answers as its public documentation shows them."""

from __future__ import annotations

import json

import pytest

from engine.knowledge.interface import ArtistQuery, ArtworkQuery, TimePeriod
from engine.knowledge.sources import best_definition
from tests.system.knowledge.services import open_services

pytestmark = pytest.mark.system


async def test_wikipedia_defines_a_concept() -> None:
    """The first paragraph, with the article's title as id and its page as address."""
    async with open_services() as (sources, double):
        [answer] = await sources.define("surrealism", only=["wikipedia"])
    definition = best_definition([answer])
    assert definition is not None
    assert definition.text.startswith("Surrealism is an art and cultural movement")
    assert definition.confidence == 0.95
    assert (definition.source, definition.source_id) == ("wikipedia", "Surrealism")
    assert definition.url == "https://en.wikipedia.org/wiki/Surrealism"
    assert double.asked[0].headers["user-agent"].startswith("antiphon/")


@pytest.mark.parametrize("concept", ["Mercury", "no such article"])
async def test_wikipedia_has_no_definition(concept: str) -> None:
    """A disambiguation page and a missing article define nothing, and are no failure."""
    async with open_services() as (sources, _):
        [answer] = await sources.define(concept, only=["wikipedia"])
    assert answer.found == ()
    assert answer.note.why == ""


async def test_wikipedia_confirms_artists_only() -> None:
    """A name counts when its article is about an artist of that name."""
    query = ArtistQuery(names=("Salvador Dalí", "Surrealism", "Invented Person"))
    async with open_services() as (sources, _):
        [answer] = await sources.find_artists(query, only=["wikipedia"])
    [artist] = answer.found
    assert (artist.name, artist.wikidata_id) == ("Salvador Dalí", "Q5577")
    assert (artist.birth_year, artist.death_year) == (1904, 1989)


async def test_wikidata_finds_artists() -> None:
    """Rows become artists; entities without a name and rows without an entity do not."""
    query = ArtistQuery(movements=("Surrealism",), concepts=('dr"eams',))
    async with open_services() as (sources, double):
        [answer] = await sources.find_artists(query, only=["wikidata"])
    dali, carrington = answer.found
    assert dali.wikidata_id == dali.source_id == "Q5577"
    assert dali.movements == ("Surrealism", "Dada")
    assert dali.url == "https://www.wikidata.org/wiki/Q5577"
    assert (carrington.birth_year, carrington.death_year) == (1917, None)
    question = double.asked[0].params["query"][0]
    assert 'dr\\"eams"@en' in question
    assert double.asked[0].headers["accept"] == "application/sparql-results+json"


async def test_wikidata_finds_artworks() -> None:
    """Metres become centimetres, pictures become thumbnails, and what is odd is None."""
    query = ArtworkQuery(artist_name="Salvador Dalí", artist_wikidata_id="Q5577")
    async with open_services() as (sources, double):
        [answer] = await sources.find_artworks(query, only=["wikidata"])
    memory, study = answer.found
    assert (memory.title, memory.year) == ("The Persistence of Memory", 1931)
    assert (memory.height_cm, memory.width_cm) == (24.1, 33.0)
    assert memory.medium == "oil paint, canvas"
    assert memory.tags == ("watch",)
    assert (memory.iiif_manifest, memory.thumbnail_url) == (None, None)
    assert study.height_cm is None
    assert study.iiif_manifest == "https://iiif.example.org/1/manifest.json"
    assert study.thumbnail_url == (
        "https://commons.wikimedia.org/wiki/Special:FilePath/Study.jpg?width=400"
    )
    assert "wd:Q5577" in double.asked[0].params["query"][0]


async def test_artic_finds_artworks() -> None:
    """The museum's record with size, picture and manifest; followers and odd records are left."""
    query = ArtworkQuery(artist_name="Claude Monet", period=TimePeriod(start_year=1900))
    async with open_services() as (sources, double):
        [answer] = await sources.find_artworks(query, only=["artic"])
    lilies, view = answer.found
    assert (lilies.title, lilies.year, lilies.source_id) == ("Water Lilies", 1906, "16568")
    assert (lilies.width_cm, lilies.height_cm) == (94.1, 89.9)
    assert lilies.iiif_manifest == "https://api.artic.edu/api/v1/artworks/16568/manifest.json"
    assert lilies.thumbnail_url is not None
    assert "3c27b499-af56-f0d5-93b5-a7f2f1ad5813/full/400," in lilies.thumbnail_url
    assert "water" in lilies.tags
    assert (view.iiif_manifest, view.thumbnail_url, view.width_cm) == (None, None, None)
    question = json.loads(double.asked[0].params["params"][0])
    assert {"match_phrase": {"artist_title": "Claude Monet"}} in question["query"]["bool"]["must"]


async def test_artic_confirms_artists() -> None:
    """An agent counts when it is an artist of that name."""
    async with open_services() as (sources, _):
        [answer] = await sources.find_artists(ArtistQuery(names=("Claude Monet",)), only=["artic"])
    [artist] = answer.found
    assert (artist.source_id, artist.birth_year) == ("35809", 1840)


async def test_met_finds_artworks() -> None:
    """The search's objects, asked one by one; a missing one and other people's are left out."""
    query = ArtworkQuery(artist_name="Vincent van Gogh", period=TimePeriod(end_year=1890))
    async with open_services() as (sources, double):
        [answer] = await sources.find_artworks(query, only=["met"])
    cypresses, sunflowers = answer.found
    assert (cypresses.title, cypresses.year) == ("Wheat Field with Cypresses", 1889)
    assert (cypresses.height_cm, cypresses.width_cm) == (73.2, 93.4)
    assert cypresses.wikidata_id == "Q1211908"
    assert cypresses.tags == ("Landscapes", "Cypresses")
    assert cypresses.iiif_manifest is None
    assert sunflowers.year is None
    assert sunflowers.medium is None
    assert double.asked[0].params["dateBegin"] == ["-5000"]
    assert len(double.asked) == 5


async def test_europeana_finds_artworks() -> None:
    """Items by that creator; the key goes out in a header and in no address."""
    async with open_services() as (sources, double):
        [answer] = await sources.find_artworks(
            ArtworkQuery(artist_name="Johannes Vermeer"), only=["europeana"]
        )
    [milkmaid] = answer.found
    assert (milkmaid.title, milkmaid.year) == ("The Milkmaid", 1660)
    assert milkmaid.institution_name == "Rijksmuseum"
    assert milkmaid.tags == ("Painting", "Kitchen")
    assert milkmaid.iiif_manifest is not None
    [asked] = double.asked
    assert asked.headers["x-api-key"] == "secret-key"
    assert "secret-key" not in repr(asked.params)


async def test_every_finding_has_its_source() -> None:
    """No fact without its source, whoever found it."""
    async with open_services() as (sources, _):
        artists = await sources.find_artists(ArtistQuery(names=("Salvador Dalí",)))
        works = await sources.find_artworks(ArtworkQuery(artist_name="Salvador Dalí"))
    for answer in (*artists, *works):
        for finding in answer.found:
            assert finding.source == answer.note.source
            assert finding.source_id
            assert finding.url.startswith("https://")
