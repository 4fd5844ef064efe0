"""Wikipedia: what a concept means, and whether a person exists.

Asked by the REST interface's page summary (https://en.wikipedia.org/api/rest_v1/), one request a
title. It knows no artworks as records, so it finds none. Must not import a sibling connector,
sessions, pipelines or providers.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from engine.knowledge.fetching import Fetch, Fetcher, decode
from engine.knowledge.interface import (
    ArtistFound,
    ArtistQuery,
    ArtworkFound,
    ArtworkQuery,
    Definition,
)
from engine.knowledge.policies import Pace
from engine.knowledge.wording import is_same_person, life_years, plain

BASE_URL = "https://en.wikipedia.org"
PACE = Pace(per_s=20, burst=20, lanes=8)
"""The interface asks for at most 200 a second; a tenth of it serves us well."""

_ARTISTS = frozenset(
    {"artist", "artists", "painter", "sculptor", "photographer", "printmaker", "draughtsman"}
    | {"draftsman", "illustrator", "engraver", "etcher", "muralist", "ceramist", "designer"}
    | {"architect", "weaver", "lithographer", "filmmaker"}
)


class _Page(msgspec.Struct, frozen=True):
    page: str = ""


class _Urls(msgspec.Struct, frozen=True):
    desktop: _Page = _Page()


class _Summary(msgspec.Struct, frozen=True):
    title: str
    type: str = "standard"
    extract: str = ""
    description: str | None = None
    wikibase_item: str | None = None
    content_urls: _Urls = _Urls()


class Wikipedia:
    """The English Wikipedia as a source of definitions and people."""

    name = "wikipedia"
    url = "https://en.wikipedia.org/"

    def __init__(self, fetcher: Fetcher, *, base_url: str = BASE_URL) -> None:
        self._fetcher = fetcher
        self._base_url = base_url.rstrip("/")

    async def define(self, concept: str) -> Definition | None:
        """Give the article's first paragraph.

        The confidence is 0.95 where the article has the concept's name, 0.75 where a redirect led
        elsewhere; a disambiguation page is no definition.
        """
        summary = await self._summary(concept)
        if summary is None or summary.type != "standard" or not summary.extract:
            return None
        return Definition(
            concept=concept,
            title=summary.title,
            text=summary.extract,
            context=summary.description or "",
            confidence=0.95 if plain(summary.title) == plain(concept) else 0.75,
            source=self.name,
            source_id=summary.title,
            url=self._page_of(summary),
        )

    async def find_artists(self, query: ArtistQuery) -> list[ArtistFound]:
        """Confirm people by name; a search by theme is not what an encyclopedia's titles offer.

        A name counts when its article is about somebody whose description names an artist's trade.
        """
        found: list[ArtistFound] = []
        for name in query.names[: query.limit]:
            summary = await self._summary(name)
            if summary is not None and _is_artist(summary) and is_same_person(summary.title, name):
                found.append(self._artist(summary))
        return found

    async def find_artworks(self, query: ArtworkQuery) -> list[ArtworkFound]:
        """Find nothing: articles are no records of works."""
        return []

    async def aclose(self) -> None:
        """Hold nothing, so release nothing; the client is shared."""

    async def _summary(self, title: str) -> _Summary | None:
        words = title.strip()
        if not words:
            return None
        path = quote((words[0].upper() + words[1:]).replace(" ", "_"), safe="")
        body = await self._fetcher.fetch(
            Fetch(
                url=f"{self._base_url}/api/rest_v1/page/summary/{path}",
                params=(("redirect", "true"),),
                missing_is_empty=True,
            )
        )
        return decode(body, _Summary, source=self.name) if body else None

    def _artist(self, summary: _Summary) -> ArtistFound:
        born, died = life_years(summary.description or "")
        if born is None:
            born, died = life_years(summary.extract)
        return ArtistFound(
            name=summary.title.split(" (")[0],
            wikidata_id=summary.wikibase_item,
            birth_year=born,
            death_year=died,
            description=summary.description,
            source=self.name,
            source_id=summary.title,
            url=self._page_of(summary),
        )

    def _page_of(self, summary: _Summary) -> str:
        path = quote(summary.title.replace(" ", "_"), safe="()_,'")
        return summary.content_urls.desktop.page or f"{self.url}wiki/{path}"


def _is_artist(summary: _Summary) -> bool:
    words = plain(summary.description or summary.extract[:200]).split()
    return summary.type == "standard" and not _ARTISTS.isdisjoint(words)
