"""A session's log: order, milestones, backpressure, gaps, lagging readers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import JournalFailed
from engine.events import Completed, Delta, Entry, Failed, Part, PhaseStarted
from engine.journal.interface import Batch, Epoch, Journal, SessionRecord
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.sessions.delays import DelayLine
from engine.sessions.log import Log
from engine.sessions.subscription import Gap, Subscription
from engine.testing.faulty_journal import FaultyJournal

PART = Part(id="p", target={"prompt_id": "p"}, phase="solutio")
OTHER = Part(id="q", target={"prompt_id": "q"}, phase="solutio")


class SlowCommit:
    """A commit that becomes durable, or fails, when the test says so."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.error: JournalFailed | None = None

    @property
    def is_done(self) -> bool:
        if self.event.is_set() and self.error is not None:
            raise self.error
        return self.event.is_set()

    async def wait(self) -> None:
        await self.event.wait()
        if self.error is not None:
            raise self.error


class SlowJournal(MemoryJournal):
    """A memory journal whose milestones wait for the test."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.commits: list[SlowCommit] = []

    def append_nowait(self, batch: Batch) -> SlowCommit:  # type: ignore[override]
        super().append_nowait(batch)
        self.commits.append(SlowCommit())
        return self.commits[-1]


async def open_log(
    journal: Journal,
    limits: Limits,
    later: Callable[[Callable[[], None]], None] | None = None,
    *,
    is_bounded: bool = True,
) -> Log:
    await journal.create(
        SessionRecord(
            session_id="s",
            protocol="generate",
            owner="",
            command={},
            created_at=0,
            updated_at=0,
            state="running",
            epochs=(Epoch(name="e", after_seq=0),),
        )
    )
    return Log(
        session_id="s",
        epochs=(Epoch(name="e", after_seq=0),),
        after_seq=0,
        journal=journal,
        limits=limits,
        clock=lambda: 1.0,
        save_later=later or (lambda function: function()),
        is_bounded=is_bounded,
    )


def delta(text: str, part: Part = PART) -> Delta:
    return Delta(part=part, text=text, tokens=1)


def text_of(entries: tuple[Entry | Gap, ...]) -> str:
    return "".join(
        entry.event.text
        for entry in entries
        if isinstance(entry, Entry) and isinstance(entry.event, Delta)
    )


async def test_an_idle_reader_is_woken_from_the_numbering_step_itself() -> None:
    log = await open_log(MemoryJournal(Limits()), Limits())
    taken: list[Entry] = []

    def wake(reader: Subscription) -> None:
        taken.extend(reader.take_nowait())
        reader.arm()

    reader = Subscription(log, wake=wake)
    reader.arm()
    log.append(delta("a"), 1)
    assert [entry.seq for entry in taken] == [1]  # no checkpoint has passed
    log.append(delta("b"), 1)
    assert text_of(tuple(taken)) == "ab"


async def test_a_reader_that_lags_gets_adjacent_deltas_merged() -> None:
    log = await open_log(MemoryJournal(Limits()), Limits())
    reader = Subscription(log)
    for letter in "abc":
        log.append(delta(letter), 1)
    log.append(delta("x", OTHER), 1)
    entries = reader.take_nowait()
    assert [(entry.first_seq, entry.seq) for entry in entries] == [(1, 3), (4, 4)]
    assert text_of(entries) == "abcx"


async def test_a_milestone_is_not_seen_before_it_is_committed() -> None:
    """I2, and nothing behind it is seen before it (I1)."""
    limits = Limits()
    journal = SlowJournal(limits)
    log = await open_log(journal, limits, lambda function: None)
    reader = Subscription(log)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.commit, PhaseStarted(phase="solutio"))
        await trio.testing.wait_all_tasks_blocked()
        log.append(delta("later"), 5)
        assert reader.take_nowait() == ()
        assert log.view.phases == {}
        journal.commits[0].event.set()
    assert [entry.seq for entry in reader.take_nowait()] == [1, 2]
    assert log.view.phases == {"solutio": "running"}


async def test_milestones_that_become_durable_together_are_shown_in_order() -> None:
    limits = Limits()
    journal = SlowJournal(limits)
    log = await open_log(journal, limits, lambda function: None)
    reader = Subscription(log)
    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(log.commit, PhaseStarted(phase=name))
            await trio.testing.wait_all_tasks_blocked()
        journal.commits[1].event.set()
        await trio.testing.wait_all_tasks_blocked()
        assert reader.take_nowait() == ()
        journal.commits[0].event.set()
        await trio.testing.wait_all_tasks_blocked()
        assert [entry.seq for entry in reader.take_nowait()] == [1, 2]
        journal.commits[2].event.set()
    assert [entry.seq for entry in reader.take_nowait()] == [3]


async def test_a_milestone_whose_commit_fails_is_never_seen_and_the_error_takes_its_place() -> None:
    limits = Limits()
    journal = SlowJournal(limits)
    log = await open_log(journal, limits, lambda function: None)
    reader = Subscription(log)
    log.append(delta("seen"), 4)
    with pytest.RaisesGroup(JournalFailed):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.commit, PhaseStarted(phase="solutio"))
            await trio.testing.wait_all_tasks_blocked()
            journal.commits[-1].error = JournalFailed("disk full")
            journal.commits[-1].event.set()
    with pytest.raises(JournalFailed, match="disk full"):
        log.append(delta("more"), 4)
    log.end_broken(Completed(data={}))
    entries = reader.take_nowait()
    assert [(entry.seq, type(entry.event)) for entry in entries] == [(1, Delta), (2, Completed)]
    assert reader.is_ended


async def test_a_milestone_that_the_journal_refuses_is_never_seen_either() -> None:
    """I2: another lane's delta must not carry it along (seed 1272 of the simulation)."""
    journal = FaultyJournal(MemoryJournal(Limits()), crash_at=1)
    log = await open_log(journal, Limits(), later=lambda _: None)
    with pytest.raises(JournalFailed):
        await log.commit(PhaseStarted(phase="solutio"))
    with pytest.raises(JournalFailed):
        log.append(delta("a"), 1)
    assert log.visible == 0


