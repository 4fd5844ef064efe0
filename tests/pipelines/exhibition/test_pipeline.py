"""The exhibition at work, as a client sees it: stages, findings, choices, proposal."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.engine import Engine
from engine.errors import ProviderNotFound, ProviderUnavailable
from engine.events import (
    JSON,
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Entry,
    Event,
    Failed,
    Item,
    PartCancelled,
    PartCompleted,
    PhaseCompleted,
    PhaseStarted,
    Progress,
    Selected,
    SelectionRequired,
)
from engine.limits import Limits
from engine.pipelines.exhibition.proposal import proposal_of
from engine.providers.interface import GenerationRequest
from engine.providers.simulated import SimSettings, SimulatedProvider
from engine.testing.scripted_provider import Fail, Script, say
from tests.pipelines.exhibition.doubles import (
    ARTISTS,
    NAMES,
    STATEMENT,
    ShelfSource,
    artist,
    artwork,
    oblige,
    open_exhibitions,
    proposing,
    request,
)
from tests.pipelines.generate.doubles import ObligingProvider
from tests.pipelines.rig import read_events

STAGES = ["theme_refinement", "artist_discovery", "artwork_discovery"]


async def exhibit(
    data: JSON, *shelves: ShelfSource, provider: Any = None, limits: Limits | None = None
) -> list[Event]:
    """Run one exhibition to its end."""
    provider = provider or ObligingProvider(oblige)
    async with open_exhibitions(provider, *shelves, limits=limits) as engine:
        session = await engine.start("exhibition", data)
        return await read_events(engine, session.session_id)


def result(events: list[Event], stage: str) -> JSON:
    [data] = [e.data for e in events if isinstance(e, PhaseCompleted) and e.phase == stage]
    return data


def proposal(events: list[Event]) -> JSON:
    assert isinstance(events[-1], Completed), events[-1]
    return events[-1].data


def names(found: list[JSON]) -> list[str]:
    return [each["name"] for each in found]


async def test_the_stages_follow_each_other(autojump_clock: MockClock) -> None:
    """Validation 5, theme 10 to 25, artists 30 to 55, artworks 60 to 90, proposal 95."""
    events = await exhibit(request())
    starts = [(e.phase, e.progress_percent) for e in events if isinstance(e, PhaseStarted)]
    assert starts == [
        ("validation", 5),
        ("theme_refinement", 10),
        ("artist_discovery", 30),
        ("artwork_discovery", 60),
        ("proposal_generation", 95),
    ]
    ends = [(e.phase, e.progress_percent) for e in events if isinstance(e, PhaseCompleted)]
    assert ends == list(zip(STAGES, (25, 55, 90), strict=True))
    bounds = {"theme_refinement": (10, 24), "artist_discovery": (30, 54)}
    bounds["artwork_discovery"] = (60, 89)
    shown = [e for e in events if isinstance(e, Progress)]
    for stage, (least, most) in bounds.items():
        percents = [e.progress_percent or 0 for e in shown if e.phase == stage]
        assert percents
        assert percents == sorted(percents)
        assert least <= percents[0] <= percents[-1] <= most
    theme = [e.data["progress"] for e in events if isinstance(e, PartCompleted)]
    assert theme == [14, 16, 18, 20, 22, 24]


async def test_the_theme_is_streamed_and_complete(autojump_clock: MockClock) -> None:
    """Texts are streamed under their own names; concepts come with definition and confidence."""
    events = await exhibit(request())
    theme = result(events, "theme_refinement")
    assert {key: theme[key] for key in ("exhibition_title", "subtitle", "complexity_level")} == {
        "exhibition_title": "Dreams in Chains",
        "subtitle": "What sleep leaves behind",
        "complexity_level": "intermediate",
    }
    folded: dict[str, str] = {}
    for event in events:
        if isinstance(event, Delta):
            folded[event.part.id] = folded.get(event.part.id, "") + event.text
            assert event.part.target == {"stage": "theme_refinement", "field": event.part.id}
    assert folded["curatorial_statement"] == theme["curatorial_statement"] == STATEMENT
    assert set(folded) <= theme.keys()
    known, unknown = theme["concepts"]
    assert (known["concept"], known["definition"]) == ("dreams", "What dreams are.")
    assert (known["confidence"], known["source"]) == (0.8, "wikidata")
    assert (unknown["definition"], unknown["confidence"]) == (None, 0.0)
    statement_at = next(
        i
        for i, e in enumerate(events)
        if isinstance(e, Delta) and e.part.id == "curatorial_statement"
    )
    title_at = next(i for i, e in enumerate(events) if isinstance(e, PartCompleted))
    assert title_at < statement_at


async def test_findings_are_shown_as_they_are_found(autojump_clock: MockClock) -> None:
    """An item for each artist and artwork as soon as it is found, whoever else is still asked."""
    slow = ShelfSource("artic", (), (), delay_s=3)
    events = await exhibit(request(), ShelfSource(), slow)
    for kind, stage in (("artist", "artist_discovery"), ("artwork", "artwork_discovery")):
        items = [e for e in events if isinstance(e, Item) and e.kind == kind]
        assert items
        end = next(
            i for i, e in enumerate(events) if isinstance(e, PhaseCompleted) and e.phase == stage
        )
        assert events.index(items[0]) < end
        for item in items:
            assert item.phase == stage
            assert item.data["source_id"]


async def test_both_sets_of_names(autojump_clock: MockClock) -> None:
    """Artists and artworks carry `score` and `relevance_score`, and both names of the reason."""
    events = await exhibit(request())
    found = [*proposal(events)["artists"], *proposal(events)["artworks"]]
    assert len(found) == 12
    for each in found:
        assert each["score"] == each["relevance_score"] >= 0.4
        assert each["reasoning"] == each["relevance_reasoning"] != ""
        assert each["source"] == "wikidata"
        assert each["source_id"]
        assert each["url"].startswith("https://")


async def test_the_proposal_is_whole(autojump_clock: MockClock) -> None:
    """The proposal holds texts, findings, quality, metrics, loans, notes and sources."""
    events = await exhibit(request())
    whole = proposal(events)
    assert whole["complete"] is True
    assert whole["exhibition_title"] == "Dreams in Chains"
    assert whole["metrics"] == {
        "artists": 4,
        "artworks": 8,
        "with_iiif": 0,
        "with_image": 8,
        "with_dimensions": 8,
    }
    [loan] = whole["loans"]
    assert (loan["institution"], loan["count"]) == ("Museum of One", 8)
    [source] = whole["sources"]
    assert source["source"] == "wikidata"
    assert source["definitions"] == 1
    assert source["artworks"] == 8
    assert 0.5 < whole["quality_score"] <= 1
    assert whole["feasibility_notes"]
    assert whole["processing_time"] > 0


# ---- facts ---------------------------------------------------------------------------------------


async def test_an_invention_never_appears(autojump_clock: MockClock) -> None:
    """A model's proposal counts only when a source confirms that the person exists."""
    provider = SimulatedProvider(SimSettings(faults="invent", tokens_per_s=0))
    events = await exhibit(request(reference_artists=["Nobody Real"]), provider=provider)
    text = json.dumps([str(event) for event in events if not isinstance(event, Delta)])
    assert "Vantreight" not in text
    assert set(names(proposal(events)["artists"])) == set(NAMES)
    assert "No source that was asked knows Nobody Real." in proposal(events)["feasibility_notes"]


