"""Logs that another process writes: fed from the journal, and their readers moved between lives."""

from __future__ import annotations

import pytest

from engine.events import Completed, Delta, Entry, Part
from engine.journal.interface import Batch, Epoch, SessionRecord
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.merging import merge, split, until
from engine.sessions.log import Log
from engine.sessions.subscription import Subscription

PART = Part(id="p", target={"prompt_id": "p"}, phase="generate")
E1 = Epoch(name="e1", after_seq=0)


def single(seq: int) -> Entry:
    return Entry(seq=seq, at=float(seq), event=Delta(part=PART, text=f"{seq} ", tokens=seq))


def merged(first: int, last: int) -> Entry:
    (entry,) = merge([single(seq) for seq in range(first, last + 1)], 10_000)
    return entry


async def open_log(
    journal: MemoryJournal, limits: Limits | None = None, *, epochs: tuple[Epoch, ...] = (E1,)
) -> Log:
    if await journal.load("s") is None:
        record = SessionRecord(
            session_id="s",
            protocol="test",
            owner="",
            command={},
            created_at=0,
            updated_at=0,
            epochs=epochs,
        )
        await journal.create(record)
    return Log(
        session_id="s",
        epochs=epochs,
        after_seq=epochs[-1].after_seq,
        journal=journal,
        limits=limits or Limits(),
        clock=lambda: 1.0,
        save_later=lambda function: function(),
        is_bounded=False,
    )


def test_split_is_what_merge_joined() -> None:
    """A merged entry gives its offsets back, each with its own text and count of tokens."""
    assert [(each.seq, each.event) for each in split(merged(3, 7))] == [
        (seq, single(seq).event) for seq in range(3, 8)
    ]
    assert split(single(1)) == (single(1),)


def test_until_cuts_a_run_at_an_offset() -> None:
    """What lies beyond is not given, were it inside of a merged entry."""
    run = [single(1), merged(2, 5), single(6)]
    assert until(run, 6) == tuple(run)
    assert until(run, 1) == (single(1),)
    assert [each.seq for each in until(run, 3)] == [1, 2, 3]
    assert until(run, 0) == ()
    assert until([], 3) == ()


async def test_fed_entries_are_shown_singly_and_once() -> None:
    """Readers can stop and go on at every offset, and a repeat is skipped, in part as well."""
    log = await open_log(MemoryJournal())
    woken: list[int] = []
    with Subscription(log, wake=lambda reader: woken.append(reader.lag)) as reader:
        reader.arm()
        log.feed([merged(1, 4)])
        assert woken == [4]
        assert [entry.seq for entry in reader.take_nowait(1)] == [1]
        log.feed([merged(1, 4)])
        log.feed([merged(3, 6), single(7)])
        assert log.visible == log.durable == 7
        rest = reader.take_nowait()
        assert "".join(entry.event.text for entry in rest) == "2 3 4 5 6 7 "  # type: ignore[union-attr]
    log.feed([Entry(seq=8, at=1.0, event=Completed(data={}))])
    assert log.is_ended


async def test_fed_log_keeps_its_window_bounded() -> None:
    """I7: what was fed is forgotten as what was numbered is; late readers read the journal."""
    log = await open_log(MemoryJournal(), Limits(window_events=10))
    for first in range(1, 1000, 5):
        log.feed([merged(first, first + 4)])
        assert log.statistics().window_events <= 20
    assert log.earliest_in_window > 900


async def test_reader_behind_a_stale_owners_window_gets_nothing_of_the_next_life() -> None:
    """What another process wrote at these offsets is not told under the old epoch."""
    journal = MemoryJournal()
    log = await open_log(journal, Limits(window_events=4))
    for seq in range(1, 21):
        log.append(single(seq).event, 3)
    assert log.durable == 20
    await journal.begin_epoch("s", "e2")
    other = [Entry(seq=seq, at=1.0, event=Delta(part=PART, text="X")) for seq in range(21, 41)]
    await journal.append_nowait(Batch(session_id="s", epoch="e2", entries=tuple(other))).wait()
    log._save_later = lambda function: None  # the stale owner saves no more
    for seq in range(21, 41):
        log.append(single(seq).event, 3)
    with Subscription(log, 2) as reader:
        assert reader.is_behind
        batch = await reader.take()
    assert batch[-1].seq <= 20  # type: ignore[union-attr]
    assert all("X" not in entry.event.text for entry in batch)  # type: ignore[union-attr]


@pytest.mark.parametrize("is_idle", [True, False])
async def test_moved_reader_goes_on_at_its_place(is_idle: bool) -> None:
    """It is woken for what it has not seen, and for nothing else."""
    journal = MemoryJournal()
    old = await open_log(journal)
    old.feed([merged(1, 9)])
    new = await open_log(journal, epochs=(E1, Epoch(name="e2", after_seq=6)))
    woken: list[str] = []
    with Subscription(old, wake=lambda reader: woken.append(reader.epoch)) as reader:
        assert reader.take_nowait()[-1].seq == 9
        if is_idle:
            reader.arm()
        reader.move(new, 6)
        assert not old.readers
        assert woken == []
        new.feed([merged(7, 8)])
        assert woken == (["e2"] if is_idle else [])
        assert reader.take_nowait()[-1].seq == 8


async def test_moved_reader_that_is_one_behind_reads_the_journal() -> None:
    """A log of the next life begins with an empty window: not even the newest entry is in it."""
    journal = MemoryJournal()
    old = await open_log(journal)
    old.feed([merged(1, 5)])
    await journal.append_nowait(Batch(session_id="s", epoch="e1", entries=(merged(1, 6),))).wait()
    new = await open_log(journal, epochs=(E1, Epoch(name="e2", after_seq=6)))
    newest: list[Entry | None] = []
    with Subscription(old, wake=lambda reader: newest.append(reader.take_newest())) as reader:
        reader.take_nowait()
        reader.arm()
        reader.move(new, 5)
        assert newest == [None]
        assert reader.is_behind
        assert [entry.seq for entry in await reader.take()] == [6]  # type: ignore[union-attr]


async def test_readers_of_a_deleted_session_are_let_go() -> None:
    """Nobody waits for what will never come."""
    log = await open_log(MemoryJournal())
    woken: list[bool] = []
    with Subscription(log, wake=lambda reader: woken.append(reader.is_ended)) as reader:
        reader.arm()
        log.end_nowhere()
        assert woken == [True]
        assert reader.is_ended