async def test_a_milestone_that_is_refused_behind_another_one_is_never_seen(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """I2: the first is durable and shown; it must not carry the second along (found by a seed)."""
    limits = Limits(window_events=1)
    journal = FaultyJournal(MemoryJournal(limits), delay_s=0.1, fail_at=2)
    log = await open_log(journal, limits, later=lambda _: None)
    for text in ("a", "b"):
        log.append(delta(text), 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.commit, PhaseStarted(phase="solutio"))
        await trio.testing.wait_all_tasks_blocked()
        autojump_clock.jump(0.1)  # it is durable, and its task does not know yet
        with pytest.raises(JournalFailed):
            await log.commit(PhaseStarted(phase="coagulatio"))
    assert (log.visible, log.head) == (3, 4)


async def test_neighbouring_milestones_are_shown_together_and_nothing_before_them() -> None:
    """I2: whoever went on without waiting shows nothing early, and one wait covers them all."""
    journal = SlowJournal(Limits())
    log = await open_log(journal, Limits(), later=lambda _: None)
    assert log.commit_soon(PhaseStarted(phase="solutio"))
    log.append(delta("a"), 1)
    assert log.commit_soon(PhaseStarted(phase="coagulatio"))
    assert (log.visible, log.head) == (0, 3)
    assert log.view.phases == {}
    assert log.view_ahead().phases == {"solutio": "running", "coagulatio": "running"}
    assert log.view_ahead().parts["p"].text == "a"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.wait_shown)
        await trio.testing.wait_all_tasks_blocked()
        journal.commits[1].event.set()  # the later one first: the first still holds it back
        await trio.testing.wait_all_tasks_blocked()
        assert log.visible == 0
        journal.commits[0].event.set()
    assert (log.visible, log.head) == (3, 3)
    assert log.view_ahead() is log.view