async def test_invent_really_proposes_somebody(autojump_clock: MockClock) -> None:
    """The test above can fail: where a source does know the invented name, it appears."""
    provider = SimulatedProvider(SimSettings(faults="invent", tokens_per_s=0))
    shelf = ShelfSource(artists=(*ARTISTS, artist("Aurelio Vantreight", tags=("dream", "desire"))))
    shelf.artists = shelf.artists[-1:]
    events = await exhibit(request(), shelf, provider=provider)
    assert names(proposal(events)["artists"]) == ["Aurelio Vantreight"]


async def test_works_of_others_never_appear(autojump_clock: MockClock) -> None:
    """A source's search by words may give other people's works: they are left out."""

    class Sloppy(ShelfSource):
        async def find_artworks(self, query: Any) -> Any:
            return [artwork("Not hers", "Eve Else")]

    events = await exhibit(request(), Sloppy())
    assert proposal(events)["artworks"] == []


async def test_a_proposal_of_the_model_is_looked_up(autojump_clock: MockClock) -> None:
    """Whom only the model names appears when a source knows her, with the source's facts."""

    class ByNameOnly(ShelfSource):
        async def find_artists(self, query: Any) -> Any:
            return await super().find_artists(query) if query.names else []

    events = await exhibit(request(), ByNameOnly())
    assert set(names(proposal(events)["artists"])) == set(NAMES[:2])


