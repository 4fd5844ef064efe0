"""The SQLite journal and its thread: nothing is lost between them, nobody is woken in vain."""

from __future__ import annotations

import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine.errors import JournalFailed
from engine.journal.sqlite import SqliteJournal
from engine.journal.sqlite_commits import Append, Queue
from engine.journal.sqlite_writing import Writer
from engine.limits import Limits
from engine.testing.journal_suite import batch, entry, record


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns a thousand times as often: between any two steps, sooner or later."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


async def test_batch_that_nobody_waits_for_is_written_without_the_loop(tmp_path: Path) -> None:
    """The loop does not turn at all, and the batch is durable all the same."""
    async with trio.open_nursery() as nursery:
        journal = SqliteJournal(tmp_path / "j", Limits(journal_gather_s=0.001))
        await nursery.start(journal.run)
        await journal.create(record())
        commit = journal.append_nowait(batch(entry(1)))
        deadline = time.monotonic() + 5
        while not commit.is_done and time.monotonic() < deadline:
            time.sleep(0.005)  # noqa: ASYNC251 - the loop stands still on purpose
        assert commit.is_done
        nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("hasty_threads")
async def test_no_waiter_is_forgotten_between_the_threads() -> None:
    """However the threads' steps fall: every write is ended once, in order, its waiters woken."""
    queue = Queue(gather_s=0.001)
    token = trio.lowlevel.current_trio_token()
    written: list[int] = []
    woken = 0

    def write() -> None:
        while (group := queue.take(None)) or not queue.is_closed:
            written.extend(each.size_bytes for each in group)
            if queue.end(group, None):
                token.run_sync_soon(queue.wake)

    async def wait(number: int, rng: random.Random) -> None:
        nonlocal woken
        for step in range(200):
            each = Append(batch(), number * 1000 + step)
            queue.put(each)
            if rng.random() < 0.5:
                await each.wait()
                assert each.is_done
                woken += 1
            elif rng.random() < 0.2:
                with trio.move_on_after(0):  # cancelled while it waits, or just after
                    await each.wait()
            else:
                await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as outer:
        outer.start_soon(trio.to_thread.run_sync, write)
        try:
            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    for number in range(10):
                        nursery.start_soon(wait, number, random.Random(number))
        finally:
            queue.close()
    assert woken > 500
    assert (queue.ended, queue.pending_bytes) == (2000, 0)
    for number in range(10):
        assert [each % 1000 for each in written if each // 1000 == number] == list(range(200))


def test_writer_that_takes_all_while_a_write_is_put_in_hears_of_it() -> None:
    """It may go to sleep just before the write is in: the bell is rung for it."""
    queue = Queue(gather_s=0.0)

    class Raced(deque[Append]):
        def append(self, write: Append) -> None:
            assert len(queue._take()) == 1
            super().append(write)

    queue.put(Append(batch(), 0))
    assert queue._wait_bell(0.0)
    queue._writes = Raced(queue._writes)  # type: ignore[assignment]
    queue.put(Append(batch(), 0))
    assert queue._wait_bell(0.0)


async def test_writer_that_ends_a_group_while_somebody_begins_to_wait() -> None:
    """The writer saw no waiter: the waiter sees that there is nothing to wait for."""
    queue = Queue(gather_s=0.0)

    class Raced(list[tuple[int, trio.lowlevel.Task]]):
        def append(self, waiter: tuple[int, trio.lowlevel.Task]) -> None:
            assert not queue.end(queue._take(), None)
            super().append(waiter)

    write = Append(batch(), 0)
    queue.put(write)
    queue._waiters = Raced()
    with trio.fail_after(1):
        await write.wait()
    assert write.is_done
    assert queue._waiters == []


async def test_defect_of_the_writer_is_raised_by_run_and_by_each_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor sees the error itself; what was on its way fails, and nothing hangs."""
    journal = SqliteJournal(tmp_path / "j")

    def break_off(writer: Writer, group: object) -> None:
        raise RuntimeError("a defect")

    async def run(task_status: trio.TaskStatus[None]) -> None:
        with pytest.raises(RuntimeError, match="a defect"):
            await journal.run(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        await journal.create(record())
        monkeypatch.setattr(Writer, "write", break_off)
        commit = journal.append_nowait(batch(entry(1)))
        with pytest.raises(JournalFailed, match="broke off"):
            await commit.wait()
    with pytest.raises(JournalFailed, match="not running"):
        journal.append_nowait(batch(entry(1)))