async def test_the_view_ahead_leaves_what_readers_see_alone() -> None:
    """A snapshot is a fold of what is durable, whatever the session reads ahead."""
    journal = SlowJournal(Limits())
    log = await open_log(journal, Limits(), later=lambda _: None)
    log.append(delta("a"), 1)
    log.commit_soon(PhaseStarted(phase="solutio"))
    log.append(delta("b"), 1)
    log.append(delta("c", OTHER), 1)
    ahead = log.view_ahead()
    assert (ahead.parts["p"].text, ahead.seq) == ("ab", 4)
    assert (log.view.parts["p"].text, log.view.seq) == ("a", 1)
    assert set(log.view.parts) == {"p"}


async def test_a_note_shows_the_milestones_before_it() -> None:
    """Before a part's first delta its phase is seen, without a wait of its own."""
    journal = SlowJournal(Limits())
    log = await open_log(journal, Limits(), later=lambda _: None)
    log.commit_soon(PhaseStarted(phase="solutio"))
    noted = log.note(opened={"p": 1})
    for commit in journal.commits:
        commit.event.set()
    await log.wait_noted(noted)
    assert log.visible == 1


async def test_a_milestone_that_nobody_waits_for_and_that_fails_is_never_seen() -> None:
    journal = SlowJournal(Limits())
    log = await open_log(journal, Limits(), later=lambda _: None)
    log.commit_soon(PhaseStarted(phase="solutio"))
    journal.commits[0].error = JournalFailed("the disk is full")
    journal.commits[0].event.set()
    with pytest.raises(JournalFailed):
        await log.wait_shown(is_shielded=False)
    with pytest.raises(JournalFailed):
        log.commit_soon(PhaseStarted(phase="coagulatio"))
    assert (log.visible, log.head) == (0, 1)


async def test_what_was_on_its_way_when_writing_failed_is_shown_and_not_overwritten() -> None:
    """The terminal event of a failed session comes behind what the journal has taken."""
    journal = SlowJournal(Limits())
    log = await open_log(journal, Limits(), later=lambda _: None)
    log.commit_soon(PhaseStarted(phase="solutio"))
    noted = log.note(opened={"p": 1})
    journal.commits[1].error = JournalFailed("the disk is full")
    journal.commits[1].event.set()
    with pytest.raises(JournalFailed):
        await log.wait_noted(noted)
    assert (log.visible, log.head) == (0, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.wait_over)
        await trio.testing.wait_all_tasks_blocked()
        journal.commits[0].event.set()
    log.end_broken(Failed(code="internal", message="the journal failed"))
    assert (log.visible, log.head, log.is_ended) == (2, 2, True)
    held = await journal.read("s", 0)
    assert [(each.seq, type(each.event)) for each in held] == [(1, PhaseStarted), (2, Failed)]


async def test_a_failure_that_is_known_at_once_stops_the_log_as_well(
    autojump_clock: trio.testing.MockClock,
) -> None:
    journal = FaultyJournal(MemoryJournal(Limits()), fail_at=1)
    log = await open_log(journal, Limits(), later=lambda _: None)
    with pytest.raises(JournalFailed):
        await log.commit(PhaseStarted(phase="solutio"))
    with pytest.raises(JournalFailed):
        log.append(delta("a"), 1)
    assert log.visible == 0


async def test_an_attached_session_waits_for_its_fastest_reader() -> None:
    limits = Limits(window_events=4)
    log = await open_log(MemoryJournal(limits), limits)
    fast, slow = Subscription(log), Subscription(log)
    written = 0

    async def produce() -> None:
        nonlocal written
        for _ in range(100):
            log.append(delta("x"), 1)
            written += 1
            if log.is_full:
                await log.wait_room()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        await trio.testing.wait_all_tasks_blocked()
        assert written == 4
        fast.take_nowait()
        await trio.testing.wait_all_tasks_blocked()
        assert written == 8
        slow.take_nowait(max_bytes=1)  # the slower one frees nothing
        await trio.testing.wait_all_tasks_blocked()
        assert written == 8
        nursery.cancel_scope.cancel()


