"""The writer serves the sessions of one connection in turn, by bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import MockClock

from engine import Entry, Subscription
from engine.events import Delta, Part
from engine.journal.interface import Epoch, SessionRecord
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.sessions.log import Log
from server.transports.writer import QUANTUM_BYTES, Feed, Writer

LARGEST = 16 * 1024
"""No message below is larger."""


class SlowWire:
    """Takes so many bytes a second, and one turn's messages ahead of that."""

    def __init__(self, bytes_per_s: float) -> None:
        self.taken: list[bytes] = []
        self._rate = bytes_per_s
        self._free_at = 0.0

    def write_frames(self, frames: Sequence[bytes]) -> bool:
        now = trio.current_time()
        if now < self._free_at:
            return False
        self.taken += frames
        self._free_at = now + sum(map(len, frames)) / self._rate
        return True

    async def room(self) -> bool:
        await trio.sleep_until(self._free_at)
        return True


async def open_log(name: str, journal: MemoryJournal, limits: Limits) -> Log:
    await journal.create(
        SessionRecord(
            session_id=name,
            protocol="test",
            owner="",
            command={},
            created_at=0.0,
            updated_at=0.0,
            epochs=(Epoch(name="e", after_seq=0),),
        )
    )
    return Log(
        session_id=name,
        epochs=(Epoch(name="e", after_seq=0),),
        after_seq=0,
        journal=journal,
        limits=limits,
        clock=trio.current_time,
        save_later=lambda save: save(),
        is_bounded=False,
    )


def write(log: Log, count: int, size: int, *, parts: int = 1) -> None:
    """Write deltas; of two parts by turns, none can be merged with its neighbour."""
    for number in range(count):
        part = Part(id=str(number % parts), target={}, phase="p")
        log.append(Delta(part=part, text=log.session_id * size), size)


@asynccontextmanager
async def serving(wire: SlowWire, logs: Sequence[Log]) -> AsyncIterator[Writer]:
    """Have a writer follow all logs, each message its session's name again and again."""

    def encode(entry: Entry) -> bytes:
        event: Any = entry.event
        return event.text.encode()

    fast: Any = wire
    writer = Writer(
        None, fast, frame=lambda message: message, max_control=8, on_end=lambda feed: None
    )
    async with trio.open_nursery() as nursery:
        for log in logs:
            feed = Feed(encode, lambda gap: b"")
            feed.subscription = Subscription(log, 0, wake=lambda _, feed=feed: writer.wake(feed))
            writer.follow(feed)
        nursery.start_soon(writer.run)
        yield writer
        nursery.cancel_scope.cancel()


def shares(wire: SlowWire) -> dict[str, int]:
    found: dict[str, int] = {}
    for message in wire.taken:
        name = message[:1].decode()
        found[name] = found.get(name, 0) + len(message)
    return found


async def test_backlogged_sessions_get_the_same_bytes(autojump_clock: MockClock) -> None:
    """Large messages or small ones: no session is ahead by more than a turn and a message."""
    limits = Limits(window_events=100_000, window_bytes=2**30)
    journal = MemoryJournal(limits)
    small, merged, large = [await open_log(name, journal, limits) for name in "sml"]
    write(small, 8000, 50, parts=2)
    write(merged, 8000, 50)
    write(large, 50, LARGEST, parts=2)
    wire = SlowWire(bytes_per_s=50_000)
    async with serving(wire, [small, merged, large]):
        for _ in range(20):
            await trio.sleep(0.9)
            got = shares(wire)
            assert len(got) == 3
            assert max(got.values()) - min(got.values()) <= QUANTUM_BYTES + LARGEST


async def test_session_behind_the_window_takes_no_more_than_its_share(
    autojump_clock: MockClock,
) -> None:
    """What is read from the journal comes in pages; the page counts for the turns that follow."""
    limits = Limits(window_events=16, window_bytes=4096)
    journal = MemoryJournal(limits)
    behind = await open_log("b", journal, limits)
    write(behind, 20_000, 50)
    behind.save()
    present = await open_log("p", journal, Limits(window_events=100_000, window_bytes=2**30))
    write(present, 20_000, 50)
    wire = SlowWire(bytes_per_s=100_000)
    async with serving(wire, [behind, present]):
        await trio.sleep(8)
        got = shares(wire)
        assert 0.8 < got["b"] / got["p"] < 1.25


async def test_session_that_speaks_now_and_then_does_not_wait_for_a_backlog(
    autojump_clock: MockClock,
) -> None:
    """A short message has to wait for one turn of each other session, not for their backlogs."""
    limits = Limits(window_events=100_000, window_bytes=2**30)
    journal = MemoryJournal(limits)
    flood, voice = [await open_log(name, journal, limits) for name in "fv"]
    write(flood, 200_000, 50)
    wire = SlowWire(bytes_per_s=20_000)
    turn_s = (QUANTUM_BYTES + LARGEST) / 20_000
    async with serving(wire, [flood, voice]):
        for count in range(1, 20):
            await trio.sleep(0.7)
            write(voice, 1, 20)
            await trio.sleep(2 * turn_s)
            assert shares(wire)["v"] == 20 * count
