"""The SQLite journal keeps the contract of all journals. Real time: its writer is a thread."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from engine.errors import JournalFailed
from engine.events import Completed, Delta
from engine.journal.interface import Journal
from engine.journal.sqlite import SqliteJournal
from engine.journal.sqlite_reading import sessions
from engine.journal.sqlite_schema import connect
from engine.journal.sqlite_tail import Snapshot, Tail
from engine.limits import Limits
from engine.testing.journal_suite import PART, JournalSuite, batch, entry, record


@asynccontextmanager
async def running(path: Path, limits: Limits | None = None) -> AsyncGenerator[SqliteJournal, None]:
    """Run a journal for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        journal = SqliteJournal(path, limits)
        await nursery.start(journal.run)
        yield journal
        nursery.cancel_scope.cancel()


class TestContract(JournalSuite):
    @asynccontextmanager
    async def open_journal(self, folder: Path) -> AsyncGenerator[Journal, None]:
        async with running(folder / "journal.sqlite3") as journal:
            yield journal


async def test_batches_are_committed_in_groups(tmp_path: Path) -> None:
    """What comes while a group is written is the next group: many batches, few transactions."""
    async with running(tmp_path / "j") as journal:
        await journal.create(record())
        commits = [journal.append_nowait(batch(entry(seq))) for seq in range(1, 501)]
        assert not commits[0].is_done
        await commits[0].wait()
        assert all(commit.is_done for commit in commits)


async def test_batch_on_its_way_is_not_read(tmp_path: Path) -> None:
    """Readers see what is durable and nothing else."""
    async with running(tmp_path / "j") as journal:
        await journal.create(record())
        commit = journal.append_nowait(batch(entry(1)))
        if not await journal.read("s1", 0):
            await commit.wait()
        assert await journal.read("s1", 0) == (entry(1),)


async def test_closing_writes_what_was_appended(tmp_path: Path) -> None:
    """Cancellation of `run`: what was appended is still written, what comes later is refused."""
    async with running(tmp_path / "j") as journal:
        await journal.create(record())
        commits = [journal.append_nowait(batch(entry(seq))) for seq in range(1, 51)]
    for commit in commits:
        assert commit.is_done
    with pytest.raises(JournalFailed, match="not running"):
        journal.append_nowait(batch(entry(51)))
    with pytest.raises(JournalFailed, match="not running"):
        await journal.load("s1")
    assert journal.problem == "the journal is not running"
    async with running(tmp_path / "j") as journal:
        assert len(await journal.read("s1", 0)) == 50


async def test_journal_can_be_run_again(tmp_path: Path) -> None:
    """A supervisor may restart the writer: the object and its sessions go on."""
    journal = SqliteJournal(tmp_path / "j")
    for turn in (1, 2, 3):
        async with trio.open_nursery() as nursery:
            await nursery.start(journal.run)
            if turn == 1:
                await journal.create(record())
            await journal.append_nowait(batch(entry(turn))).wait()
            with pytest.raises(RuntimeError, match="running already"):
                await journal.run()
            nursery.cancel_scope.cancel()
    async with running(tmp_path / "j") as again:
        assert len(await again.read("s1", 0)) == 3


async def test_queue_is_bounded(tmp_path: Path) -> None:
    """Backpressure: `wait_room` waits above the bound, and an append far above it is refused."""
    text = "x" * 1000
    async with running(tmp_path / "j", Limits(journal_pending_bytes=10_000)) as journal:
        await journal.create(record())
        with pytest.raises(JournalFailed, match="queue is full"):
            for seq in range(1, 100):
                commit = journal.append_nowait(batch(entry(seq, Delta(part=PART, text=text))))
        assert not commit.is_done
        await journal.wait_room()
        assert commit.is_done
        assert len(await journal.read("s1", 0)) == seq - 1
        await journal.append_nowait(batch(entry(seq))).wait()


async def test_batch_that_cannot_be_written_spoils_no_other(tmp_path: Path) -> None:
    """In one group, one batch is faulty: its Commit raises, the others are durable."""
    async with running(tmp_path / "j") as journal:
        await journal.create(record())
        await journal.create(record("s2"))
        good = journal.append_nowait(batch(entry(1)))
        bad = journal.append_nowait(
            batch(entry(2, Completed(data={"x": object()})), opened={"p": 1})
        )
        other = journal.append_nowait(batch(entry(1), session_id="s2"))
        await other.wait()
        await good.wait()
        with pytest.raises(JournalFailed, match="cannot be written"):
            await bad.wait()
        held = await journal.load("s1")
        assert held is not None
        assert held.opened == {}
        await journal.append_nowait(batch(entry(2))).wait()
        assert journal.problem == ""


async def test_expiry_of_many_sessions_lets_others_write(tmp_path: Path) -> None:
    """Sessions expire some at a time, so that no commit waits for all of them."""
    async with running(tmp_path / "j") as journal:
        async with trio.open_nursery() as nursery:
            for index in range(120):
                nursery.start_soon(journal.create, record(f"old-{index}", state="completed"))
        await journal.create(record())
        finished: list[str] = []

        async def expire() -> None:
            assert await journal.expire(2000.0) == 120
            finished.append("expire")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(expire)
            await trio.testing.wait_all_tasks_blocked()
            await journal.append_nowait(batch(entry(1))).wait()
            finished.append("append")
        assert finished == ["append", "expire"]


async def test_listings_need_no_sort_of_all_sessions(tmp_path: Path) -> None:
    """A page costs the same among ten sessions as among a million: an index gives the order."""
    async with running(tmp_path / "j"):
        connection = connect(tmp_path / "j", read_only=True)
        plans = []
        connection.set_trace_callback(plans.append)
        snapshot = Snapshot(connection, Tail().view())
        sessions(snapshot, None, None, (), 50, None)
        sessions(snapshot, "ann", None, (), 50, "5.0_s1")
        connection.set_trace_callback(None)
        selects = [plan for plan in plans if "s.record" in plan]
        assert len(selects) == 2
        for select in selects:
            steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {select}")]
            assert any("USING INDEX sessions_by_" in step for step in steps)
            assert not any("TEMP B-TREE" in step for step in steps)
        connection.close()