async def test_a_detached_session_waits_for_nobody_and_the_window_stays_small() -> None:
    limits = Limits(window_events=16)
    log = await open_log(MemoryJournal(limits), limits, is_bounded=False)
    Subscription(log)
    for _ in range(1000):
        log.append(delta("x"), 1)
        assert not log.is_full
    assert log.statistics().window_events <= 32


async def test_a_reader_behind_the_window_reads_the_journal_then_follows() -> None:
    limits = Limits(window_events=8)
    log = await open_log(MemoryJournal(limits), limits, is_bounded=False)
    reader = Subscription(log)
    letters = [chr(ord("a") + index % 26) for index in range(200)]
    for letter in letters:
        log.append(delta(letter), 1)
    assert reader.is_behind
    text, last = "", 0
    while reader.has_more:
        for entry in await reader.take():
            assert isinstance(entry, Entry)
            assert entry.first_seq == last + 1
            last = entry.seq
            text += text_of((entry,))
    assert text == "".join(letters)


async def test_what_every_reader_has_taken_leaves_the_window_soon() -> None:
    """And nothing else does: not for a slower reader, and not before the journal has it."""
    limits = Limits(kept_events=8)
    due: list[Callable[[], None]] = []
    log = await open_log(MemoryJournal(limits), limits, later=due.append)
    fast, slow = Subscription(log), Subscription(log)

    def write(count: int) -> int:
        for _ in range(count):
            log.append(delta("x"), 1)
            fast.take_nowait()
            slow.take_nowait()
        return log.statistics().window_events

    assert write(50) == 50, "nothing of it is durable"
    due.pop()()
    assert write(8) <= 16, "the last eight, and what is not durable"
    due.pop()()
    slow.close()
    slow = Subscription(log, log.visible - 2)
    for _ in range(100):
        log.append(delta("y"), 1)
        fast.take_nowait()
    due.pop()()
    log.append(delta("z"), 1)
    fast.take_nowait()
    assert not slow.is_behind, "what it has not taken is there"
    assert text_of(slow.take_nowait()) == "xx" + 100 * "y" + "z"
    assert write(20) <= 8 + 20
    late = Subscription(log)
    text = ""
    while late.has_more:
        text += text_of(tuple(each for each in await late.take() if isinstance(each, Entry)))
    assert text == 58 * "x" + 100 * "y" + "z" + 20 * "x", "older ones are in the journal"


async def test_a_reader_of_what_is_no_longer_held_gets_a_gap() -> None:
    limits = Limits(window_events=8, memory_journal_session_bytes=2000)
    log = await open_log(MemoryJournal(limits), limits, is_bounded=False)
    for index in range(500):
        log.append(delta("x" * 10, PART if index % 2 else OTHER), 10)
    reader = Subscription(log)
    (gap,) = await reader.take()
    assert isinstance(gap, Gap)
    assert gap.requested == 1
    assert gap.latest == 500
    (first, *_) = await reader.take()
    assert isinstance(first, Entry)
    assert first.first_seq == gap.earliest > 1


async def test_deltas_are_handed_to_the_journal_merged_after_the_lag(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limits = Limits()
    journal = MemoryJournal(limits)
    line = DelayLine(0.025)
    log = await open_log(journal, limits, line.call)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.run)
        for letter in "abc":
            log.append(delta(letter), 1)
        assert await journal.read("s", 0) == ()
        await trio.sleep(0.031)
        (entry,) = await journal.read("s", 0)
        assert (entry.first_seq, entry.seq) == (1, 3)
        nursery.cancel_scope.cancel()


