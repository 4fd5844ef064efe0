"""Artwork discovery: works of the chosen artists, from all sources at the same time.

Every artist is asked for at once, of every source at once; a source that hangs costs its own answer
and its time-out, and nothing else. A work appears if a source holds it, under the source's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec
import trio

from engine.actors.unwrapping import single_error
from engine.events import JSON, Item
from engine.knowledge.asking import Answer
from engine.knowledge.interface import ArtworkFound, ArtworkQuery
from engine.knowledge.merging import merge_artworks, spread
from engine.knowledge.scoring import Score, Wanted, fits_media, score_artwork
from engine.knowledge.sources import SOURCE_NAMES
from engine.knowledge.wording import is_same_person
from engine.pipelines.exhibition.findings import Ledger, artwork_json
from engine.pipelines.exhibition.work import Work
from engine.sessions.outcomes import PartCut

STAGE = "artwork_discovery"
BEGIN, LAST, END = 60.0, 89.0, 90.0
CANDIDATES = 2
"""Times as many works as wanted are asked for each artist: some are one work, or do not fit."""
TRUST = ("artic", "met", "europeana", "wikidata", "catalogue")
"""Whose record of a work comes first: a museum's own before those who describe it from afar."""


async def discover_artworks(work: Work, artists: Sequence[JSON], wanted: Wanted) -> JSON:
    """Do the stage, or give what the log has of it.

    Args:
        work: the session.
        artists: those that were chosen.
        wanted: the brief, as far as scores go.

    Cancellation: at any point. Cancelled alone, the stage ends with what was found so far.
    """
    run = work.run
    if (done := work.done(STAGE)) is not None:
        return done
    message = f"Discovering works of {len(artists)} artists"
    await run.start_phase(STAGE, message, max(BEGIN, run.view.progress_percent))
    discovery = _Discovery(work, wanted)
    if not work.was_cancelled(STAGE):
        with suppress(PartCut):
            async with run.cuttable(work.stage_part(STAGE)):
                await discovery.discover(artists)
    data = discovery.result()
    await run.complete_phase(STAGE, "Artwork discovery complete", END, data)
    return data


class _Discovery:
    """One session's works."""

    def __init__(self, work: Work, wanted: Wanted) -> None:
        self._work = work
        self._brief = work.command.curator_brief
        self._config = work.command.config
        self._wanted = wanted
        self._ledger = Ledger()
        self._found: dict[str, list[ArtworkFound]] = {}
        self._shown: set[tuple[str, str]] = set()
        self._asked = 0

    async def discover(self, artists: Sequence[JSON]) -> None:
        """Ask for all artists at the same time."""
        for artist in artists:  # in this order, whoever answers first
            self._found[artist["name"]] = []
        with single_error():
            async with trio.open_nursery() as nursery:
                for artist in artists:
                    nursery.start_soon(self._ask, artist, len(artists))

    async def _ask(self, artist: JSON, count: int) -> None:
        config, sources = self._config, self._work.sources
        query = ArtworkQuery(
            artist_name=artist["name"],
            artist_wikidata_id=artist["wikidata_id"],
            concepts=self._brief.concepts,
            media=self._brief.media,
            period=self._wanted.period,
            limit=max(5, CANDIDATES * config.artworks_per_artist),
        )
        heard, answers = trio.open_memory_channel[Answer[ArtworkFound]](len(SOURCE_NAMES))
        with single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear, artist["name"], answers)
                async with heard:
                    given = await sources.find_artworks(
                        query, only=config.sources, heard=heard.send_nowait
                    )
        self._ledger.note(given)
        self._asked += 1
        percent = BEGIN + (LAST - BEGIN) * self._asked / count
        message = f"Asked for works of {artist['name']} ({self._asked} of {count})"
        await self._work.show(STAGE, message, percent)

    async def _hear(
        self, name: str, answers: trio.MemoryReceiveChannel[Answer[ArtworkFound]]
    ) -> None:
        async for answer in answers:
            for found in answer.found:
                if not is_same_person(found.artist_name, name):
                    continue  # a search by words finds others too
                found = msgspec.structs.replace(found, artist_name=name)
                self._found[name].append(found)
                await self._show(found)

    async def _show(self, found: ArtworkFound) -> None:
        """Show a work that fits, once for each record."""
        record = (found.source, found.source_id)
        score = score_artwork(found, self._wanted)
        if record in self._shown or not self._fits(found, score):
            return
        self._shown.add(record)
        data = artwork_json(found, score, self._concept(found))
        await self._work.run.emit(Item(phase=STAGE, kind="artwork", data=data))

    # ---- the choice ------------------------------------------------------------------------------

    def result(self) -> JSON:
        """Merge, score, filter, spread and cut what was found."""
        config = self._config
        found = [work for works in self._found.values() for work in sorted(works, key=_trust)]
        scores = [(work, score_artwork(work, self._wanted)) for work in merge_artworks(found)]
        fitting = {id(work): score for work, score in scores if self._fits(work, score)}
        chosen = spread(
            [(work, score.score) for work, score in scores if id(work) in fitting],
            per_artist=config.artworks_per_artist,
            max_works=config.max_artworks,
        )
        chosen.sort(key=lambda each: -each[1])
        return {
            "artworks": [
                artwork_json(work, fitting[id(work)], self._concept(work)) for work, _ in chosen
            ],
            "sources": self._ledger.as_json(),
            "notes": self._notes({work.artist_name for work, _ in chosen}),
        }

    def _fits(self, work: ArtworkFound, score: Score) -> bool:
        is_relevant = score.score >= self._config.min_artwork_relevance
        return is_relevant and fits_media(work, self._brief.media)

    def _concept(self, work: ArtworkFound) -> str | None:
        """The concept of the brief that a work touches most; None: none of them."""
        touched = [
            (score_artwork(work, Wanted(concepts=(concept,))).parts["theme"], -place)
            for place, concept in enumerate(self._brief.concepts)
        ]
        strength, place = max(touched)
        return self._brief.concepts[-place] if strength > 0 else None

    def _notes(self, shown: set[str]) -> list[str]:
        without = [name for name in self._found if name not in shown]
        if not without:
            return []
        return [f"No fitting work was found of {', '.join(without)}."]


def _trust(work: ArtworkFound) -> int:
    return TRUST.index(work.source) if work.source in TRUST else len(TRUST)
