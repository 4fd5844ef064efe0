"""What every journal has to do, as tests: run it against your own.

    class TestMyJournal(JournalSuite):
        @asynccontextmanager
        async def open_journal(self, folder: Path) -> AsyncGenerator[Journal]:
            ...  # opens what is kept in this folder, new or not; closes it on leaving

The tests need pytest and pytest-trio, run in real or virtual time, and ask nothing of a journal
but its interface. Those about a second opening are skipped where `is_durable` is false. For
failures with the values in them call `pytest.register_assert_rewrite("engine.testing")` in your
conftest. Must not import a journal.
"""

from __future__ import annotations

from engine.testing.journals.keeping import KeepingTests
from engine.testing.journals.load import LoadTests
from engine.testing.journals.log import LogTests
from engine.testing.journals.samples import (
    EVERY_EVENT,
    ODD_TEXTS,
    PART,
    batch,
    entry,
    merged,
    read_all,
    record,
    refused,
    single,
    text_of,
)
from engine.testing.journals.sessions import SessionTests

__all__ = [
    "JournalSuite",
    "record",
    "entry",
    "merged",
    "batch",
    "read_all",
    "refused",
    "single",
    "text_of",
    "PART",
    "EVERY_EVENT",
    "ODD_TEXTS",
]


class JournalSuite(SessionTests, LogTests, LoadTests, KeepingTests):
    """The contract suite. Derive from it and implement `open_journal`."""
