"""The faulty journal fails where it is told to, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from engine.errors import JournalFailed
from engine.events import Delta
from engine.journal.interface import Journal
from engine.journal.memory import MemoryJournal
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.journal_suite import PART, JournalSuite, batch, entry, read_all, record


class _Reopened(JournalSuite):
    """A second opening of a folder finds what survived."""

    delay_s = 0.0

    @asynccontextmanager
    async def open_journal(self, folder: Path) -> AsyncGenerator[Journal, None]:
        kept: dict[Path, FaultyJournal] = self.__dict__.setdefault("kept", {})
        inner: Journal = kept[folder].survivor() if folder in kept else MemoryJournal()
        kept[folder] = FaultyJournal(inner, delay_s=self.delay_s)
        yield kept[folder]


class TestContractAtOnce(_Reopened):
    """Without faults it is a journal like any other."""


@pytest.mark.usefixtures("autojump_clock")
class TestContractWithDelay(_Reopened):
    """With a delay too, whoever waits for commits sees a journal like any other."""

    delay_s = 0.01


async def test_batch_is_durable_after_its_delay_and_not_before(autojump_clock: MockClock) -> None:
    """A simulated test sees the window in which an entry is not committed."""
    inner = MemoryJournal()
    journal = FaultyJournal(inner, delay_s=0.5)
    await journal.create(record())
    commit = journal.append_nowait(batch(entry(1)))
    await trio.sleep(0.4)
    assert not commit.is_done
    assert await read_all(journal) == await read_all(inner) == []
    await trio.sleep(0.2)
    assert commit.is_done
    assert await read_all(inner) == [entry(1)]


async def test_wait_ends_when_the_delay_is_over(autojump_clock: MockClock) -> None:
    """A commit's wait takes the delay, counted from the append."""
    journal = FaultyJournal(MemoryJournal(), delay_s=0.5)
    await journal.create(record())
    began = trio.current_time()
    commit = journal.append_nowait(batch(entry(1)))
    await trio.sleep(0.2)
    await commit.wait()
    assert trio.current_time() - began == pytest.approx(0.5)


async def test_writes_never_overtake_each_other(autojump_clock: MockClock) -> None:
    """A quick write behind a slow one is durable after it."""
    delays = iter([0.0, 1.0, 0.1])
    journal = FaultyJournal(MemoryJournal(), delay_s=lambda: next(delays))
    await journal.create(record())
    slow, quick = journal.append_nowait(batch(entry(1))), journal.append_nowait(batch(entry(2)))
    await quick.wait()
    assert slow.is_done
    assert await read_all(journal) == [entry(1), entry(2)]


async def test_crash_loses_what_is_not_durable_and_nothing_else(
    autojump_clock: MockClock,
) -> None:
    """Everything that was acknowledged survives; what was on its way is lost whole."""
    journal = FaultyJournal(MemoryJournal(), delay_s=0.5, crash_at=3)
    await journal.create(record())
    await journal.append_nowait(batch(entry(1), entry(2))).wait()
    lost = journal.append_nowait(batch(entry(3), entry(4)))
    with pytest.raises(JournalFailed, match="crashed"):
        journal.append_nowait(batch(entry(5)))
    with pytest.raises(JournalFailed, match="crashed"):
        _ = lost.is_done
    assert await read_all(journal.survivor()) == [entry(1), entry(2)]


async def test_no_call_succeeds_after_a_crash(autojump_clock: MockClock) -> None:
    """The process is dead: writes, reads and waits fail, those under way as well."""
    journal = FaultyJournal(MemoryJournal(), delay_s=0.5)
    await journal.create(record())
    commit = journal.append_nowait(batch(entry(1)))
    failed: list[str] = []

    async def wait() -> None:
        with pytest.raises(JournalFailed):
            await commit.wait()
        failed.append("wait")

    async def create() -> None:
        with pytest.raises(JournalFailed):
            await journal.create(record("s2"))
        failed.append("create")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(create)
        await trio.testing.wait_all_tasks_blocked()
        journal.crash()
    assert sorted(failed) == ["create", "wait"]
    for call in (journal.load("s1"), journal.read("s1", 0), journal.wait_room()):
        with pytest.raises(JournalFailed):
            await call
    assert await journal.survivor().load("s2") is None


async def test_failed_append_fails_and_says_why() -> None:
    """A full disk: the Commit raises, `problem` says why, and what follows would leave a hole."""
    journal = FaultyJournal(MemoryJournal(), fail_at=2)
    await journal.create(record())
    await journal.append_nowait(batch(entry(1))).wait()
    failed = journal.append_nowait(batch(entry(2)))
    with pytest.raises(JournalFailed, match="disk is full"):
        await failed.wait()
    assert journal.problem == "the disk is full"
    with pytest.raises(JournalFailed, match="instead of 2"):
        await journal.append_nowait(batch(entry(3))).wait()
    await journal.append_nowait(batch(entry(2), entry(3))).wait()
    assert journal.problem == ""
    assert await read_all(journal) == [entry(1), entry(2), entry(3)]


async def test_room_is_there_once_enough_is_durable(autojump_clock: MockClock) -> None:
    """Backpressure: a writer that is too far ahead waits for the oldest write."""
    delays = iter([0.0, 1.0, 2.0, 3.0])
    journal = FaultyJournal(MemoryJournal(), delay_s=lambda: next(delays), max_pending=1)
    await journal.create(record())
    began = trio.current_time()
    for seq in (1, 2, 3):
        journal.append_nowait(batch(entry(seq)))
    await journal.wait_room()
    assert trio.current_time() - began == pytest.approx(2.0)
    assert journal.pending == 1


async def test_room_is_counted_in_text_as_well(autojump_clock: MockClock) -> None:
    """Backpressure: a few large batches fill it as many small ones do."""
    journal = FaultyJournal(MemoryJournal(), delay_s=1.0, max_pending_bytes=10)
    await journal.create(record())
    began = trio.current_time()
    journal.append_nowait(batch(entry(1, Delta(part=PART, text="x" * 10))))
    assert not journal.is_full
    journal.append_nowait(batch(entry(2, Delta(part=PART, text="x"))))
    assert journal.is_full
    assert journal.pending_bytes == 11
    await journal.wait_room()
    assert trio.current_time() - began == pytest.approx(1.0)
    assert journal.pending_bytes == 0


async def test_stalled_journal_makes_nothing_durable_and_ends_by_a_crash_alone(
    autojump_clock: MockClock,
) -> None:
    """A disk that has gone away: every later write waits for ever, reads go on."""
    journal = FaultyJournal(MemoryJournal(), stall_at=2)
    await journal.create(record())
    await journal.append_nowait(batch(entry(1))).wait()
    stalled = journal.append_nowait(batch(entry(2)))
    with trio.move_on_after(3600) as patience:
        await stalled.wait()
    assert patience.cancelled_caught
    assert not stalled.is_done
    assert await read_all(journal) == [entry(1)]
    journal.crash()
    assert journal.lost == (batch(entry(2)),)
    with pytest.raises(JournalFailed):
        await stalled.wait()
