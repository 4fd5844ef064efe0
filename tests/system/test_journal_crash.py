"""A journal whose process is killed, and one whose disk fails."""

from __future__ import annotations

import random
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from engine.errors import JournalFailed
from engine.events import Delta
from engine.journal.sqlite import SqliteJournal
from engine.limits import Limits
from engine.testing.journal_suite import PART, batch, entry, read_all, record
from tests.journal.test_sqlite import running

pytestmark = pytest.mark.system

WRITER = Path(__file__).with_name("journal_writer.py")
ROOT = Path(__file__).parents[2]


async def write_and_kill(path: Path, life: str, lines: int) -> dict[str, int]:
    """Let a process write until it has acknowledged so many batches, and kill it -9.

    Gives the last acknowledged offset of each session.
    """
    acknowledged: dict[str, int] = {}
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                [sys.executable, str(WRITER), str(path), life],
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                check=False,
            )
        )
        assert process.stdout is not None
        received = b""
        while received.count(b"\n") < lines:
            data = await process.stdout.receive_some()
            assert data, "the writer ended by itself"
            received += data
        with pytest.raises(JournalFailed, match=f"in use by another process .pid {process.pid}"):
            await SqliteJournal(path).run()
        await trio.sleep(random.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        async for data in process.stdout:
            received += data
    for line in received.decode().splitlines():
        session_id, seq = line.split()
        acknowledged[session_id] = int(seq)
    assert process.returncode == -signal.SIGKILL
    return acknowledged


async def test_what_was_acknowledged_survives_kill_9_and_nothing_is_there_in_part(
    tmp_path: Path,
) -> None:
    """When a Commit reports success, its batch and every earlier one survive; no batch is torn."""
    path = tmp_path / "journal.sqlite3"
    for life in range(6):
        acknowledged = await write_and_kill(path, f"life-{life}", lines=random.randint(5, 60))
        assert acknowledged
        async with running(path) as journal:
            for session_id, seq in acknowledged.items():
                found = await read_all(journal, session_id)
                assert [each.seq for each in found] == list(range(1, len(found) + 1))
                assert len(found) >= seq
                size = 0
                for each in found:
                    assert isinstance(each.event, Delta)
                    place, size = map(int, each.event.text.split()[0].split("/"))
                assert place == size, "the last batch is whole"
                held = await journal.load(session_id)
                assert held is not None
                assert held.notes == {"seq": len(found)}, "and so is what came with it"


@contextmanager
def no_file_grows_beyond(size_bytes: int) -> Generator[None, None, None]:
    """Make writes fail in this process, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def wait_until_well(journal: SqliteJournal) -> None:
    with trio.fail_after(10):
        while journal.problem:  # noqa: ASYNC110 - a state to be read, with no event to wait for
            await trio.sleep(0.02)


async def test_full_disk_fails_commits_and_heals_by_itself(tmp_path: Path) -> None:
    """Every waiting Commit raises, `problem` says why; with room again, writing goes on."""
    path = tmp_path / "journal.sqlite3"
    large = Delta(part=PART, text="x" * 300_000)
    async with running(path, Limits(journal_probe_s=0.05)) as journal:
        await journal.create(record())
        await journal.append_nowait(batch(entry(1))).wait()
        wal_bytes = path.with_name(path.name + "-wal").stat().st_size
        with no_file_grows_beyond(wal_bytes + 5000):
            commits = [journal.append_nowait(batch(entry(seq, large))) for seq in (2, 3)]
            for commit in commits:
                with pytest.raises(JournalFailed, match=str(path)):
                    await commit.wait()
                with pytest.raises(JournalFailed):
                    _ = commit.is_done
            assert str(path) in journal.problem
            with pytest.raises(JournalFailed):
                await journal.append_nowait(batch(entry(2, large))).wait()
            assert journal.problem
            assert await read_all(journal) == [entry(1)]
        await wait_until_well(journal)
        await journal.append_nowait(batch(entry(2), entry(3))).wait()
    async with running(path) as journal:
        assert await read_all(journal) == [entry(1), entry(2), entry(3)]


async def test_problem_lasts_as_long_as_nothing_can_be_written(tmp_path: Path) -> None:
    """/readyz may trust it: an idle journal tries by itself, and a try is a real write."""
    path = tmp_path / "journal.sqlite3"
    async with running(path, Limits(journal_probe_s=0.02)) as journal:
        await journal.create(record())
        with no_file_grows_beyond(1):
            with pytest.raises(JournalFailed):
                await journal.append_nowait(batch(entry(1))).wait()
            for _ in range(20):
                await trio.sleep(0.02)
                assert journal.problem
            assert await journal.read("s1", 0) == ()
        await wait_until_well(journal)
        await journal.append_nowait(batch(entry(1))).wait()
        assert await read_all(journal) == [entry(1)]


async def test_file_that_another_program_locks_is_waited_for_and_then_reported(
    tmp_path: Path,
) -> None:
    """A shell or a backup that holds the write lock: the Commit raises and says so."""
    path = tmp_path / "journal.sqlite3"
    async with running(path, Limits(journal_probe_s=0.05)) as journal:
        await journal.create(record())
        shell = sqlite3.connect(path, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalFailed, match="locked"):
            await journal.append_nowait(batch(entry(1))).wait()
        shell.execute("ROLLBACK")
        shell.close()
        await wait_until_well(journal)
        await journal.append_nowait(batch(entry(1))).wait()
