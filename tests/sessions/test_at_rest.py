"""Sessions in a journal that no engine runs on: read, and cancelled for good."""

from __future__ import annotations

import pytest

from engine.errors import InvalidRequest, NotFound
from engine.events import Cancelled, Delta, Entry
from engine.journal.interface import Batch, SessionState
from engine.journal.memory import MemoryJournal
from engine.merging import merge
from engine.sessions.at_rest import cancel_at_rest, find_at_rest, read_at_rest
from engine.testing.journal_suite import PART, record


async def interrupted(count: int = 6, state: SessionState = "running") -> MemoryJournal:
    """Give a journal with a session of so many deltas, merged in pairs, and no end."""
    journal = MemoryJournal()
    await journal.create(record())
    for seq in range(1, count, 2):
        pair = [
            Entry(seq=each, at=float(each), event=Delta(part=PART, text=f"{each},", tokens=each))
            for each in (seq, seq + 1)
        ]
        commit = journal.append_nowait(
            Batch(session_id="s1", epoch=record().epochs[-1].name, entries=merge(pair, 100))
        )
        await commit.wait()
    journal.append_nowait(
        Batch(session_id="s1", epoch=record().epochs[-1].name, entries=(), state=state)
    )
    return journal


async def texts(journal: MemoryJournal, after: str | None = None) -> str:
    found = await find_at_rest(journal, "s1")
    entries = [each async for each in read_at_rest(journal, found, after)]
    return "".join(each.event.text for each in entries if isinstance(each.event, Delta))


@pytest.mark.parametrize("seq", range(7))
async def test_reading_goes_on_after_any_cursor_even_inside_a_merged_entry(seq: int) -> None:
    """A cursor is exclusive, and a merged entry is cut behind it."""
    journal = await interrupted()
    after = f"{record().epochs[-1].name}:{seq}"
    assert await texts(journal, after) == "".join(f"{each}," for each in range(seq + 1, 7))


async def test_reading_what_is_not_there() -> None:
    """An unknown session or epoch is not found; a cursor that is none is the caller's fault."""
    journal = await interrupted()
    with pytest.raises(NotFound):
        await find_at_rest(journal, "s2")
    with pytest.raises(NotFound):
        await texts(journal, "other:1")
    with pytest.raises(InvalidRequest):
        await texts(journal, "nonsense")


async def test_cancel_writes_the_one_terminal_event_under_a_new_epoch() -> None:
    """It is durable, holds the text so far, and no restart goes on with the session."""
    journal = await interrupted()
    found = await cancel_at_rest(journal, "s1")
    assert found.state == "cancelled"
    assert len(found.epochs) == 2
    assert found.epochs[-1].after_seq == 6
    entries = [each async for each in read_at_rest(journal, found)]
    assert entries[-1].seq == 7
    event = entries[-1].event
    assert isinstance(event, Cancelled)
    assert event.reason == "admin"
    assert event.partial == {PART.id: "1,2,3,4,5,6,"}
    assert event.receipt.accepted_at_seq == 6
    assert await journal.sessions(states=("queued", "running")) == ((), None)


async def test_cancel_of_an_ended_session_changes_nothing() -> None:
    """Idempotent: the second cancel finds what the first one wrote."""
    journal = await interrupted()
    first = await cancel_at_rest(journal, "s1")
    assert await cancel_at_rest(journal, "s1") == first