@pytest.mark.parametrize("answer", ["no JSON at all", '{"artists": 3}', '{"artists": [1, {}]}'])
async def test_an_unreadable_proposal_is_noted(autojump_clock: MockClock, answer: str) -> None:
    """A model whose proposals cannot be read costs a note, not the stage."""

    def answer_badly(asked: GenerationRequest, call: int) -> Script:
        bad = asked.metadata["purpose"] == "exhibition.artists"
        return say(answer) if bad else oblige(asked, call)

    events = await exhibit(request(), provider=ObligingProvider(answer_badly))
    assert "The model's proposals could not be read." in proposal(events)["feasibility_notes"]
    assert len(proposal(events)["artists"]) == 4


async def test_a_failing_source_gives_a_note(autojump_clock: MockClock) -> None:
    """A source that fails gives nothing and a note in the proposal, never a failed stage."""
    broken = ShelfSource("met", fails="met cannot be reached")
    events = await exhibit(request(), ShelfSource(), broken)
    rows = {row["source"]: row for row in proposal(events)["sources"]}
    assert rows["met"]["why"] == ["met cannot be reached"]
    assert (rows["met"]["artists"], rows["met"]["artworks"]) == (0, 0)
    assert len(proposal(events)["artworks"]) == 8


async def test_a_hanging_source_costs_its_time_out(autojump_clock: MockClock) -> None:
    """One hanging source does not hold artwork discovery up beyond its time-out."""
    limits = Limits(source_timeout_s=5)
    hanging = ShelfSource("met", hangs=True)
    async with open_exhibitions(
        ObligingProvider(oblige), ShelfSource(), hanging, limits=limits
    ) as engine:
        session = await engine.start("exhibition", request())
        entries: list[Entry] = []
        with await engine.subscribe(session.session_id) as reader:
            while batch := await reader.receive():
                entries += [each for each in batch if isinstance(each, Entry)]
    at = {
        (type(each.event), each.event.phase): each.at
        for each in entries
        if isinstance(each.event, PhaseStarted | PhaseCompleted)
    }
    took_s = at[PhaseCompleted, "artwork_discovery"] - at[PhaseStarted, "artwork_discovery"]
    assert 5 <= took_s < 5.1
    works = [e for e in entries if isinstance(e.event, Item) and e.event.kind == "artwork"]
    assert len(works) == 8
    assert works[-1].at < at[PhaseStarted, "artwork_discovery"] + 0.5


async def test_artists_and_sources_are_asked_at_the_same_time(autojump_clock: MockClock) -> None:
    """With each source answering in 300 ms, the works of 15 artists take well under 2 s."""
    people = tuple(artist(f"Person {chr(97 + n) * 3}") for n in range(15))
    works = tuple(artwork(f"Work {n}", each.name) for n, each in enumerate(people))
    shelves = [
        ShelfSource(name, people, works, delay_s=0.3)
        for name in ("wikidata", "artic", "met", "europeana", "catalogue")
    ]
    async with open_exhibitions(ObligingProvider(oblige), *shelves) as engine:
        session = await engine.start("exhibition", request())
        times: dict[str, float] = {}
        with await engine.subscribe(session.session_id) as reader:
            while batch := await reader.receive():
                for each in batch:
                    if isinstance(each, Entry) and isinstance(each.event, PhaseCompleted):
                        times[each.event.phase] = each.at
                        artists = each.event.data.get("artists", [])
                        assert len(artists) in (0, 15)
    assert times["artwork_discovery"] - times["artist_discovery"] < 2


# ---- every field has an effect -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "artists", "artworks"),
    [
        ({"max_artists": 2}, 2, 4),
        ({"max_artworks": 3}, 4, 3),
        ({"artworks_per_artist": 1}, 4, 4),
        ({"min_artist_relevance": 1.0}, 0, 0),
        ({"min_artwork_relevance": 1.0}, 4, 0),
        ({"sources": ["wikipedia"]}, 0, 0),
    ],
)
async def test_bounds_of_the_configuration(
    autojump_clock: MockClock, config: JSON, artists: int, artworks: int
) -> None:
    """Each bound of the configuration holds."""
    events = await exhibit(request(config))
    assert len(proposal(events)["artists"]) == artists
    assert len(proposal(events)["artworks"]) == artworks


async def test_excluded_artists_are_dropped(autojump_clock: MockClock) -> None:
    """Excluded artists never appear, not even as items; nor when they are reference artists."""
    data = request(exclude_artists=["ASH, Ada"], reference_artists=["Ada Ash"])
    events = await exhibit(data)
    assert NAMES[0] not in json.dumps([e.data for e in events if isinstance(e, Item)])
    assert set(names(proposal(events)["artists"])) == set(NAMES[1:])
    assert any("Ada Ash" in note for note in proposal(events)["feasibility_notes"])


