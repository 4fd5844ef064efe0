"""The outlet: when a delta is numbered, and that a late one makes no other late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from engine.events import Delta, Part
from engine.journal.interface import Epoch, SessionRecord
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.sessions.delays import DelayLine
from engine.sessions.log import Log
from engine.sessions.outlet import Outlet

PART = Part(id="p", target={"prompt_id": "p"}, phase="solutio")
LIMITS = Limits()
TURN_S = LIMITS.rollup_s / 5


@asynccontextmanager
async def open_outlet() -> AsyncIterator[tuple[Outlet, Log]]:
    journal = MemoryJournal(LIMITS)
    await journal.create(
        SessionRecord(
            session_id="s",
            protocol="generate",
            owner="",
            command={},
            created_at=0,
            updated_at=0,
            state="running",
            epochs=(Epoch(name="e", after_seq=0),),
        )
    )
    rollup = DelayLine(LIMITS.rollup_s)
    log = Log(
        session_id="s",
        epochs=(Epoch(name="e", after_seq=0),),
        after_seq=0,
        journal=journal,
        limits=LIMITS,
        clock=trio.current_time,
        save_later=lambda function: function(),
        is_bounded=False,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rollup.run)
        yield Outlet(PART, log, rollup, LIMITS), log
        nursery.cancel_scope.cancel()


def entries(log: Log) -> list[tuple[float, Delta]]:
    """Give when each event was numbered, and the event."""
    found = []
    for entry in log._entries:
        assert isinstance(entry.event, Delta)
        found.append((entry.at, entry.event))
    return found


async def lateness(due: list[float]) -> list[float]:
    """Write a token at each moment; give how long after it each was numbered, in seconds."""
    async with open_outlet() as (outlet, log):
        begin = trio.current_time()
        for at in due:
            await trio.sleep_until(begin + at)
            outlet.write_nowait("x", 1)
        await trio.sleep(1)
        late: list[float] = []
        for at, delta in entries(log):
            while len(late) < delta.tokens:
                late.append(at - begin - due[len(late)])
    assert len(late) == len(due)
    return late


@pytest.mark.parametrize("pace_s", [0.033, 0.049, 0.05, 0.1])
async def test_a_late_delta_makes_no_later_one_late(
    autojump_clock: MockClock, pace_s: float
) -> None:
    """At a pace slower than the window each delta leaves at once; after a late one, soon again.

    A delta that comes within the window waits for the end of that window, and not for a whole one:
    its successor would come within the next one, and so on to the end of the session.
    """
    due = [index * pace_s for index in range(40)]
    due[10] += pace_s * 0.8
    late = await lateness(due)
    assert max(late[:11]) <= 1e-9
    assert max(late) <= LIMITS.rollup_s + TURN_S
    assert max(late[16:]) <= 1e-9


async def test_fast_deltas_are_joined_to_one_event_a_window(autojump_clock: MockClock) -> None:
    """The first delta leaves at once, what follows within the window is one event."""
    async with open_outlet() as (outlet, log):
        begin = trio.current_time()
        for _ in range(1000):
            outlet.write_nowait("x", 1)
            await trio.sleep(0.001)
        outlet.flush()
        took = trio.current_time() - begin
        assert took / (LIMITS.rollup_s + TURN_S) - 2 <= log.head <= took / LIMITS.rollup_s + 2
        assert "".join(delta.text for _, delta in entries(log)) == "x" * 1000
        assert outlet.tokens == 1000


async def test_nothing_is_numbered_after_a_flush_twice(autojump_clock: MockClock) -> None:
    """What a flush has numbered, the end of the window finds gone."""
    async with open_outlet() as (outlet, log):
        outlet.write_nowait("a", 1)
        outlet.write_nowait("b", 1)
        outlet.flush()
        await trio.sleep(1)
        assert log.head == 2
