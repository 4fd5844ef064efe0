"""A person's choice: asked for, made, refused, overdue, and after a crash."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.callers import Options, Viewer
from engine.engine import Engine, open_engine
from engine.errors import Conflict, InvalidRequest, NotFound
from engine.events import Cancelled, Completed, Entry, Selected, SelectionRequired
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.sessions.run import Run
from engine.testing.faulty_journal import FaultyJournal
from tests.sessions.doubles import TestPipeline, open_test_engine, read_all

CANDIDATES = [{"name": name} for name in ("Ada", "Bea", "Cyd")]
HOUR_S = 3600.0
PATIENT = Limits(deadline_s=9 * HOUR_S)


def unix_now() -> float:
    """Let Unix time go with the virtual clock, over restarts of the engine too."""
    return 1.8e9 + trio.current_time()


async def ask(run: Run) -> Completed:
    chosen = await run.wait_selection("artists", CANDIDATES, expires_in_s=HOUR_S, best=[0, 1])
    return Completed(data={"chosen": chosen})


async def asked(engine: Engine, session_id: str) -> SelectionRequired:
    """Wait for the question."""
    with await engine.subscribe(session_id) as subscription:
        while batch := await subscription.receive():
            for item in batch:
                if isinstance(item, Entry) and isinstance(item.event, SelectionRequired):
                    return item.event
    raise AssertionError("nobody asked")


async def test_a_choice_reaches_the_pipeline(autojump_clock: MockClock) -> None:
    """The pause is a milestone, the choice is one, and the pipeline gets the indices as said."""
    async with open_test_engine(ask) as engine:
        session = await engine.start("test", {}, owner="ada")
        began_at = engine.now()
        question = await asked(engine, session.session_id)
        assert question.candidates == CANDIDATES
        assert question.expires_at == pytest.approx(began_at + HOUR_S)
        assert session.log.view.waiting == question
        chosen = await engine.select(session.session_id, "artists", [2, 0])
        assert chosen == [2, 0]
        assert session.log.view.selected["artists"].selected_indices == [2, 0]
        events = [entry.event for entry in await read_all(engine, session.session_id)]
    assert [type(event) for event in events] == [SelectionRequired, Selected, Completed]
    assert events[1] == Selected(phase="artists", selected_indices=[2, 0], by="client")
    assert events[2].data == {"chosen": [2, 0]}  # type: ignore[union-attr]


async def test_a_choice_that_never_comes(autojump_clock: MockClock) -> None:
    """The pause ends at `expires_at` with the best ones selected."""
    async with open_test_engine(ask, limits=PATIENT) as engine:
        session = await engine.start("test", {})
        with await engine.subscribe(session.session_id) as subscription:
            entries: list[Entry] = []
            while batch := await subscription.receive():
                entries += [item for item in batch if isinstance(item, Entry)]
    question, choice = entries[0], entries[1]
    assert isinstance(question.event, SelectionRequired)
    assert choice.event == Selected(phase="artists", selected_indices=[0, 1], by="expiry")
    assert choice.at == pytest.approx(question.event.expires_at)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([], "at least one"),
        (None, "must be a list"),
        ("0", "must be a list"),
        ([1, 1], "twice"),
        ([-1], "negative"),
        ([3], "beyond"),
        ([0, True], "whole numbers"),
        ([1.0], "whole numbers"),
    ],
)
async def test_a_choice_that_is_wrong(
    autojump_clock: MockClock, indices: Any, message: str
) -> None:
    """Empty, repeated, negative or too large indices are refused, and the pause goes on."""
    async with open_test_engine(ask) as engine:
        session = await engine.start("test", {})
        await asked(engine, session.session_id)
        with pytest.raises(InvalidRequest, match=message) as refused:
            await engine.select(session.session_id, "artists", indices)
        assert [path for path, _ in refused.value.details] == ["selected_indices"]
        assert session.log.view.waiting is not None
        assert await engine.select(session.session_id, "artists", [0]) == [0]


async def test_a_choice_in_the_wrong_state(autojump_clock: MockClock) -> None:
    """Before the question, for another phase, a second time and after the end: a conflict."""

    async def late(run: Run) -> Completed:
        await trio.sleep(1)
        return await ask(run)

    async with open_test_engine(late) as engine:
        session = await engine.start("test", {})
        reader = await engine.subscribe(session.session_id)
        with reader:
            with pytest.raises(Conflict, match="does not wait"):
                await engine.select(session.session_id, "artists", [0])
            await asked(engine, session.session_id)
            with pytest.raises(Conflict, match="but for artists"):
                await engine.select(session.session_id, "artworks", [0])
            with pytest.raises(NotFound):
                await engine.select(session.session_id, "artists", [0], viewer=Viewer(sub="eve"))
            await engine.select(session.session_id, "artists", [0])
            with pytest.raises(Conflict):
                await engine.select(session.session_id, "artists", [1])
        await read_all(engine, session.session_id)
        with pytest.raises(Conflict, match="has ended"):
            await engine.select(session.session_id, "artists", [1])


async def test_two_choices_at_once(autojump_clock: MockClock) -> None:
    """Of two choices in one moment the first counts, the other one is a conflict."""
    said: list[Any] = []
    async with open_test_engine(ask) as engine:
        session = await engine.start("test", {})

        async def choose(index: int) -> None:
            try:
                said.append(await engine.select(session.session_id, "artists", [index]))
            except Conflict as conflict:
                said.append(conflict)

        with await engine.subscribe(session.session_id):
            await asked(engine, session.session_id)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(choose, 0)
                nursery.start_soon(choose, 1)
            events = [entry.event for entry in await read_all(engine, session.session_id)]
    assert sum(isinstance(each, Conflict) for each in said) == 1
    [accepted] = [each for each in said if not isinstance(each, Conflict)]
    assert events[1] == Selected(phase="artists", selected_indices=accepted)


async def test_a_cancel_during_a_pause(autojump_clock: MockClock) -> None:
    """A cancel works during a pause; a choice that comes after it is refused."""
    async with open_test_engine(ask) as engine:
        session = await engine.start("test", {})
        with await engine.subscribe(session.session_id):
            await asked(engine, session.session_id)
            await engine.cancel(session.session_id)
            with pytest.raises(Conflict, match="being stopped"):
                await engine.select(session.session_id, "artists", [0])
            events = [entry.event for entry in await read_all(engine, session.session_id)]
    assert [type(event) for event in events] == [SelectionRequired, Cancelled]


@pytest.mark.parametrize("away_s", [600.0, 2 * HOUR_S])
async def test_a_pause_outlives_a_crash(autojump_clock: MockClock, away_s: float) -> None:
    """After a restart the pause goes on with the time that is left, even if that is none."""
    journal = FaultyJournal(MemoryJournal(Limits()), delay_s=0.001)
    pipeline = TestPipeline(ask)
    pipeline.is_detached = True  # type: ignore[misc]
    async with open_engine(
        providers=None,  # type: ignore[arg-type]
        pipelines=[pipeline],
        journal=journal,
        unix_now=unix_now,
        limits=PATIENT,
    ) as engine:
        session = await engine.start("test", {})
        question = await asked(engine, session.session_id)
        journal.crash()
    await trio.sleep(away_s)
    async with open_engine(
        providers=None,  # type: ignore[arg-type]
        pipelines=[pipeline],
        journal=journal.survivor(),
        unix_now=unix_now,
        limits=PATIENT,
    ) as engine:
        events = await read_all(engine, session.session_id)
    assert [type(entry.event) for entry in events] == [SelectionRequired, Selected, Completed]
    assert events[0].event == question
    late_s = max(0.0, away_s - HOUR_S)
    assert events[1].at == pytest.approx(question.expires_at + late_s, abs=0.1)


async def test_a_choice_outlives_a_crash(autojump_clock: MockClock) -> None:
    """A selection that was acknowledged is durable: it is not asked for again."""
    journal = FaultyJournal(MemoryJournal(Limits()), delay_s=0.001)

    async def ask_and_hang(run: Run) -> Completed:
        done = await ask(run)
        if run.now() < crash_at:
            await trio.sleep_forever()
        return done

    pipeline = TestPipeline(ask_and_hang)
    pipeline.is_detached = True  # type: ignore[misc]
    async with open_engine(
        providers=None,  # type: ignore[arg-type]
        pipelines=[pipeline],
        journal=journal,
        unix_now=unix_now,
    ) as engine:
        crash_at = engine.now() + 5
        session = await engine.start("test", {})
        await asked(engine, session.session_id)
        await engine.select(session.session_id, "artists", [1])
        journal.crash()
    await trio.sleep(10)
    async with open_engine(
        providers=None,  # type: ignore[arg-type]
        pipelines=[pipeline],
        journal=journal.survivor(),
        unix_now=unix_now,
    ) as engine:
        events = [entry.event for entry in await read_all(engine, session.session_id)]
    assert [type(event) for event in events] == [SelectionRequired, Selected, Completed]
    assert events[-1].data == {"chosen": [1]}  # type: ignore[union-attr]


async def test_one_key_makes_one_session(autojump_clock: MockClock) -> None:
    """A repeat with the same key gives the first session, at the same time and after a restart."""
    journal = FaultyJournal(MemoryJournal(Limits()), delay_s=0.01)
    ids: list[str] = []
    pipeline = TestPipeline(ask)
    async with open_engine(
        providers=None,  # type: ignore[arg-type]
        pipelines=[pipeline],
        journal=journal,
        unix_now=unix_now,
    ) as engine:

        async def start(owner: str) -> None:
            record = await engine.start_once("key", "test", {}, owner=owner)
            ids.append(record.session_id)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(start, "ada")
        assert len(set(ids)) == 1
        await start("bob")
        assert len(set(ids)) == 2
        journal.crash()
    async with open_engine(
        providers=None,  # type: ignore[arg-type]
        pipelines=[pipeline],
        journal=journal.survivor(),
        unix_now=unix_now,
    ) as engine:
        again = await engine.start_once("key", "test", {}, owner="ada")
        assert again.session_id == ids[0]
        assert len(engine.sessions) == 2


async def test_time_of_people_is_not_the_sessions(autojump_clock: MockClock) -> None:
    """A session that may wait for people has the time of its pauses on top of its deadline."""

    class Waiting(TestPipeline):
        is_detached = True

        def pauses(self, command: Any) -> int:
            return 2

    async def ask_twice(run: Run) -> Completed:
        for phase in ("artists", "artworks"):
            await run.wait_selection(phase, CANDIDATES, expires_in_s=HOUR_S, best=[0])
        return Completed(data={})

    async with open_engine(
        providers=None,  # type: ignore[arg-type]
        pipelines=[Waiting(ask_twice)],
    ) as engine:
        session = await engine.start("test", {})
        events = [entry.event for entry in await read_all(engine, session.session_id)]
        assert isinstance(events[-1], Completed)
        hasty = await engine.start("test", {}, options=Options(deadline_s=60))
        events = [entry.event for entry in await read_all(engine, hasty.session_id)]
        assert isinstance(events[-1], Cancelled)
        assert events[-1].reason == "deadline"
