"""The Art Institute of Chicago: works with dimensions, pictures and IIIF manifests.

Asked by its public interface (https://api.artic.edu/docs/), one search request a question, with
the wanted fields named. Must not import a sibling connector, sessions, pipelines or providers.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.knowledge.fetching import Fetch, Fetcher, decode, decode_each
from engine.knowledge.interface import (
    ArtistFound,
    ArtistQuery,
    ArtworkFound,
    ArtworkQuery,
    Definition,
)
from engine.knowledge.policies import Pace
from engine.knowledge.wording import is_same_person, plain

BASE_URL = "https://api.artic.edu"
PACE = Pace(per_s=1, burst=50, lanes=8)
"""Sixty requests a minute from one address are allowed without registration."""

INSTITUTION = "The Art Institute of Chicago"
_IIIF = "https://www.artic.edu/iiif/2"
_FIELDS = (
    "id,title,artist_title,date_display,date_start,date_end,medium_display,dimensions_detail,"
    "image_id,is_public_domain,subject_titles,style_titles,classification_title"
)


class _Dimension(msgspec.Struct, frozen=True):
    width: float | None = None
    height: float | None = None


class _Work(msgspec.Struct, frozen=True):
    id: int
    title: str
    artist_title: str | None = None
    date_display: str | None = None
    date_end: int | None = None
    medium_display: str | None = None
    dimensions_detail: list[_Dimension] | None = None
    image_id: str | None = None
    is_public_domain: bool = False
    subject_titles: list[str] | None = None
    style_titles: list[str] | None = None
    classification_title: str | None = None


class _Agent(msgspec.Struct, frozen=True):
    id: int
    title: str
    birth_date: int | None = None
    death_date: int | None = None
    is_artist: bool = True


class _Config(msgspec.Struct, frozen=True):
    iiif_url: str = _IIIF


class _Page(msgspec.Struct, frozen=True):
    data: list[msgspec.Raw] = []
    config: _Config = _Config()


class ArtInstituteOfChicago:
    """The Art Institute of Chicago as a source of artworks and of people by name."""

    name = "artic"
    url = "https://www.artic.edu/collection"

    def __init__(self, fetcher: Fetcher, *, base_url: str = BASE_URL) -> None:
        self._fetcher = fetcher
        self._base_url = base_url.rstrip("/")

    async def find_artists(self, query: ArtistQuery) -> list[ArtistFound]:
        """Confirm people by name, one request each; people have no themes here."""
        found: list[ArtistFound] = []
        for name in query.names[: query.limit]:
            page = await self._search(
                "agents",
                {"q": name, "limit": 5, "fields": "id,title,birth_date,death_date,is_artist"},
            )
            for agent in decode_each(page.data, _Agent):
                if agent.is_artist and is_same_person(agent.title, name):
                    found.append(_artist(agent))
                    break
        return found

    async def find_artworks(self, query: ArtworkQuery) -> list[ArtworkFound]:
        """Find works by an artist's name, or by the concepts."""
        words = query.artist_name or " ".join(query.concepts)
        if not words:
            return []
        page = await self._search("artworks", self._question(words, query))
        works = [
            _artwork(work, page.config.iiif_url)
            for work in decode_each(page.data, _Work)
            if work.title
            and work.artist_title
            and (not query.artist_name or is_same_person(work.artist_title, query.artist_name))
        ]
        return works[: query.limit]

    async def define(self, concept: str) -> Definition | None:
        """Leave definitions to the encyclopedias."""
        return None

    async def aclose(self) -> None:
        """Hold nothing, so release nothing; the client is shared."""

    def _question(self, words: str, query: ArtworkQuery) -> dict[str, Any]:
        must: list[dict[str, Any]] = []
        if query.artist_name:
            must.append({"match_phrase": {"artist_title": query.artist_name}})
        if query.period.start_year is not None:
            must.append({"range": {"date_end": {"gte": query.period.start_year}}})
        if query.period.end_year is not None:
            must.append({"range": {"date_start": {"lte": query.period.end_year}}})
        question: dict[str, Any] = {"limit": min(query.limit * 2, 100), "fields": _FIELDS}
        if not query.artist_name:
            question["q"] = words
        if must:
            question["query"] = {"bool": {"must": must}}
        return question

    async def _search(self, resource: str, question: dict[str, Any]) -> _Page:
        body = await self._fetcher.fetch(
            Fetch(
                url=f"{self._base_url}/api/v1/{resource}/search",
                params=(("params", msgspec.json.encode(question).decode()),),
                headers=(("AIC-User-Agent", "antiphon"),),
            )
        )
        return decode(body, _Page, source=self.name)


def _artist(agent: _Agent) -> ArtistFound:
    return ArtistFound(
        name=agent.title,
        birth_year=agent.birth_date,
        death_year=agent.death_date,
        source=ArtInstituteOfChicago.name,
        source_id=str(agent.id),
        url=f"https://www.artic.edu/artists/{agent.id}",
    )


def _artwork(work: _Work, iiif_url: str) -> ArtworkFound:
    page = f"https://www.artic.edu/artworks/{work.id}"
    # The first entry is the work itself; others are its frame, base or sheet.
    size = work.dimensions_detail[0] if work.dimensions_detail else _Dimension()
    tags = (*(work.subject_titles or ()), work.classification_title or "")
    return ArtworkFound(
        title=work.title,
        artist_name=work.artist_title or "",
        uri=page,
        date_created=work.date_display,
        year=work.date_end,
        medium=work.medium_display,
        institution_name=INSTITUTION,
        # The manifest exists for works whose picture may be shown to everybody.
        iiif_manifest=(
            f"{BASE_URL}/api/v1/artworks/{work.id}/manifest.json"
            if work.image_id and work.is_public_domain
            else None
        ),
        thumbnail_url=(
            f"{iiif_url}/{work.image_id}/full/400,/0/default.jpg" if work.image_id else None
        ),
        width_cm=size.width or None,
        height_cm=size.height or None,
        movements=tuple(work.style_titles or ()),
        tags=tuple(dict.fromkeys(tag for tag in tags if plain(tag))),
        source=ArtInstituteOfChicago.name,
        source_id=str(work.id),
        url=page,
    )