async def test_the_newest_entry_is_taken_alone_only_where_nothing_else_waits() -> None:
    """`take_newest` gives what `take_nowait` would, or nothing, and moves nothing then."""
    log = await open_log(MemoryJournal(Limits()), Limits(window_events=2))
    reader = Subscription(log)
    assert reader.take_newest() is None
    log.append(delta("a"), 1)
    newest = reader.take_newest()
    assert newest is not None
    assert (newest.seq, reader.cursor, reader.has_more) == (1, 1, False)
    log.append(delta("b"), 1)
    log.append(delta("c"), 1)
    assert reader.take_newest() is None
    assert reader.cursor == 1
    assert log.is_full
    assert text_of(reader.take_nowait()) == "bc"
    assert not log.is_full


async def test_taking_the_newest_entry_gives_producers_room() -> None:
    """The fastest reader's cursor moves whichever way it takes."""
    log = await open_log(MemoryJournal(Limits()), Limits(window_events=1))
    reader = Subscription(log)
    log.append(delta("a"), 1)
    assert log.is_full
    assert reader.take_newest() is not None
    assert not log.is_full


async def test_what_is_durable_is_let_go_of() -> None:
    """A log that is read at its pace holds no promise of a write that was kept long ago."""
    journal = SlowJournal(Limits())
    log = await open_log(journal, Limits())
    for number in range(100):
        log.append(delta("a"), 1)
        journal.commits[number].event.set()
    assert log.statistics().durable == 99
    assert len(log._handed) == 1


async def test_a_cancelled_receive_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    log = await open_log(MemoryJournal(Limits()), Limits())
    reader = Subscription(log)
    with trio.move_on_after(1):
        await reader.receive()
    log.append(delta("a"), 1)
    assert text_of(await reader.receive()) == "a"


async def test_receive_on_a_closed_subscription_raises() -> None:
    log = await open_log(MemoryJournal(Limits()), Limits())
    reader = Subscription(log)
    with pytest.RaisesGroup(trio.ClosedResourceError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.receive)
            await trio.testing.wait_all_tasks_blocked()
            reader.close()
    assert not log.readers


async def test_a_reader_that_raises_in_wake_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """I6: a reader's trouble never reaches the session."""
    log = await open_log(MemoryJournal(Limits()), Limits())

    def wake(reader: Subscription) -> None:
        raise RuntimeError("planted")

    bad = Subscription(log, wake=wake)
    bad.arm()
    good = Subscription(log)
    log.append(delta("a"), 1)
    assert text_of(good.take_nowait()) == "a"
    assert "a reader of session s failed" in caplog.text


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 1)),
            st.tuples(st.just("take"), st.integers(0, 2)),
            st.tuples(st.just("milestone"), st.just(0)),
        ),
        max_size=80,
    ),
    window=st.integers(1, 8),
)
def test_every_reader_gets_each_offset_once_in_order_whatever_its_pace(
    steps: list[tuple[str, int]], window: int
) -> None:
    """I1 and I12, for readers of any pace over windows of any size."""

    async def main() -> None:
        limits = Limits(window_events=window)
        log = await open_log(MemoryJournal(limits), limits, is_bounded=False)
        readers = [Subscription(log) for _ in range(3)]
        last = [0, 0, 0]
        texts = ["", "", ""]
        written = ""

        async def take(index: int) -> None:
            for entry in await readers[index].take():
                assert isinstance(entry, Entry)
                assert entry.first_seq == last[index] + 1
                last[index] = entry.seq
                texts[index] += text_of((entry,))

        for number, (kind, value) in enumerate(steps):
            if kind == "write":
                letter = chr(97 + number % 26)
                written += letter
                log.append(delta(letter, (PART, OTHER)[value]), 1)
            elif kind == "milestone":
                await log.commit(PhaseStarted(phase=str(number)))
            else:
                await take(value)
        for index, reader in enumerate(readers):
            while reader.has_more:
                await take(index)
        assert texts == [written] * 3
        assert last == [log.head] * 3

    trio.run(main)
