"""Whatever is done to them, two journals give the same answers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import AntiphonError
from engine.events import Delta, Entry, PhaseStarted
from engine.journal.interface import Batch, Document, Journal
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.merging import merge
from engine.testing.journal_suite import PART, read_all, record, single
from tests.journal.test_sqlite import running

IDS = st.sampled_from(["a", "b", "c"])
EPOCHS = st.sampled_from(["e1", "e2"])
STATES = st.sampled_from(["queued", "running", "completed", "failed"])
NAMES = st.sampled_from(["x", "y", "é"])


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Make a batch that may fit, overlap, repeat or leave a hole, with merged entries."""
    first = draw(st.integers(1, 8))
    entries = [
        Entry(
            seq=seq,
            at=1000.0 + seq / 8,
            event=PhaseStarted(phase="p")
            if draw(st.integers(0, 4)) == 0
            else Delta(part=PART, text=f"<{seq}>", tokens=seq),
        )
        for seq in range(first, first + draw(st.integers(0, 6)))
    ]
    return Batch(
        session_id=draw(IDS),
        epoch=draw(EPOCHS),
        entries=merge(entries, draw(st.sampled_from([0, 9, 1000]))),
        state=draw(st.none() | STATES),
        opened=draw(st.dictionaries(NAMES, st.integers(1, 3), max_size=2)),
        notes=draw(st.dictionaries(NAMES, st.integers(), max_size=2)),
    )


STEPS = st.one_of(
    st.tuples(st.just("append"), batches()),
    st.tuples(st.just("append"), batches()),
    st.tuples(st.just("create"), IDS, st.integers(0, 3), NAMES),
    st.tuples(st.just("begin_epoch"), IDS, EPOCHS),
    st.tuples(st.just("delete"), IDS),
    st.tuples(st.just("expire"), st.integers(998, 1003)),
    st.tuples(st.just("put"), NAMES, NAMES, st.integers(0, 3)),
    st.tuples(st.just("remove"), NAMES),
)


async def take(journal: Journal, step: Any) -> object:
    """Take a step, and give the answer: a value, or the class of the error."""
    try:
        match step:
            case ("append", batch):
                await journal.append_nowait(batch).wait()
                return None
            case ("create", session_id, created_at, owner):
                return await journal.create(
                    record(session_id, created_at=1000.0 + created_at, owner=owner)
                )
            case ("begin_epoch", session_id, name):
                return await journal.begin_epoch(session_id, name)
            case ("put", key, owner, at):
                return await journal.put(
                    Document(collection="d", key=key, owner=owner, value={"at": at}, updated_at=at)
                )
            case ("remove", key):
                return await journal.remove("d", key)
            case (name, argument):
                return await getattr(journal, name)(argument)
    except AntiphonError as error:
        return type(error)
    raise AssertionError(step)


async def all_of(journal: Journal) -> dict[str, object]:
    """Give all that a journal shows."""
    page, cursor = await journal.sessions(limit=2)
    rest, _ = await journal.sessions(cursor=cursor) if cursor else ((), None)
    return {
        "records": [await journal.load(session_id) for session_id in "abc"],
        "logs": [single(await read_all(journal, session_id)) for session_id in "abc"],
        "expired": [await journal.has_expired(session_id) for session_id in "abc"],
        "listed": [*page, *rest],
        "of x": await journal.sessions(owner="x", states=("running", "failed")),
        "documents": await journal.documents("d"),
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=25), st.sampled_from([0, 500, 10**6]))
def test_memory_and_sqlite_give_the_same_answers(steps: list[Any], tail_bytes: int) -> None:
    """The memory journal, under which the simulations run, stands for the real one.

    SQLite's tail is moved all the time, now and then, or not before sessions end.
    """
    limits = Limits(journal_tail_bytes=tail_bytes, journal_settle_s=1000.0)

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            memory = MemoryJournal()
            async with running(Path(folder) / "journal.sqlite3", limits) as sqlite:
                for session_id in "ab":
                    for journal in (memory, sqlite):
                        await journal.create(record(session_id))
                for step in steps:
                    assert await take(memory, step) == await take(sqlite, step), step
                assert await all_of(memory) == await all_of(sqlite)

    trio.run(main)
