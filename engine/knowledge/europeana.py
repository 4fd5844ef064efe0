"""Europeana: works from thousands of European museums, libraries and archives.

Asked by its search interface (https://pro.europeana.eu/page/apis), one request a question; it needs
a key, which goes out in a header, so that no address and no cache holds it. Must not import a
sibling connector, sessions, pipelines or providers.
"""

from __future__ import annotations

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
from engine.knowledge.wording import is_same_person, plain, years_in

BASE_URL = "https://api.europeana.eu"
PACE = Pace(per_s=10, burst=20, lanes=8)
"""No figure is published; this is what a person clicking fast would do."""


class _Item(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    title: list[str] = []
    dc_creator: list[str] = []
    year: list[str] = []
    data_provider: list[str] = []
    edm_preview: list[str] = []
    guid: str = ""
    edm_concept_pref_label_lang_aware: dict[str, list[str]] = {}


class _Page(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw] = []


class Europeana:
    """Europeana as a source of artworks."""

    name = "europeana"
    url = "https://www.europeana.eu/"

    def __init__(self, fetcher: Fetcher, *, key: str, base_url: str = BASE_URL) -> None:
        self._fetcher = fetcher
        self._key = key
        self._base_url = base_url.rstrip("/")

    async def find_artists(self, query: ArtistQuery) -> list[ArtistFound]:
        """Find nothing: its search knows objects, and people only through them."""
        return []

    async def find_artworks(self, query: ArtworkQuery) -> list[ArtworkFound]:
        """Find pictures of works by their creator's name, or by the concepts."""
        if query.artist_name:
            question = f"who:{_phrase(query.artist_name)}"
        elif query.concepts:
            question = " OR ".join(f"what:{_phrase(concept)}" for concept in query.concepts)
        else:
            return []
        params = [
            ("query", question),
            ("qf", "TYPE:IMAGE"),
            ("theme", "art"),
            ("thumbnail", "true"),
            ("profile", "rich"),
            ("rows", str(min(query.limit * 2, 100))),
        ]
        start, end = query.period.start_year, query.period.end_year
        if start is not None or end is not None:
            lower, upper = "*" if start is None else start, "*" if end is None else end
            params.append(("qf", f"YEAR:[{lower} TO {upper}]"))
        body = await self._fetcher.fetch(
            Fetch(
                url=f"{self._base_url}/record/v2/search.json",
                params=tuple(params),
                headers=(("X-Api-Key", self._key),),
            )
        )
        items = decode_each(decode(body, _Page, source=self.name).items, _Item)
        works = [_artwork(item, query.artist_name) for item in items]
        return [work for work in works if work is not None][: query.limit]

    async def define(self, concept: str) -> Definition | None:
        """Leave definitions to the encyclopedias."""
        return None

    async def aclose(self) -> None:
        """Hold nothing, so release nothing; the client is shared."""


def _artwork(item: _Item, artist_name: str) -> ArtworkFound | None:
    """Read an item; None where it has no title or was made by somebody else.

    Creators are free text there, addresses of authorities among them: the first that is a name
    counts, and where an artist was asked for, it has to be that one.
    """
    names = [name for name in item.dc_creator if not name.startswith(("http://", "https://"))]
    creator = next((name for name in names if is_same_person(name, artist_name)), None)
    if creator is None and not artist_name:
        creator = names[0] if names else None
    if creator is None or not item.title:
        return None
    page = f"https://www.europeana.eu/item{item.id}"
    years = years_in(item.year[0]) if item.year else []
    return ArtworkFound(
        title=item.title[0],
        artist_name=artist_name or creator,
        uri=page,
        date_created=item.year[0] if item.year else None,
        year=years[-1] if years else None,
        institution_name=item.data_provider[0] if item.data_provider else None,
        iiif_manifest=f"https://iiif.europeana.eu/presentation{item.id}/manifest",
        thumbnail_url=item.edm_preview[0] if item.edm_preview else None,
        tags=tuple(
            dict.fromkeys(
                label
                for label in item.edm_concept_pref_label_lang_aware.get("en", [])
                if plain(label)
            )
        ),
        source=Europeana.name,
        source_id=item.id,
        url=page,
    )


def _phrase(words: str) -> str:
    """Quote a phrase for the search; quotes and backslashes have no place in one."""
    return '"' + words.replace("\\", " ").replace('"', " ") + '"'
