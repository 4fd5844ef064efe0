"""All sources together: the door through which exhibition's pipeline asks.

The one rule: asking never raises and never takes longer than `source_timeout_s`. Every source is
asked at the same time; each gives what it found and a note, and those that fail give a note alone.

    async with open_sources(SourceSettings(offline=True), Limits()) as sources:
        answers = await sources.find_artists(ArtistQuery(concepts=("dreams",)))

Must not import sessions, pipelines or providers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import httpx2
import msgspec
import trio

from engine.knowledge import artic, europeana, met, wikidata, wikipedia
from engine.knowledge.artic import ArtInstituteOfChicago
from engine.knowledge.asking import Answer, SourceActor
from engine.knowledge.cache import Cache, CachedFetcher
from engine.knowledge.catalogue import Catalogue, open_catalogue
from engine.knowledge.europeana import Europeana
from engine.knowledge.fetching import Fetcher, HttpFetcher, make_client
from engine.knowledge.interface import (
    ArtistFound,
    ArtistQuery,
    ArtworkFound,
    ArtworkQuery,
    Definition,
    Source,
    SourceNote,
)
from engine.knowledge.met import MetropolitanMuseum
from engine.knowledge.policies import Pace, guarded
from engine.knowledge.wikidata import Wikidata
from engine.knowledge.wikipedia import Wikipedia
from engine.limits import Limits
from engine.supervision import ChildSpec, open_supervisor
from engine.supervision.breaker import Breaker

T = TypeVar("T")

SOURCE_NAMES = ("wikipedia", "wikidata", "artic", "met", "europeana", "catalogue")
"""The words by which a configuration chooses sources, in the order in which they are shown."""

_CATALOGUE_LANES = 2
"""It answers from one file in one thread; a second lane has its question ready."""


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the sources are, and what may be asked. The defaults are the public services."""

    offline: bool = False
    """Ask the embedded catalogue alone (`ANTIPHON_OFFLINE=1`)."""
    data_dir: Path | None = None
    """Holds `catalogue.sqlite` and `answers.sqlite`; None keeps both in memory."""
    europeana_key: str = ""
    """Without a key Europeana is not asked, and its note says so."""
    wikipedia_url: str = wikipedia.BASE_URL
    wikidata_url: str = wikidata.BASE_URL
    artic_url: str = artic.BASE_URL
    met_url: str = met.BASE_URL
    europeana_url: str = europeana.BASE_URL

    def __repr__(self) -> str:
        return f"SourceSettings(offline={self.offline}, data_dir={self.data_dir}, key=…)"


class Sources:
    """Every source that is open, behind one question each. Made by `open_sources`.

    Args:
        actors: one for each source that can be asked.
        absent: a note for each that cannot, by name.
        catalogue: the embedded one, for imports.
    """

    def __init__(
        self, actors: dict[str, SourceActor], absent: dict[str, SourceNote], catalogue: Catalogue
    ) -> None:
        self._actors = actors
        self._absent = absent
        self.catalogue = catalogue

    @property
    def names(self) -> tuple[str, ...]:
        """The sources that can be asked now."""
        return tuple(self._actors)

    async def find_artists(
        self,
        query: ArtistQuery,
        *,
        only: Sequence[str] | None = None,
        heard: Callable[[Answer[ArtistFound]], None] | None = None,
    ) -> tuple[Answer[ArtistFound], ...]:
        """Ask for artists, all sources at the same time.

        Args:
            query: what is wanted; `limit` holds for each source.
            only: names of the sources to ask; None: all of them.
            heard: called with each answer as it comes in, before the whole is returned.

        Returns: one answer for each source of `only`, in the order of SOURCE_NAMES.

        Cancellation: the sources' work for this question ends.
        """
        return await self._ask(lambda source: source.find_artists(query), only, heard)

    async def find_artworks(
        self,
        query: ArtworkQuery,
        *,
        only: Sequence[str] | None = None,
        heard: Callable[[Answer[ArtworkFound]], None] | None = None,
    ) -> tuple[Answer[ArtworkFound], ...]:
        """Ask for works, as `find_artists` does for artists."""
        return await self._ask(lambda source: source.find_artworks(query), only, heard)

    async def define(
        self,
        concept: str,
        *,
        only: Sequence[str] | None = None,
        heard: Callable[[Answer[Definition]], None] | None = None,
    ) -> tuple[Answer[Definition], ...]:
        """Ask what a concept means; `best_definition` chooses among the answers."""

        async def define(source: Source) -> list[Definition]:
            definition = await source.define(concept)
            return [definition] if definition is not None else []

        return await self._ask(define, only, heard)

    async def _ask(
        self,
        work: Callable[[Source], Awaitable[Sequence[T]]],
        only: Sequence[str] | None,
        heard: Callable[[Answer[T]], None] | None,
    ) -> tuple[Answer[T], ...]:
        wanted = [name for name in SOURCE_NAMES if only is None or name in only]
        asked = [self._actors[name] for name in wanted if name in self._actors]
        answers: dict[str, Answer[T]] = {
            name: Answer(note=self._absent[name]) for name in wanted if name in self._absent
        }
        reply, replies = trio.open_memory_channel[Answer[T]](len(asked))
        questions = [actor.ask_nowait(work, reply) for actor in asked]
        try:
            for _ in asked:
                answer = await replies.receive()
                answers[answer.note.source] = answer
                if heard is not None:
                    heard(answer)
        finally:
            for question in questions:
                question.forget()
        return tuple(answers[name] for name in wanted if name in answers)

    def __repr__(self) -> str:
        return f"<Sources {', '.join(map(repr, self._actors.values()))}>"


