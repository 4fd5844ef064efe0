"""The SQLite journal keeps the contract of all journals. Real time: its writer is a thread."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from engine.journal.interface import Journal
from engine.journal.sqlite import SqliteJournal
from engine.limits import Limits
from engine.testing.journal_suite import JournalSuite


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
