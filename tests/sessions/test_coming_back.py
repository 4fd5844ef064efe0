"""Coming back after a crash: all sessions, side by side, and with their whole grace time."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from engine.events import Completed
from engine.journal.interface import Epoch, SessionRecord
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.sessions.run import Run
from tests.sessions.doubles import open_test_engine, read_all

COMMIT_S = 0.1


class SlowJournal(MemoryJournal):
    """Takes a while for each epoch, and can do many at a time."""

    async def begin_epoch(self, session_id: str, name: str) -> SessionRecord:
        await trio.sleep(COMMIT_S)
        return await super().begin_epoch(session_id, name)


async def interrupted(count: int, *, detached: bool) -> SlowJournal:
    journal = SlowJournal()
    for index in range(count):
        await journal.create(
            SessionRecord(
                session_id=f"s{index}",
                protocol="test",
                owner="",
                command={},
                detached=detached,
                created_at=float(index),
                updated_at=float(index),
                state="running",
                epochs=(Epoch(name="old", after_seq=0),),
            )
        )
    return journal


async def finish(run: Run) -> Completed:
    return Completed(data={})


async def test_many_sessions_are_recovered_side_by_side(autojump_clock: MockClock) -> None:
    """The journal commits their epochs together: a restart with many sessions is no long one."""
    journal = await interrupted(640, detached=True)
    began = trio.current_time()
    async with open_test_engine(finish, journal=journal) as engine:
        assert trio.current_time() - began < 640 * COMMIT_S / 50
        for index in range(640):
            entries = await read_all(engine, f"s{index}")
            assert isinstance(entries[-1].event, Completed)


async def test_grace_is_counted_from_readiness(autojump_clock: MockClock) -> None:
    """An attached session goes on once a client comes back within the grace time, counted from
    readiness: a long recovery uses none of it up.
    """
    count = 640
    journal = await interrupted(count, detached=False)
    limits, began = Limits(grace_s=0.5), trio.current_time()
    async with open_test_engine(finish, journal=journal, limits=limits) as engine:
        assert trio.current_time() - began > limits.grace_s, "the recovery has to be a long one"
        await trio.sleep(0.4)
        assert len(engine.sessions) == count
        entries = await read_all(engine, "s0")
        assert isinstance(entries[-1].event, Completed)
        await trio.sleep(0.3)
        assert not engine.sessions
        record = await engine.record("s1")
        assert record.state == "cancelled"