async def test_reference_artists_are_candidates(autojump_clock: MockClock) -> None:
    """A reference artist whom the theme would not find is a candidate when a source knows her."""

    class ByNameOnly(ShelfSource):
        async def find_artists(self, query: Any) -> Any:
            return await super().find_artists(query) if query.names else []

    provider = ObligingProvider(
        lambda asked, call: (
            proposing()
            if asked.metadata["purpose"] == "exhibition.artists"
            else oblige(asked, call)
        )
    )
    events = await exhibit(
        request(reference_artists=["Cyd Cedar"]), ByNameOnly(), provider=provider
    )
    assert names(proposal(events)["artists"]) == ["Cyd Cedar"]


async def test_artists_of_one_country(autojump_clock: MockClock) -> None:
    """Without international artists, those of the reference artists' nationality stay."""
    foreign = artist("Eve Elm", nationality="Mexican")
    shelf = ShelfSource(artists=(*ARTISTS, foreign), artworks=())
    data = request(include_international=False, reference_artists=["Eve Elm"])
    assert names(proposal(await exhibit(data, shelf))["artists"]) == ["Eve Elm"]
    data = request(include_international=False)
    assert set(names(proposal(await exhibit(data, shelf))["artists"])) == set(NAMES)
    assert len(proposal(await exhibit(request(), shelf))["artists"]) == 5


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"movements": ["Cubism"]}, "Bea"),
        ({"time_period": {"start_year": 1600, "end_year": 1700}}, "Cyd"),
    ],
)
async def test_movements_and_time_bear_on_the_score(
    autojump_clock: MockClock, fields: JSON, wanted: str
) -> None:
    """A movement or a time that is asked for puts those who belong to it first."""
    shelf = ShelfSource(
        artists=(
            artist("Ada Ash", movements=()),
            artist("Bea Birch", movements=("Cubism",)),
            artist("Cyd Cedar", movements=(), birth_year=1590, death_year=1680),
        ),
        artworks=(),
    )
    config = {"max_artists": 1, "min_artist_relevance": 0.1}
    events = await exhibit(request(config, **fields), shelf)
    assert names(proposal(events)["artists"])[0].startswith(wanted)


async def test_diversity_bears_on_the_choice(autojump_clock: MockClock) -> None:
    """With diversity, the second artist is unlike the first; without it, just the better one."""
    shelf = ShelfSource(
        artists=(
            artist("Ada Ash"),
            artist("Bea Birch"),
            artist("Cyd Cedar", gender="male", nationality="Malian", tags=("dream", "love")),
        ),
        artworks=(),
    )
    config = {"max_artists": 2, "min_artist_relevance": 0.1}
    mixed = await exhibit(request(config, prioritize_diversity=True), shelf)
    alike = await exhibit(request(config, prioritize_diversity=False), shelf)
    assert "Cyd Cedar" in names(proposal(mixed)["artists"])
    assert "Cyd Cedar" not in names(proposal(alike)["artists"])


async def test_media_bear_on_the_works(autojump_clock: MockClock) -> None:
    """Works of other media than those asked for are left out."""
    works = (artwork("A print", "Ada Ash", medium="woodcut"), artwork("An oil", "Ada Ash"))
    events = await exhibit(request(media=["print"]), ShelfSource(artworks=works))
    assert [work["title"] for work in proposal(events)["artworks"]] == ["A print"]


async def test_who_writes_is_chosen(autojump_clock: MockClock) -> None:
    """Provider and model are those of the configuration; one that is not there is refused."""
    provider = ObligingProvider(oblige)
    async with open_exhibitions(provider) as engine:
        config = {"provider": "obliging", "model": "big"}
        session = await engine.start("exhibition", request(config))
        await read_events(engine, session.session_id)
        assert {asked.model for asked in provider.requests} == {"big"}
        with pytest.raises(ProviderNotFound):
            await engine.start("exhibition", request({"provider": "nobody"}))
        assert not engine.sessions


async def test_the_brief_reaches_the_writer(autojump_clock: MockClock) -> None:
    """What the brief says of audience, style, space, weeks and money bears on the texts."""
    provider = ObligingProvider(oblige)
    data = request(target_audience="youth", narrative_style="dialogic", space_type="outdoor")
    await exhibit({**data}, provider=provider)
    asked = provider.asked("exhibition.statement")[0].messages[0].content
    for words in ("Dreams Unchained", "dreams, desire", "youth", "dialogue", "outdoor", "12 weeks"):
        assert words in asked
    assert "What dreams are." in asked
    assert "</brief>" in asked


