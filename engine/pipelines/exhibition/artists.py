"""Artist discovery: who fits the theme, as far as sources know.

Three ways lead to candidates, at the same time: the theme itself, the brief's reference artists,
and the model's proposals. A name that nobody but the brief or the model said is a question to the
sources, never an answer: whom no source knows does not appear.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import msgspec
import trio

from engine.actors.unwrapping import single_error
from engine.events import JSON, Item
from engine.knowledge.asking import Answer
from engine.knowledge.interface import ArtistFound, ArtistQuery
from engine.knowledge.merging import merge_artists
from engine.knowledge.scoring import Wanted, rank_artists, score_artist
from engine.knowledge.sources import SOURCE_NAMES
from engine.knowledge.wording import is_same_person, plain
from engine.pipelines.exhibition.findings import Ledger, artist_json
from engine.pipelines.exhibition.prompts import artists_request
from engine.pipelines.exhibition.work import Work
from engine.sessions.outcomes import PartCut, PartLost

STAGE = "artist_discovery"
BEGIN, LAST, END = 30.0, 54.0, 55.0
CANDIDATES = 3
"""Times as many artists as wanted are asked of each source: some are excluded or do not fit."""
NAMES_A_QUESTION = 10
"""Names are asked for in such groups: some sources need a request for each."""
MAX_NAME = 200
"""Characters of a name that a model proposes."""
PROPOSALS = (5, 20)
"""How many artists the model is asked for, at least and at most."""


async def discover_artists(work: Work, wanted: Wanted) -> JSON:
    """Do the stage, or give what the log has of it.

    Cancellation: at any point. Cancelled alone, the stage ends with what was found so far.
    """
    run = work.run
    if (done := work.done(STAGE)) is not None:
        return done
    await run.start_phase(STAGE, "Discovering artists", BEGIN)
    discovery = _Discovery(work, wanted)
    if not work.was_cancelled(STAGE):
        with suppress(PartCut):
            async with run.cuttable(work.stage_part(STAGE)):
                await discovery.discover()
    data = discovery.result()
    await run.complete_phase(STAGE, "Artist discovery complete", END, data)
    return data


class _Discovery:
    """One session's candidates."""

    def __init__(self, work: Work, wanted: Wanted) -> None:
        self._work = work
        self._brief = work.command.curator_brief
        self._config = work.command.config
        self._wanted = wanted
        self._ledger = Ledger()
        self._notes: list[str] = []
        self._found: dict[str, list[ArtistFound]] = {"reference": [], "theme": [], "proposal": []}
        self._shown: list[ArtistFound] = []
        self._steps = 0
        self._steps_done = 0

    async def discover(self) -> None:
        """Ask all ways at the same time."""
        brief = self._brief
        limit = min(150, CANDIDATES * self._config.max_artists)
        query = ArtistQuery(
            concepts=brief.concepts,
            movements=brief.movements,
            media=brief.media,
            period=self._wanted.period,
            limit=max(30, limit),
        )
        with single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ask, "theme", query)
                for names in _groups(brief.reference_artists):
                    nursery.start_soon(self._ask, "reference", _named(names))
                nursery.start_soon(self._propose, nursery)

    async def _propose(self, nursery: trio.Nursery) -> None:
        """Ask the model for names, and the sources whether they are people."""
        work = self._work
        least, most = PROPOSALS
        count = max(least, min(most, self._config.max_artists))
        request = artists_request(self._brief, count=count, model=work.model)
        try:
            answer = await work.run.ask(request, work.provider, "exhibition.artists")
        except PartLost as lost:
            self._notes.append(f"The model proposed no artists: {lost.message}")
            return
        names = read_names(answer.text)
        if not names:
            self._notes.append("The model's proposals could not be read.")
        for group in _groups(names[:most]):
            nursery.start_soon(self._ask, "proposal", _named(group))

    async def _ask(self, way: str, query: ArtistQuery) -> None:
        """Ask all sources one question, and show what each finds as soon as it is heard."""
        config, sources = self._config, self._work.sources
        self._steps += sum(name in sources.names for name in config.sources)
        heard, answers = trio.open_memory_channel[Answer[ArtistFound]](len(SOURCE_NAMES))
        with single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear, way, query.names, answers)
                async with heard:
                    given = await sources.find_artists(
                        query, only=config.sources, heard=heard.send_nowait
                    )
        self._ledger.note(given)

    async def _hear(
        self,
        way: str,
        names: Sequence[str],
        answers: trio.MemoryReceiveChannel[Answer[ArtistFound]],
    ) -> None:
        async for answer in answers:
            fitting = [artist for artist in answer.found if self._may_count(artist, names)]
            self._found[way] += fitting
            for artist in fitting:
                await self._show(artist)
            self._steps_done += 1
            percent = BEGIN + (LAST - BEGIN) * self._steps_done / max(1, self._steps)
            name = answer.note.source
            message = f"{name} knows {len(fitting)} fitting artists" if fitting else f"Asked {name}"
            await self._work.show(STAGE, message, percent)

    def _may_count(self, artist: ArtistFound, names: Sequence[str]) -> bool:
        """Whether a finding is what was asked for, and is not excluded."""
        if any(is_same_person(artist.name, name) for name in self._brief.exclude_artists):
            return False
        return not names or any(is_same_person(artist.name, name) for name in names)

    async def _show(self, artist: ArtistFound) -> None:
        """Show a candidate that fits, once."""
        score = score_artist(artist, self._wanted)
        if score.score < self._config.min_artist_relevance:
            return
        if len(merge_artists([*self._shown, artist])) == len(self._shown):
            return
        self._shown.append(artist)
        data = artist_json(artist, score)
        await self._work.run.emit(Item(phase=STAGE, kind="artist", data=data))

    # ---- the choice ------------------------------------------------------------------------------

    def result(self) -> JSON:
        """Merge, rank and cut what was found."""
        config = self._config
        found = [artist for way in self._found.values() for artist in sorted(way, key=_trust)]
        candidates = merge_artists(found)
        home = None if self._brief.include_international else self._home(candidates)
        if home is not None:
            candidates = [each for each in candidates if each.nationality in (None, home)]
            self._notes.append(f"Artists of one country only: {home}.")
        ranked = rank_artists(
            candidates,
            self._wanted,
            min_score=config.min_artist_relevance,
            max_artists=config.max_artists,
        )
        self._notes += self._missing(candidates, [artist for artist, _ in ranked])
        return {
            "artists": [artist_json(artist, score) for artist, score in ranked],
            "sources": self._ledger.as_json(),
            "notes": self._notes,
        }

    def _home(self, candidates: Sequence[ArtistFound]) -> str | None:
        """The nationality of the reference artists, or the one that most candidates have."""
        for artists in (merge_artists(self._found["reference"]), candidates):
            counted = Counter(each.nationality for each in artists if each.nationality)
            if counted:
                return counted.most_common(1)[0][0]
        return None

    def _missing(
        self, candidates: Sequence[ArtistFound], chosen: Sequence[ArtistFound]
    ) -> Iterable[str]:
        """Say what became of reference artists that were not chosen."""
        for name in self._brief.reference_artists:
            is_one = _is(name)
            if any(map(is_one, chosen)):
                continue
            if any(is_same_person(name, other) for other in self._brief.exclude_artists):
                yield f"{name} is a reference artist and excluded: left out."
            elif any(map(is_one, candidates)):
                yield f"{name} is known, and did not reach the relevance or the number asked for."
            else:
                yield f"No source that was asked knows {name}."


class _Proposed(msgspec.Struct, frozen=True):
    name: str


class _Proposals(msgspec.Struct, frozen=True):
    artists: list[_Proposed]


def read_names(text: str) -> list[str]:
    """Read the names out of a model's answer; empty where it is none."""
    found = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        proposals = msgspec.json.decode(found[0] if found else text, type=_Proposals)
    except (msgspec.DecodeError, UnicodeError):
        return []
    names = [each.name[:MAX_NAME].strip() for each in proposals.artists]
    return list({plain(name): name for name in names if plain(name)}.values())


def _groups(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [
        tuple(names[start : start + NAMES_A_QUESTION])
        for start in range(0, len(names), NAMES_A_QUESTION)
    ]


def _named(names: tuple[str, ...]) -> ArtistQuery:
    return ArtistQuery(names=names, limit=2 * len(names))


def _trust(artist: ArtistFound) -> int:
    """Whose name and id a merged artist keeps: Wikidata's first, for its ids go on to works."""
    order = ("wikidata", "catalogue")
    return order.index(artist.source) if artist.source in order else len(order)


def _is(name: str) -> Callable[[ArtistFound], bool]:
    return lambda artist: is_same_person(artist.name, name)
