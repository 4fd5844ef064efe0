"""The memory journal keeps the contract of all journals, and its own bounds."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.errors import JournalFailed
from engine.events import Delta, Entry, Part
from engine.journal.interface import Batch, Document, Epoch, Journal, SessionRecord
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.testing.journal_suite import JournalSuite

PART = Part(id="a", target={"prompt_id": "a"}, phase="generate")


def record(session_id: str, *, created_at: float = 1.0) -> SessionRecord:
    return SessionRecord(
        session_id=session_id,
        protocol="generate",
        owner="ann",
        command={},
        created_at=created_at,
        updated_at=created_at,
        epochs=(Epoch(name="e1", after_seq=0),),
    )


def deltas(session_id: str, first: int, count: int, *, size: int = 1000) -> Batch:
    entries = tuple(
        Entry(seq=seq, at=float(seq), event=Delta(part=PART, text="x" * size))
        for seq in range(first, first + count)
    )
    return Batch(session_id=session_id, epoch="e1", entries=entries)


class TestContract(JournalSuite):
    @asynccontextmanager
    async def open_journal(self, folder: Path) -> AsyncGenerator[Journal, None]:
        yield MemoryJournal()


async def test_session_above_its_bound_loses_its_oldest_entries() -> None:
    """A session's oldest entries go first, `earliest` rises, and the newest are all there."""
    journal = MemoryJournal(Limits(memory_journal_session_bytes=100_000))
    await journal.create(record("s"))
    for first in range(1, 1001, 10):
        journal.append_nowait(deltas("s", first, 10))
    earliest = await journal.earliest("s")
    assert 900 < earliest < 930
    held = await journal.read("s", 0, max_events=5000)
    assert [entry.seq for entry in held] == list(range(earliest, 1001))
    assert journal.size_bytes < 100_000


async def test_last_entry_stays_however_large() -> None:
    """The terminal event of a session is never the one that is dropped."""
    journal = MemoryJournal(Limits(memory_journal_session_bytes=10_000))
    await journal.create(record("s"))
    journal.append_nowait(deltas("s", 1, 3, size=50_000))
    assert [entry.seq for entry in await journal.read("s", 0)] == [3]
    assert await journal.earliest("s") == 3


async def test_session_that_ended_first_goes_first_for_room() -> None:
    """The oldest ended session is dropped, as if it had expired; the running ones stay whole."""
    journal = MemoryJournal(Limits(memory_journal_bytes=100_000))
    for name in ("running", "ended-late", "ended-early", "new"):
        await journal.create(record(name))
    journal.append_nowait(deltas("running", 1, 20))
    journal.append_nowait(deltas("ended-late", 1, 20))
    journal.append_nowait(deltas("ended-early", 1, 20))
    for name in ("ended-early", "ended-late"):
        journal.append_nowait(Batch(session_id=name, epoch="e1", state="completed"))
    journal.append_nowait(deltas("new", 1, 25))
    assert await journal.load("ended-early") is None
    assert await journal.has_expired("ended-early")
    assert await journal.load("ended-late") is not None
    assert await journal.earliest("running") == 1
    assert journal.size_bytes <= 100_000


async def test_largest_running_session_gives_room_when_none_has_ended() -> None:
    """With nothing else to drop, the largest session loses its oldest entries."""
    journal = MemoryJournal(Limits(memory_journal_bytes=100_000))
    await journal.create(record("large"))
    await journal.create(record("small"))
    journal.append_nowait(deltas("large", 1, 60))
    journal.append_nowait(deltas("small", 1, 30))
    assert await journal.earliest("small") == 1
    assert await journal.earliest("large") > 20
    assert (await journal.read("large", 59))[0].seq == 60
    assert journal.size_bytes <= 100_000


async def test_many_small_appends_stay_within_the_bound() -> None:
    """The bound holds after each append, not only in the end."""
    journal = MemoryJournal(Limits(memory_journal_bytes=200_000))
    for name in "abcdefgh":
        await journal.create(record(name))
    for first in range(1, 401, 4):
        for name in "abcdefgh":
            journal.append_nowait(deltas(name, first, 4, size=50))
            assert journal.size_bytes <= 200_000
    for name in "abcdefgh":
        assert (await journal.read(name, 399))[0].seq == 400


async def test_size_returns_to_nothing_when_all_is_deleted() -> None:
    """What is dropped is no longer counted."""
    journal = MemoryJournal(Limits(memory_journal_session_bytes=20_000))
    await journal.create(record("s"))
    journal.append_nowait(deltas("s", 1, 50))
    journal.append_nowait(Batch(session_id="s", epoch="e1", notes={"draft": "y" * 5000}))
    await journal.put(Document(collection="c", key="k", owner="ann", value={}, updated_at=1.0))
    await journal.put(
        Document(collection="c", key="k", owner="ann", value={"a": 1}, updated_at=2.0)
    )
    assert await journal.delete("s")
    assert await journal.remove("c", "k")
    assert journal.size_bytes == 0


async def test_documents_above_the_bound_are_refused() -> None:
    """A document is never dropped for room; one that does not fit is refused."""
    journal = MemoryJournal(Limits(memory_journal_bytes=10_000))
    big = Document(
        collection="c", key="k", owner="ann", value={"text": "x" * 20_000}, updated_at=1.0
    )
    with pytest.raises(JournalFailed, match="no room"):
        await journal.put(big)
    assert await journal.get("c", "k") is None