# ---- texts out of bounds -------------------------------------------------------------------------


def writing(purpose: str, *texts: str) -> ObligingProvider:
    """A provider that writes other texts for one purpose, one after the other."""
    left = list(texts)

    def answer(asked: GenerationRequest, call: int) -> Script:
        if asked.metadata["purpose"] == purpose:
            return say(left.pop(0) if len(left) > 1 else left[0])
        return oblige(asked, call)

    return ObligingProvider(answer)


async def test_a_text_out_of_bounds_is_written_again(autojump_clock: MockClock) -> None:
    """A statement that is too short is a new attempt, and the writer is told what was wrong."""
    provider = writing("exhibition.statement", "Much too short.", STATEMENT)
    events = await exhibit(request(), provider=provider)
    [attempt] = [e for e in events if isinstance(e, Attempt)]
    assert (attempt.part.id, attempt.reason) == ("curatorial_statement", "validation")
    assert proposal(events)["curatorial_statement"] == STATEMENT
    last = provider.asked("exhibition.statement")[-1].messages[-1].content
    assert "3 words; it has to have 200 to 250 words" in last


async def test_a_text_that_stays_too_long_is_cut(autojump_clock: MockClock) -> None:
    """What is too long twice is cut at a sentence, in the stream as well, and that is said."""
    provider = writing("exhibition.statement", "Six words are in this one. " * 50)
    events = await exhibit(request(), provider=provider)
    statement = proposal(events)["curatorial_statement"]
    assert 200 <= len(statement.split()) <= 250
    assert statement.endswith("one.")
    folded = ""
    for event in events:
        if isinstance(event, Attempt) and event.part.id == "curatorial_statement":
            folded = ""
        if isinstance(event, Delta) and event.part.id == "curatorial_statement":
            folded += event.text
    assert folded == statement
    note = "The curatorial statement was cut from 300 to 246 words."
    assert note in proposal(events)["feasibility_notes"]


async def test_a_title_that_stays_too_long_is_cut(autojump_clock: MockClock) -> None:
    """The title has at most 50 characters, whatever the model writes."""
    events = await exhibit(request(), provider=writing("exhibition.title", "A dream " * 20))
    title = proposal(events)["exhibition_title"]
    assert len(title) <= 50
    assert title.startswith("A dream A dream")
    assert title.endswith("…")


async def test_a_provider_that_fails_fails_the_session(autojump_clock: MockClock) -> None:
    """A lost text ends the session with its error; finished stages keep what they found."""

    def fail(asked: GenerationRequest, call: int) -> Script:
        if asked.metadata["purpose"] == "exhibition.rationale":
            return [Fail(ProviderUnavailable("it is gone"))]
        return oblige(asked, call)

    async with open_exhibitions(ObligingProvider(fail)) as engine:
        session = await engine.start("exhibition", request())
        events = await read_events(engine, session.session_id)
        draft = await draft_of(engine, session.session_id)
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.phase) == ("provider_unavailable", "theme_refinement")
    assert draft["complete"] is False
    assert draft["artists"] == []
    assert not any("relevance" in note for note in draft["feasibility_notes"])


async def draft_of(engine: Engine, session_id: str) -> JSON:
    picture = await engine.picture(session_id)
    return proposal_of(
        session_id,
        picture.record.command,
        picture.view,
        created_at=picture.record.created_at,
        now=engine.now(),
    )


# ---- cancelling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.4, 0.6, 0.8, 1.1, 1.2, 1.3])
async def test_a_cancel_at_any_moment(autojump_clock: MockClock, after_s: float) -> None:
    """One terminal event, no open stream, and a draft of what there is."""
    provider = ObligingProvider(oblige)
    shelf = ShelfSource(delay_s=0.3)
    async with open_exhibitions(provider, shelf) as engine:
        session = await engine.start("exhibition", request())
        with await engine.subscribe(session.session_id):
            await trio.sleep(after_s)
            await engine.cancel(session.session_id)
            events = await read_events(engine, session.session_id)
        draft = await draft_of(engine, session.session_id)
    assert isinstance(events[-1], Cancelled)
    assert provider.open_calls == 0
    assert draft["complete"] is False
    done = [e.phase for e in events if isinstance(e, PhaseCompleted)]
    assert bool(draft["artists"]) == ("artist_discovery" in done)


