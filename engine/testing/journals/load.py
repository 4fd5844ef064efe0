"""What a journal has to bear: many writers, much at once, waits that are cut short."""

from __future__ import annotations

from pathlib import Path

import trio

from engine.events import (
    Delta,
)
from engine.journal.interface import Journal
from engine.testing.journals.base import JournalTests
from engine.testing.journals.samples import (
    PART,
    batch,
    entry,
    read_all,
    record,
    text_of,
)


class LoadTests(JournalTests):
    """Many at once."""

    async def test_sessions_that_write_at_once_do_not_mix(self, tmp_path: Path) -> None:
        """Each of many concurrent writers finds its own log, whole and in order."""

        async def write(journal: Journal, session_id: str) -> None:
            await journal.create(record(session_id))
            for first in range(1, 40, 3):
                entries = [
                    entry(seq, Delta(part=PART, text=f"{session_id}:{seq} "))
                    for seq in range(first, first + 3)
                ]
                commit = journal.append_nowait(batch(*entries, session_id=session_id))
                await journal.wait_room()
                if first % 2:
                    await commit.wait()
            await commit.wait()

        async with self.open_journal(tmp_path) as journal:
            async with trio.open_nursery() as nursery:
                for index in range(20):
                    nursery.start_soon(write, journal, f"s{index}")
            for index in range(20):
                found = await read_all(journal, f"s{index}")
                assert text_of(found) == "".join(f"s{index}:{seq} " for seq in range(1, 40))

    async def test_cancelled_wait_leaves_the_batch_to_be_written(self, tmp_path: Path) -> None:
        """Cancellation of `Commit.wait`: the batch is written all the same."""
        async with self.open_with_session(tmp_path) as journal:
            first = journal.append_nowait(batch(entry(1)))
            with trio.CancelScope() as scope:
                scope.cancel()
                await first.wait()
            await journal.append_nowait(batch(entry(2))).wait()
            assert first.is_done
            assert await read_all(journal) == [entry(1), entry(2)]

    async def test_writer_that_waits_for_room_is_never_refused(self, tmp_path: Path) -> None:
        """Backpressure: whoever waits for room before each batch may write for ever."""
        text = "x" * 100_000
        async with self.open_with_session(tmp_path) as journal:
            for seq in range(1, 101):
                await journal.wait_room()
                assert not journal.is_full
                commit = journal.append_nowait(batch(entry(seq, Delta(part=PART, text=text))))
            await commit.wait()
            assert len(await journal.read("s1", 90)) == 10
