"""Slots: bounds for the process and for an owner, and none is ever leaked (I14)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.engine import Engine, open_engine
from engine.errors import InvalidRequest, JournalFailed, Overloaded, RateLimited
from engine.journal.interface import SessionRecord
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.pipelines.rater.pipeline import RaterPipeline
from engine.sessions.slots import Slots
from engine.testing.scripted_provider import Hang, ScriptedProvider, say
from tests.pipelines.rig import Shelf

RATING = {"raterPrompt": "Be strict.", "plotPoint": "A door.", "structured_context": {}}


class SlowJournal(MemoryJournal):
    """Takes a few checkpoints to create a session, and can fail."""

    def __init__(self) -> None:
        super().__init__(Limits())
        self.fails = False

    async def create(self, record: SessionRecord) -> None:
        for _ in range(3):
            await trio.sleep(0.1)
        if self.fails:
            raise JournalFailed("the disk is full")
        await super().create(record)


def slots(engine: Engine) -> Slots:
    return engine._slots


def test_owner_and_process_have_bounds_of_their_own() -> None:
    """64 running sessions for a user, 10,000 for the process; no name, no bound of its own."""
    counted = Slots(3, 1)
    counted.check("ada")
    counted.take("ada")
    with pytest.raises(RateLimited) as refused:
        counted.check("ada")
    assert refused.value.retry_after_s == 1.0
    counted.check("bob")
    counted.take("")
    counted.check("")
    counted.take("")
    with pytest.raises(Overloaded):
        counted.check("bob")
    counted.give_back("ada")
    counted.check("ada")
    assert (counted.taken, counted.taken_by("ada")) == (2, 0)


@pytest.mark.parametrize("step", range(8))
async def test_start_that_is_cancelled_at_any_moment_leaks_no_slot(
    autojump_clock: MockClock, step: int
) -> None:
    """Slots never leak: a start that was cancelled, and what it may have started, gives it back."""
    provider = ScriptedProvider([Hang()])
    async with open_engine(
        providers=Shelf(provider),
        pipelines=[RaterPipeline()],
        journal=SlowJournal(),
        limits=Limits(max_sessions=1, max_sessions_per_owner=1, grace_s=0.5),
    ) as engine:
        with trio.move_on_after(step * 0.05):
            await engine.start("rater", RATING, owner="ada")
        await trio.sleep(2)
        assert (slots(engine).taken, slots(engine).taken_by("ada")) == (0, 0)
        assert engine.sessions == {}
        assert provider.open_calls == 0
        await engine.start("rater", RATING, owner="ada")
        assert slots(engine).taken == 1


async def test_session_that_ends_in_any_way_gives_its_slot_back(
    autojump_clock: MockClock,
) -> None:
    """A result, a failure, a cancel, a disconnect, a refusal, a journal that fails."""
    journal = SlowJournal()
    provider = ScriptedProvider(say("no answer"), say("none"), [Hang()])
    async with open_engine(
        providers=Shelf(provider),
        pipelines=[RaterPipeline()],
        journal=journal,
        limits=Limits(max_sessions_per_owner=1, grace_s=0.5),
    ) as engine:
        failed = await engine.start("rater", RATING, owner="ada")
        with await engine.subscribe(failed.session_id):
            await failed.ended.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert slots(engine).taken == 0
        with pytest.raises(InvalidRequest):
            await engine.start("rater", {}, owner="ada")
        journal.fails = True
        with pytest.raises(JournalFailed):
            await engine.start("rater", RATING, owner="ada")
        journal.fails = False
        assert slots(engine).taken == 0
        session = await engine.start("rater", RATING, owner="ada")
        with pytest.raises(RateLimited):
            await engine.start("rater", RATING, owner="ada")
        assert slots(engine).taken == 1
        await engine.cancel(session.session_id)
        await session.ended.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert slots(engine).taken == 0
        await engine.start("rater", RATING, owner="ada")  # nobody reads it: the grace ends it
        await trio.sleep(2)
        assert slots(engine).taken == 0


async def test_starts_side_by_side_do_not_overshoot(autojump_clock: MockClock) -> None:
    """A slot is taken before the start waits for anything."""
    refused: list[str] = []
    provider = ScriptedProvider([Hang()])
    async with open_engine(
        providers=Shelf(provider),
        pipelines=[RaterPipeline()],
        journal=SlowJournal(),
        limits=Limits(max_sessions_per_owner=3),
    ) as engine:

        async def start() -> None:
            try:
                await engine.start("rater", RATING, owner="ada")
            except RateLimited as error:
                refused.append(error.code)

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(start)
        assert (slots(engine).taken, len(refused)) == (3, 7)


async def test_a_full_process_says_that_it_is_not_ready(autojump_clock: MockClock) -> None:
    """/readyz tells the truth: whoever would be refused is better sent elsewhere."""
    providers = Shelf(ScriptedProvider([Hang()]))
    async with open_engine(
        providers=providers, pipelines=[RaterPipeline()], limits=Limits(max_sessions=1)
    ) as engine:
        assert engine.why_not_ready == ()
        session = await engine.start("rater", RATING)
        assert engine.why_not_ready == ("full: 1 sessions are running",)
        session.cancel("client")
        await session.ended.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert engine.why_not_ready == ()
        await engine.drain(0)
        assert engine.why_not_ready == ("draining",)