async def test_a_stage_that_is_cancelled_alone(autojump_clock: MockClock) -> None:
    """Cancelling artist discovery ends it with what was found; the rest goes on."""
    slow = ShelfSource("artic", (), (), delay_s=4)
    async with open_exhibitions(ObligingProvider(oblige), ShelfSource(), slow) as engine:
        session = await engine.start("exhibition", request())
        with await engine.subscribe(session.session_id) as reader:
            seen: list[Event] = []
            while batch := await reader.receive():
                for each in batch:
                    assert isinstance(each, Entry)
                    seen.append(each.event)
                    if isinstance(each.event, Item) and each.event.kind == "artist":
                        await engine.cancel(
                            session.session_id, target={"stage": "artist_discovery"}
                        )
    [cut] = [e for e in seen if isinstance(e, PartCancelled)]
    assert cut.part.target == {"stage": "artist_discovery"}
    assert 1 <= len(result(seen, "artist_discovery")["artists"]) <= 4
    assert proposal(seen)["artworks"]


async def test_a_text_that_is_cancelled_alone(autojump_clock: MockClock) -> None:
    """A text that is cancelled is left out; without a title the brief's own is taken."""
    async with open_exhibitions(ObligingProvider(oblige)) as engine:
        session = await engine.start("exhibition", request())
        await trio.sleep(0.001)
        await engine.cancel(session.session_id, target={"stage": "theme_refinement"})
        events = await read_events(engine, session.session_id)
    theme = result(events, "theme_refinement")
    assert theme["exhibition_title"] == "Dreams Unchained"
    assert theme["curatorial_statement"] is None
    assert "The subtitle was cancelled." in theme["notes"]
    assert proposal(events)["artworks"]


# ---- choosing ------------------------------------------------------------------------------------


async def test_people_choose(autojump_clock: MockClock) -> None:
    """The session pauses after artists and after artworks, right after the stage's end."""
    events: list[Event] = []
    async with open_exhibitions(ObligingProvider(oblige)) as engine:
        session = await engine.start("exhibition", request({"auto_select": False}))
        with await engine.subscribe(session.session_id) as reader:
            while batch := await reader.receive():
                for each in batch:
                    assert isinstance(each, Entry)
                    events.append(each.event)
                    if isinstance(each.event, SelectionRequired):
                        choice = {"artist_discovery": [3, 1], "artwork_discovery": [2]}
                        phase = each.event.phase
                        await engine.select(session.session_id, phase, choice[phase])
    for place, event in enumerate(events):
        if isinstance(event, SelectionRequired):
            before = events[place - 1]
            assert isinstance(before, PhaseCompleted)
            key = "artists" if event.phase == "artist_discovery" else "artworks"
            assert event.candidates == before.data[key]
            assert event.expires_at == pytest.approx(1.8e9 + 3600, abs=60)
    found = result(events, "artist_discovery")["artists"]
    whole = proposal(events)
    assert names(whole["artists"]) == [found[3]["name"], found[1]["name"]]
    works = result(events, "artwork_discovery")["artworks"]
    assert {work["artist_name"] for work in works} == set(names(whole["artists"]))
    assert whole["artworks"] == [works[2]]
    assert [e.by for e in events if isinstance(e, Selected)] == ["client", "client"]


async def test_nobody_chooses(autojump_clock: MockClock) -> None:
    """After an hour each, the best ones are taken and the exhibition is whole."""
    async with open_exhibitions(ObligingProvider(oblige)) as engine:
        session = await engine.start("exhibition", request({"auto_select": False}))
        began = trio.current_time()
        events = await read_events(engine, session.session_id)
        took_s = trio.current_time() - began
    assert 7200 <= took_s < 7210
    assert [e.by for e in events if isinstance(e, Selected)] == ["expiry", "expiry"]
    assert len(proposal(events)["artworks"]) == 8


async def test_nothing_to_choose(autojump_clock: MockClock) -> None:
    """Where nothing was found nobody is asked, and the proposal says why it is empty."""
    shelf = ShelfSource(artists=(), artworks=())
    events = await exhibit(request({"auto_select": False}), shelf)
    assert not [e for e in events if isinstance(e, SelectionRequired)]
    whole = proposal(events)
    assert (whole["artists"], whole["artworks"], whole["quality_score"]) == ([], [], 0.0)
    assert any("No artist reached the relevance" in note for note in whole["feasibility_notes"])
