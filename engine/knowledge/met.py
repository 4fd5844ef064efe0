"""The Metropolitan Museum of Art: works with dimensions, pictures and subjects.

Asked by its collection interface (https://metmuseum.github.io/): a search gives object ids, and
each object is a request of its own; they go out side by side. It gives no IIIF manifest. Must not
import a sibling connector, sessions, pipelines or providers.
"""

from __future__ import annotations

import msgspec
import trio

from engine.errors import SourceFailed
from engine.knowledge.fetching import Fetch, Fetcher, decode
from engine.knowledge.interface import (
    ArtistFound,
    ArtistQuery,
    ArtworkFound,
    ArtworkQuery,
    Definition,
)
from engine.knowledge.policies import Pace
from engine.knowledge.wording import is_same_person

BASE_URL = "https://collectionapi.metmuseum.org"
PACE = Pace(per_s=60, burst=60, lanes=8)
"""Its documentation asks for at most 80 requests a second."""

_SPARE = 3
"""Objects asked for beyond the limit: the search is loose, and some will be by somebody else."""


class _Ids(msgspec.Struct, frozen=True):
    objectIDs: list[int] | None = None  # noqa: N815 (the interface's own name)


class _Tag(msgspec.Struct, frozen=True):
    term: str


class _Element(msgspec.Struct, frozen=True):
    elementName: str | None = None  # noqa: N815
    elementMeasurements: dict[str, float | None] | None = None  # noqa: N815


class _Object(msgspec.Struct, frozen=True, rename="camel"):
    object_id: int = msgspec.field(name="objectID")
    title: str
    artist_display_name: str = ""
    object_date: str = ""
    object_end_date: int | None = None
    medium: str = ""
    repository: str = ""
    primary_image_small: str = ""
    object_url: str = msgspec.field(name="objectURL", default="")
    object_wikidata: str = msgspec.field(name="objectWikidata_URL", default="")
    classification: str = ""
    measurements: list[_Element] | None = None
    tags: list[_Tag] | None = None


class MetropolitanMuseum:
    """The Metropolitan Museum of Art as a source of artworks."""

    name = "met"
    url = "https://www.metmuseum.org/art/collection"

    def __init__(self, fetcher: Fetcher, *, base_url: str = BASE_URL) -> None:
        self._fetcher = fetcher
        self._base_url = base_url.rstrip("/")

    async def find_artists(self, query: ArtistQuery) -> list[ArtistFound]:
        """Find nothing: its interface knows objects, and people only through them."""
        return []

    async def find_artworks(self, query: ArtworkQuery) -> list[ArtworkFound]:
        """Find works by an artist's name, or by the concepts; those with pictures only.

        Objects that cannot be read are left out. When none can be, the first failure is raised.
        """
        words = query.artist_name or " ".join(query.concepts)
        if not words:
            return []
        ids = await self._search(words, query)
        objects = await self._objects(ids[: query.limit + _SPARE])
        works = [
            _artwork(thing)
            for thing in objects
            if thing.title
            and thing.artist_display_name
            and (not query.artist_name or is_same_person(thing.artist_display_name, words))
        ]
        return works[: query.limit]

    async def define(self, concept: str) -> Definition | None:
        """Leave definitions to the encyclopedias."""
        return None

    async def aclose(self) -> None:
        """Hold nothing, so release nothing; the client is shared."""

    async def _search(self, words: str, query: ArtworkQuery) -> list[int]:
        params = [("hasImages", "true")]
        if query.artist_name:
            params.append(("artistOrCulture", "true"))
        if query.period.start_year is not None or query.period.end_year is not None:
            # The two belong together there; an open end is given a year far away.
            params.append(("dateBegin", str(_or(query.period.start_year, -5000))))
            params.append(("dateEnd", str(_or(query.period.end_year, 2100))))
        params.append(("q", words))
        body = await self._fetcher.fetch(
            Fetch(
                url=f"{self._base_url}/public/collection/v1/search",
                params=tuple(params),
                missing_is_empty=True,
            )
        )
        return (decode(body, _Ids, source=self.name).objectIDs or []) if body else []

    async def _objects(self, ids: list[int]) -> list[_Object]:
        """Ask for all objects at the same time; keeps the search's order."""
        found: dict[int, _Object] = {}
        failures: list[SourceFailed] = []

        async def ask(object_id: int) -> None:
            url = f"{self._base_url}/public/collection/v1/objects/{object_id}"
            try:
                body = await self._fetcher.fetch(Fetch(url=url, missing_is_empty=True))
                if body:
                    found[object_id] = decode(body, _Object, source=self.name)
            except SourceFailed as failure:
                failures.append(failure)

        async with trio.open_nursery() as nursery:
            for object_id in ids:
                nursery.start_soon(ask, object_id)
        if failures and not found:
            raise failures[0]
        return [found[object_id] for object_id in ids if object_id in found]


def _artwork(thing: _Object) -> ArtworkFound:
    page = thing.object_url or f"https://www.metmuseum.org/art/collection/search/{thing.object_id}"
    size = _size(thing.measurements or [])
    return ArtworkFound(
        title=thing.title,
        artist_name=thing.artist_display_name,
        uri=page,
        date_created=thing.object_date or None,
        year=thing.object_end_date if thing.object_date else None,
        medium=thing.medium or None,
        institution_name=thing.repository or "The Metropolitan Museum of Art, New York, NY",
        thumbnail_url=thing.primary_image_small or None,
        width_cm=size.get("Width") or None,
        height_cm=size.get("Height") or None,
        tags=tuple(tag.term for tag in thing.tags or ()),
        wikidata_id=thing.object_wikidata.rsplit("/", 1)[-1] or None,
        source=MetropolitanMuseum.name,
        source_id=str(thing.object_id),
        url=page,
    )


def _size(elements: list[_Element]) -> dict[str, float | None]:
    """The measurements of the whole, in centimetres; else of whatever stands first."""
    for element in elements:
        if element.elementName == "Overall":
            return element.elementMeasurements or {}
    return (elements[0].elementMeasurements or {}) if elements else {}


def _or(year: int | None, open_end: int) -> int:
    return open_end if year is None else year