def best_definition(answers: Sequence[Answer[Definition]]) -> Definition | None:
    """The definition with the most confidence; None where no source had one."""
    found = [definition for answer in answers for definition in answer.found]
    return max(found, key=lambda definition: definition.confidence, default=None)


@asynccontextmanager
async def open_sources(settings: SourceSettings, limits: Limits) -> AsyncIterator[Sources]:
    """Open the catalogue, and the web sources unless offline, and start their actors.

    Opening asks nobody and needs no network. Leaving answers every question that still waits with
    a note, and ends those that are under way.
    """
    directory = settings.data_dir
    cache = Cache(
        directory / "answers.sqlite" if directory else None,
        max_bytes=limits.source_cache_bytes,
        max_age_s=limits.source_cache_s,
    )
    async with AsyncExitStack() as stack:
        catalogue = await stack.enter_async_context(
            open_catalogue(directory / "catalogue.sqlite" if directory else None)
        )
        lanes: list[tuple[Source, int]] = [(catalogue, _CATALOGUE_LANES)]
        if not settings.offline:
            client = await stack.enter_async_context(make_client(limits))
            stack.push_async_callback(cache.aclose)
            fetchers = _Fetchers(client, cache, limits)
            lanes = [*_web_sources(settings, fetchers, limits), *lanes]
        actors = {
            source.name: SourceActor(source, lanes=count, limits=limits) for source, count in lanes
        }
        for actor in actors.values():
            stack.push_async_callback(actor.aclose)  # runs once the supervisor has stopped them
        supervisor = await stack.enter_async_context(open_supervisor("sources"))
        for name, actor in actors.items():
            await supervisor.start(ChildSpec(name, actor.run))
        yield Sources(actors, _absent(settings), catalogue)


class _Fetchers:
    """Makes fetchers: each source has its own pace, breaker and retries; the rest is shared."""

    def __init__(self, client: httpx2.AsyncClient, cache: Cache, limits: Limits) -> None:
        self._client = client
        self._cache = cache
        self._limits = limits

    def make(self, source: str, pace: Pace) -> Fetcher:
        limits = self._limits
        breaker = Breaker(
            failures=limits.source_breaker_failures, reset_s=limits.source_breaker_reset_s
        )
        http = HttpFetcher(self._client, source=source, limits=limits)
        inner = guarded(http, source=source, pace=pace, breaker=breaker, limits=limits)
        return CachedFetcher(inner, self._cache)


def _web_sources(
    settings: SourceSettings, fetchers: _Fetchers, limits: Limits
) -> list[tuple[Source, int]]:
    """The sources of the web that can be asked, each with its number of lanes."""
    make = fetchers.make
    sources: list[tuple[Source, Pace]] = [
        (
            Wikipedia(make("wikipedia", wikipedia.PACE), base_url=settings.wikipedia_url),
            wikipedia.PACE,
        ),
        (Wikidata(make("wikidata", wikidata.PACE), base_url=settings.wikidata_url), wikidata.PACE),
        (ArtInstituteOfChicago(make("artic", artic.PACE), base_url=settings.artic_url), artic.PACE),
        (MetropolitanMuseum(make("met", met.PACE), base_url=settings.met_url), met.PACE),
    ]
    if settings.europeana_key:
        fetcher = make("europeana", europeana.PACE)
        source = Europeana(fetcher, key=settings.europeana_key, base_url=settings.europeana_url)
        sources.append((source, europeana.PACE))
    return [(source, min(pace.lanes, limits.source_lanes)) for source, pace in sources]


_HOMES: Final[dict[str, str]] = {
    "wikipedia": Wikipedia.url,
    "wikidata": Wikidata.url,
    "artic": ArtInstituteOfChicago.url,
    "met": MetropolitanMuseum.url,
    "europeana": Europeana.url,
}
"""Where people can look at what a source has; for a note on one that is not asked."""


def _absent(settings: SourceSettings) -> dict[str, SourceNote]:
    """A note for each source that is not asked, and why."""
    notes: dict[str, SourceNote] = {}
    if settings.offline:
        for name, url in _HOMES.items():
            notes[name] = SourceNote(
                source=name, gave=0, why=f"{name} is not asked: offline", url=url
            )
    elif not settings.europeana_key:
        notes["europeana"] = SourceNote(
            source="europeana",
            gave=0,
            why="europeana is not asked: it needs a key",
            url=_HOMES["europeana"],
        )
    return notes
