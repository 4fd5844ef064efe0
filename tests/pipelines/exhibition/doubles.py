"""Sources that know what a test wrote down, in the real actors, and exhibitions made of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import trio

from engine.engine import Engine, open_engine
from engine.errors import SourceFailed
from engine.events import JSON
from engine.journal.interface import Journal
from engine.knowledge.asking import SourceActor
from engine.knowledge.catalogue import Catalogue
from engine.knowledge.interface import (
    ArtistFound,
    ArtistQuery,
    ArtworkFound,
    ArtworkQuery,
    Definition,
)
from engine.knowledge.sources import Sources
from engine.knowledge.wording import is_same_person
from engine.limits import Limits
from engine.pipelines.exhibition.pipeline import ExhibitionPipeline
from engine.providers.interface import GenerationRequest, Provider
from engine.testing.scripted_provider import Script, say
from tests.pipelines.rig import Shelf

BRIEF: JSON = {
    "theme_title": "Dreams Unchained",
    "theme_description": "How artists gave a form to dreams, to the unconscious and to desire.",
    "theme_concepts": ["dreams", "desire"],
}
STATEMENT = " ".join(["It asks what a dream is."] * 37)
RATIONALE = " ".join(["It shows what research missed."] * 34)


def artist(name: str, source: str = "wikidata", **fields: Any) -> ArtistFound:
    key = name.replace(" ", "_")
    return ArtistFound(
        **{
            "name": name,
            "birth_year": 1900,
            "death_year": 1980,
            "movements": ("Surrealism",),
            "tags": ("dream", "desire"),
            "nationality": "French",
            "gender": "female",
            "source": source,
            "source_id": key,
            "url": f"https://{source}.example/{key}",
            **fields,
        }
    )


def artwork(title: str, maker: str, source: str = "wikidata", **fields: Any) -> ArtworkFound:
    key = title.replace(" ", "_")
    return ArtworkFound(
        **{
            "title": title,
            "artist_name": maker,
            "uri": f"https://{source}.example/entity/{key}",
            "date_created": "1930",
            "year": 1930,
            "medium": "oil on canvas",
            "institution_name": "Museum of One",
            "width_cm": 50.0,
            "height_cm": 40.0,
            "thumbnail_url": f"https://{source}.example/{key}.jpg",
            "tags": ("dream",),
            "source": source,
            "source_id": key,
            "url": f"https://{source}.example/{key}",
            **fields,
        }
    )


NAMES = ("Ada Ash", "Bea Birch", "Cyd Cedar", "Dot Dogwood")
ARTISTS = tuple(artist(name) for name in NAMES)
ARTWORKS = tuple(artwork(f"{name} No {n}", name, year=1930 + n) for name in NAMES for n in (1, 2))


class ShelfSource:
    """A source that knows what it was given."""

    def __init__(
        self,
        name: str = "wikidata",
        artists: Sequence[ArtistFound] = ARTISTS,
        artworks: Sequence[ArtworkFound] = ARTWORKS,
        *,
        definitions: Sequence[str] = ("dreams",),
        delay_s: float = 0.01,
        fails: str = "",
        hangs: bool = False,
    ) -> None:
        self.name = name
        self.url = f"https://{name}.example"
        self.artists = artists
        self.artworks = artworks
        self.definitions = definitions
        self.delay_s = delay_s
        self.fails = fails
        self.hangs = hangs
        self.asked: list[ArtistQuery | ArtworkQuery | str] = []

    async def _think(self, question: ArtistQuery | ArtworkQuery | str) -> None:
        self.asked.append(question)
        await trio.sleep(self.delay_s)
        if self.hangs:
            await trio.sleep_forever()
        if self.fails:
            raise SourceFailed(self.fails, fault="unavailable")

    async def find_artists(self, query: ArtistQuery) -> list[ArtistFound]:
        await self._think(query)
        return [
            each
            for each in self.artists
            if not query.names or any(is_same_person(each.name, name) for name in query.names)
        ][: query.limit]

    async def find_artworks(self, query: ArtworkQuery) -> list[ArtworkFound]:
        await self._think(query)
        return [each for each in self.artworks if each.artist_name == query.artist_name]

    async def define(self, concept: str) -> Definition | None:
        await self._think(concept)
        if concept not in self.definitions:
            return None
        return Definition(
            concept=concept,
            title=concept.title(),
            text=f"What {concept} are.",
            confidence=0.8,
            source=self.name,
            source_id=concept,
            url=f"{self.url}/{concept}",
        )

    async def aclose(self) -> None:
        pass


@asynccontextmanager
async def open_shelves(*shelves: ShelfSource, limits: Limits) -> AsyncIterator[Sources]:
    """Run the sources' actors."""
    actors = {
        shelf.name: SourceActor(shelf, lanes=limits.source_lanes, limits=limits)
        for shelf in shelves
    }
    async with trio.open_nursery() as nursery:
        for actor in actors.values():
            nursery.start_soon(actor.run, 1)
        yield Sources(actors, {}, Catalogue(None))
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_exhibitions(
    provider: Provider,
    *shelves: ShelfSource,
    journal: Journal | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Engine]:
    """An engine for exhibitions, whose clock on the wall is the virtual one."""
    limits = limits or Limits()
    async with (
        open_shelves(*(shelves or (ShelfSource(),)), limits=limits) as sources,
        open_engine(
            providers=Shelf(provider),
            pipelines=[ExhibitionPipeline()],
            services={"sources": sources},
            journal=journal,
            limits=limits,
            random=Random(1),
            unix_now=lambda: 1.8e9 + trio.current_time(),
        ) as engine,
    ):
        yield engine


def brief(**fields: Any) -> JSON:
    return {**BRIEF, **fields}


def request(config: JSON | None = None, **fields: Any) -> JSON:
    return {"curator_brief": brief(**fields), "config": config or {}}


def proposing(*names: str) -> Script:
    return say(json.dumps({"artists": [{"name": name, "reason": "why"} for name in names]}))


def oblige(request: GenerationRequest, call: int) -> Script:
    """Write what is asked for, within its bounds, in two pieces; propose the shelf's artists."""
    text = {
        "exhibition.title": "Dreams in Chains",
        "exhibition.subtitle": "What sleep leaves behind",
        "exhibition.statement": STATEMENT,
        "exhibition.rationale": RATIONALE,
        "exhibition.audience": "People who sleep",
        "exhibition.complexity": "intermediate",
    }.get(request.metadata["purpose"])
    if text is None:
        return proposing(*NAMES[:2])
    return say(text[:5], text[5:], pace_s=0.1)


def slower(shelf: ShelfSource, delay_s: float) -> ShelfSource:
    shelf.delay_s = delay_s
    return shelf


replace = msgspec.structs.replace
