"""Wikidata: artists by movement, genre, subject and time, and their works.

One SPARQL request a question (`sparql` writes it) to https://query.wikidata.org/. It defines no
concepts: its descriptions are too short to quote. Must not import a sibling connector, sessions,
pipelines or providers.
"""

from __future__ import annotations

import re

import msgspec

from engine.knowledge import sparql
from engine.knowledge.fetching import Fetch, Fetcher, decode
from engine.knowledge.interface import (
    ArtistFound,
    ArtistQuery,
    ArtworkFound,
    ArtworkQuery,
    Definition,
)
from engine.knowledge.policies import Pace
from engine.knowledge.wording import positive_number, whole_number

BASE_URL = "https://query.wikidata.org"
PACE = Pace(per_s=5, burst=20, lanes=5)
"""Five queries at a time from one address is what the service allows."""

_ENTITY = re.compile(r"Q[1-9][0-9]*$")


class _Cell(msgspec.Struct, frozen=True):
    value: str


class _Results(msgspec.Struct, frozen=True):
    bindings: list[dict[str, _Cell]]


class _Answer(msgspec.Struct, frozen=True):
    results: _Results


class Wikidata:
    """Wikidata as a source of artists and artworks."""

    name = "wikidata"
    url = "https://www.wikidata.org/"

    def __init__(self, fetcher: Fetcher, *, base_url: str = BASE_URL) -> None:
        self._fetcher = fetcher
        self._base_url = base_url.rstrip("/")

    async def find_artists(self, query: ArtistQuery) -> list[ArtistFound]:
        """Find artists, those with the most encyclopedia articles first.

        A question with nothing but a period is not asked: it would be about everybody.
        """
        if not (query.names or query.movements or query.concepts or query.genres or query.media):
            return []
        found: dict[str, ArtistFound] = {}
        for row in await self._rows(sparql.artists(query)):
            artist = _artist(row)
            if artist is not None:
                found.setdefault(artist.source_id, artist)
        return list(found.values())[: query.limit]

    async def find_artworks(self, query: ArtworkQuery) -> list[ArtworkFound]:
        """Find works by an artist (best by the Wikidata id), or that depict the concepts."""
        if query.artist_wikidata_id and not _ENTITY.match(query.artist_wikidata_id):
            query = msgspec.structs.replace(query, artist_wikidata_id=None)
        if not (query.artist_wikidata_id or query.artist_name or query.concepts):
            return []
        found: dict[str, ArtworkFound] = {}
        for row in await self._rows(sparql.artworks(query)):
            work = _artwork(row, query)
            if work is not None:
                found.setdefault(work.source_id, work)
        return list(found.values())[: query.limit]

    async def define(self, concept: str) -> Definition | None:
        """Leave definitions to the encyclopedias."""
        return None

    async def aclose(self) -> None:
        """Hold nothing, so release nothing; the client is shared."""

    async def _rows(self, question: str) -> list[dict[str, str]]:
        body = await self._fetcher.fetch(
            Fetch(
                url=f"{self._base_url}/sparql",
                params=(("query", question), ("format", "json")),
                headers=(("Accept", "application/sparql-results+json"),),
            )
        )
        answer = decode(body, _Answer, source=self.name)
        return [{key: cell.value for key, cell in row.items()} for row in answer.results.bindings]


def _artist(row: dict[str, str]) -> ArtistFound | None:
    entity = _entity(row.get("artist"))
    name = row.get("name", "")
    if entity is None or not name or _ENTITY.fullmatch(name):
        return None  # an entity without a name in our languages is shown as its number
    return ArtistFound(
        name=name,
        wikidata_id=entity,
        birth_year=whole_number(row.get("born")),
        death_year=whole_number(row.get("died")),
        movements=_list(row.get("movements")),
        nationality=row.get("nationality") or None,
        gender=row.get("gender") or None,
        tags=_list(row.get("genres")),
        description=row.get("description") or None,
        source=Wikidata.name,
        source_id=entity,
        url=f"https://www.wikidata.org/wiki/{entity}",
    )


def _artwork(row: dict[str, str], query: ArtworkQuery) -> ArtworkFound | None:
    entity = _entity(row.get("work"))
    title = row.get("title", "")
    artist = query.artist_name or row.get("artist", "")
    if entity is None or not title or _ENTITY.fullmatch(title) or not artist:
        return None
    year = whole_number(row.get("year"))
    return ArtworkFound(
        title=title,
        artist_name=artist,
        uri=f"https://www.wikidata.org/entity/{entity}",
        date_created=str(year) if year is not None else None,
        year=year,
        medium=", ".join(_list(row.get("materials"))) or None,
        institution_name=row.get("institution") or None,
        iiif_manifest=_secure(row.get("manifest")),
        thumbnail_url=_thumbnail(row.get("picture")),
        width_cm=_centimetres(row.get("width_m")),
        height_cm=_centimetres(row.get("height_m")),
        movements=_list(row.get("movements")),
        tags=_list(row.get("subjects")),
        wikidata_id=entity,
        source=Wikidata.name,
        source_id=entity,
        url=f"https://www.wikidata.org/wiki/{entity}",
    )


def _entity(uri: str | None) -> str | None:
    found = _ENTITY.search(uri or "")
    return found[0] if found else None


def _list(joined: str | None) -> tuple[str, ...]:
    """Split what GROUP_CONCAT joined; entities without a label come as their number and go."""
    return tuple(item for item in (joined or "").split("|") if item and not _ENTITY.fullmatch(item))


def _centimetres(metres: str | None) -> float | None:
    """Normalised amounts are in metres."""
    try:
        return positive_number(str(float(metres) * 100)) if metres else None
    except ValueError:
        return None


def _secure(address: str | None) -> str | None:
    return address.replace("http://", "https://", 1) if address else None


def _thumbnail(picture: str | None) -> str | None:
    """Commons scales a picture when it is asked for a width."""
    secure = _secure(picture)
    return f"{secure}?width=400" if secure else None
