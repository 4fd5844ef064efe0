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

from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.errors import Conflict, InvalidRequest, JournalFailed, NotFound
from engine.events import (
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Entry,
    Event,
    Failed,
    Item,
    Part,
    PartCancelled,
    PartCompleted,
    PartFailed,
    PhaseCompleted,
    PhaseStarted,
    Progress,
    Reasoning,
    Receipt,
    Selected,
    SelectionRequired,
    Usage,
)
from engine.journal.interface import (
    Batch,
    Commit,
    Document,
    Epoch,
    Journal,
    SessionRecord,
)

PART = Part(
    id="p1", target={"prompt_id": "p1"}, phase="generate", provider="simulated", model="sim-1"
)
OTHER = Part(id="p2", target={"persona_id": "p2"}, phase="answer", index=1, attempt=2)
USAGE = Usage(input_tokens=3, output_tokens=5)
RECEIPT = Receipt(accepted_at_seq=17, upstream_closed_ms=1.5, tokens_after_accept=2)

EVERY_EVENT: tuple[Event, ...] = (
    PhaseStarted(phase="generate", message="Begins", progress_percent=12.5),
    Delta(part=PART, text="Hello", tokens=1),
    Reasoning(part=PART, text="Hm"),
    Progress(phase="generate", message="Half", progress_percent=50.0, part=PART, data={"n": 1}),
    Item(phase="generate", kind="source", data={"title": "A", "tags": ["x", None, 1.5, True]}),
    PartCompleted(part=PART, text="Hello", usage=USAGE, data={"score": 7}),
    PartFailed(part=OTHER, code="provider_timeout", message="Silent", usage=USAGE),
    PartCancelled(part=OTHER, partial="Hel", usage=USAGE, receipt=RECEIPT),
    Attempt(part=OTHER, reason="provider", code="provider_timeout", message="Again"),
    PhaseCompleted(phase="generate", message="Done", progress_percent=100.0, data={"k": {}}),
    SelectionRequired(phase="generate", candidates=[{"i": 0}, {"i": 1}], expires_at=99.25),
    Selected(phase="generate", selected_indices=[1], by="expiry", progress_percent=60.0),
    Completed(data={"text": "Hello"}, usage={"total_tokens": 8}),
    Failed(code="internal", message="A defect", phase="generate", retry_after_s=2.5),
    Cancelled(reason="client", partial={"p1": "Hel"}, receipt=RECEIPT),
)
"""One of each event. No session has them all; a journal does not care."""

ODD_TEXTS = (
    "",
    "nul \x00 and controls \x01\x1f\x7f",
    "line\r\nends \u2028 \u2029 \ufeff",
    "e\u0301 é 漢字 👩‍👩‍👧 𝄞",
    "half a surrogate pair: \ud83d, the other half: \udc4d",
    "two halves that two deltas brought: " + "\ud83d" + "\udc4d",
    '"quotes", \\backslashes\\, \'); DROP TABLE entries; --',
)
"""Texts that JSON can express, and models and clients therefore can send."""


def record(session_id: str = "s1", **fields: Any) -> SessionRecord:
    """Make a session's record; every field can be named."""
    given: dict[str, Any] = {
        "protocol": "generate",
        "owner": "ann",
        "command": {"prompts": ["Hello"]},
        "created_at": 1000.0,
        "updated_at": 1000.0,
        "epochs": (Epoch(name="e1", after_seq=0),),
    }
    return SessionRecord(session_id=session_id, **(given | fields))


def entry(seq: int, event: Event | None = None) -> Entry:
    """Make an entry, by default with a delta that tells its offset."""
    return Entry(
        seq=seq, at=1000.0 + seq, event=event or Delta(part=PART, text=f"<{seq}>", tokens=seq)
    )


def merged(first: int, last: int) -> Entry:
    """Make a merged entry of the deltas that `entry` makes."""
    texts = [f"<{seq}>" for seq in range(first, last + 1)]
    return Entry(
        seq=last,
        at=1000.0 + last,
        event=Delta(part=PART, text="".join(texts), tokens=last),
        cuts=tuple((len(text), seq) for seq, text in enumerate(texts, start=first)),
    )


def batch(*entries: Entry, session_id: str = "s1", epoch: str = "e1", **fields: Any) -> Batch:
    """Make a batch."""
    return Batch(session_id=session_id, epoch=epoch, entries=entries, **fields)


async def read_all(journal: Journal, session_id: str = "s1", after_seq: int = 0) -> list[Entry]:
    """Read a log to its end, page by page, as a reader does: what was read before is cut off."""
    found: list[Entry] = []
    while page := await journal.read(session_id, after_seq, max_events=100):
        rest = [cut for each in page if (cut := each.after(after_seq)) is not None]
        assert rest, "a page that gives nothing new would be read for ever"
        found.extend(rest)
        after_seq = found[-1].seq
    return found


def text_of(entries: Sequence[Entry]) -> str:
    """Give the text of deltas."""
    return "".join(each.event.text for each in entries if isinstance(each.event, Delta))


async def refused(journal: Journal, stale: Batch) -> bool:
    """Whether a batch is refused: at once, or by its Commit once the journal wrote."""
    try:
        commit = journal.append_nowait(stale)
        await commit.wait()
    except JournalFailed:
        return True
    return False


class JournalSuite:
    """The contract suite. Derive from it and implement `open_journal`."""

    pytestmark = pytest.mark.trio

    @abstractmethod
    def open_journal(self, folder: Path) -> AbstractAsyncContextManager[Journal]:
        """Open the journal that is kept in a folder, new or not, for as long as the block lasts."""

    @asynccontextmanager
    async def open_with_session(self, folder: Path, **fields: Any) -> AsyncGenerator[Journal, None]:
        """Open a journal with the session s1 in it."""
        async with self.open_journal(folder) as journal:
            await journal.create(record(**fields))
            yield journal

    # ---- sessions -------------------------------------------------------------------------------

    async def test_created_session_is_held_as_it_was_given(self, tmp_path: Path) -> None:
        """All that is needed to show a session, and to go on with it, comes back."""
        full = record(
            request_id="r1",
            command={"prompts": [{"id": "p1", "text": "é 👍", "t": 0.25}], "n": 10**30},
            detached=True,
            deadline_at=5000.5,
            token_budget=700,
            warnings=("unknown field `promts`; did you mean `prompts`?",),
            state="running",
            opened={"p1": 1},
            notes={"draft": {"text": "so far"}},
        )
        async with self.open_journal(tmp_path) as journal:
            await journal.create(full)
            assert await journal.load("s1") == full
            assert await journal.load("s2") is None
            assert journal.problem == ""

    async def test_second_session_of_one_id_is_refused(self, tmp_path: Path) -> None:
        """`create` raises Conflict, and the first session stays as it was."""
        async with self.open_with_session(tmp_path) as journal:
            with pytest.raises(Conflict):
                await journal.create(record(owner="bob"))
            held = await journal.load("s1")
            assert held is not None
            assert held.owner == "ann"

    async def test_batch_changes_the_record(self, tmp_path: Path) -> None:
        """State, opened parts, notes and `updated_at` follow the batches; the rest stays."""
        async with self.open_with_session(tmp_path, opened={"p0": 1}, notes={"a": 1}) as journal:
            journal.append_nowait(batch(state="running"))
            journal.append_nowait(batch(entry(1), opened={"p1": 1}, notes={"b": [1]}))
            await journal.append_nowait(
                batch(entry(2), opened={"p1": 2, "p2": 1}, notes={"b": [2], "c": None})
            ).wait()
            assert await journal.load("s1") == record(
                state="running",
                opened={"p0": 1, "p1": 2, "p2": 1},
                notes={"a": 1, "b": [2], "c": None},
                updated_at=1002.0,
            )

    async def test_listing_is_newest_first_and_filtered(self, tmp_path: Path) -> None:
        """`sessions` filters by owner, protocol and states, alone and together."""
        async with self.open_journal(tmp_path) as journal:
            for index, (owner, protocol, state) in enumerate(
                [
                    ("ann", "generate", "running"),
                    ("bob", "generate", "queued"),
                    ("ann", "persona", "completed"),
                    ("ann", "generate", "failed"),
                ]
            ):
                await journal.create(
                    record(
                        f"s{index}",
                        owner=owner,
                        protocol=protocol,
                        state=state,
                        created_at=1000.0 + index,
                    )
                )

            async def ids(**filters: Any) -> list[str]:
                found, cursor = await journal.sessions(**filters)
                assert cursor is None
                return [each.session_id for each in found]

            assert await ids() == ["s3", "s2", "s1", "s0"]
            assert await ids(owner="ann") == ["s3", "s2", "s0"]
            assert await ids(protocol="generate") == ["s3", "s1", "s0"]
            assert await ids(states=("queued", "running")) == ["s1", "s0"]
            assert await ids(owner="ann", protocol="generate", states=("running",)) == ["s0"]
            assert await ids(owner="eve") == []

    async def test_listed_record_is_the_loaded_one(self, tmp_path: Path) -> None:
        """A listing shows sessions as they are now, notes and opened parts included."""
        async with self.open_with_session(tmp_path) as journal:
            await journal.append_nowait(
                batch(entry(1), state="running", opened={"p1": 1}, notes={"n": 1})
            ).wait()
            (listed,), _ = await journal.sessions()
            assert listed == await journal.load("s1")
            assert listed.state == "running"

    async def test_pages_neither_shift_nor_repeat_under_inserts(self, tmp_path: Path) -> None:
        """A cursor is stable: sessions created meanwhile, even at the same time, do no harm."""
        async with self.open_journal(tmp_path) as journal:
            for index in range(10):
                await journal.create(record(f"old-{index}", created_at=1000.0 + index // 2))
            seen: list[str] = []
            cursor: str | None = None
            for turn in range(20):
                page, cursor = await journal.sessions(limit=3, cursor=cursor)
                assert len(page) <= 3
                seen += [each.session_id for each in page]
                if cursor is None:
                    break
                await journal.create(record(f"new-{turn}", created_at=2000.0 + turn))
                await journal.delete(seen[-1])  # the very one that the cursor names
            assert seen == [f"old-{index}" for index in (9, 8, 7, 6, 5, 4, 3, 2, 1, 0)]

    async def test_last_page_has_no_cursor(self, tmp_path: Path) -> None:
        """A page that holds all that is left says so, also when it is just full."""
        async with self.open_with_session(tmp_path) as journal:
            page, cursor = await journal.sessions(limit=1)
            assert (len(page), cursor) == (1, None)

    async def test_foreign_cursor_is_refused(self, tmp_path: Path) -> None:
        """What is no cursor is the caller's fault."""
        async with self.open_with_session(tmp_path) as journal:
            with pytest.raises(InvalidRequest):
                await journal.sessions(cursor="nonsense")

    # ---- the log --------------------------------------------------------------------------------

    async def test_committed_entries_are_read_as_they_were_given(self, tmp_path: Path) -> None:
        """Every kind of event comes back equal, in order, each at its offset and time."""
        entries = [entry(seq, event) for seq, event in enumerate(EVERY_EVENT, start=1)]
        async with self.open_with_session(tmp_path) as journal:
            commit = journal.append_nowait(batch(*entries))
            await commit.wait()
            assert commit.is_done
            assert await read_all(journal) == entries

    async def test_batches_become_durable_in_the_order_of_the_calls(self, tmp_path: Path) -> None:
        """When a commit is done, every earlier one of that session is."""
        async with self.open_with_session(tmp_path) as journal:
            commits = [journal.append_nowait(batch(entry(seq))) for seq in range(1, 201)]
            await commits[119].wait()
            assert all(commit.is_done for commit in commits[:120])
            await commits[-1].wait()
            assert await read_all(journal) == [entry(seq) for seq in range(1, 201)]

    async def test_batch_is_never_seen_in_part(self, tmp_path: Path) -> None:
        """A reader that reads while batches of seven are written finds whole sevens."""
        async with self.open_with_session(tmp_path) as journal:
            commit: Commit | None = None
            for first in range(1, 700, 7):
                commit = journal.append_nowait(batch(*map(entry, range(first, first + 7))))
                if first % 10 == 1:
                    found = await journal.read("s1", 0, max_events=10_000)
                    assert sum(each.seq - each.first_seq + 1 for each in found) % 7 == 0
            assert commit is not None
            await commit.wait()
            assert len(await read_all(journal)) == 700

    @pytest.mark.parametrize("wait_first", [True, False])
    async def test_repeated_batch_is_taken_once(self, tmp_path: Path, wait_first: bool) -> None:
        """I13: appends are idempotent; a repeat that comes late changes nothing."""
        first = batch(*map(entry, range(1, 6)), state="running", notes={"step": 1})
        second = batch(*map(entry, range(6, 9)), state="completed", notes={"step": 2})
        async with self.open_with_session(tmp_path) as journal:
            for each in (first, first, second, second, first):
                commit = journal.append_nowait(each)
                if wait_first:
                    await commit.wait()
            await commit.wait()
            assert await read_all(journal) == [entry(seq) for seq in range(1, 9)]
            held = await journal.load("s1")
            assert held is not None
            assert (held.state, held.notes) == ("completed", {"step": 2})

    async def test_of_an_overlapping_batch_only_the_new_is_taken(self, tmp_path: Path) -> None:
        """I13, where a batch was put together anew: a merged entry is cut."""
        async with self.open_with_session(tmp_path) as journal:
            journal.append_nowait(batch(*map(entry, range(1, 6))))
            journal.append_nowait(batch(entry(4), merged(5, 9), entry(10)))
            await journal.append_nowait(batch(merged(2, 12))).wait()
            found = await read_all(journal)
            assert text_of(found) == "".join(f"<{seq}>" for seq in range(1, 13))
            assert [each.first_seq for each in found] == [1, 2, 3, 4, 5, 6, 10, 11]

    async def test_batch_that_leaves_a_hole_is_refused(self, tmp_path: Path) -> None:
        """Offsets are 1, 2, 3 … without a gap; after the missing batch the other is welcome."""
        async with self.open_with_session(tmp_path) as journal:
            journal.append_nowait(batch(entry(1)))
            assert await refused(journal, batch(entry(3)))
            assert await refused(journal, batch(entry(2), entry(4)))
            assert not await refused(journal, batch(entry(2)))
            assert not await refused(journal, batch(entry(3)))
            assert await read_all(journal) == [entry(1), entry(2), entry(3)]

    async def test_append_to_an_unknown_session_is_refused(self, tmp_path: Path) -> None:
        """What was never created, or was deleted, takes no entries and does not come to life."""
        async with self.open_with_session(tmp_path) as journal:
            assert await refused(journal, batch(entry(1), session_id="unknown"))
            await journal.append_nowait(batch(entry(1))).wait()
            await journal.delete("s1")
            assert await refused(journal, batch(entry(2)))
            assert await read_all(journal) == []

    async def test_stale_epoch_is_fenced_off(self, tmp_path: Path) -> None:
        """I13: after a new epoch began, the owner of the old one writes nothing any more."""
        async with self.open_with_session(tmp_path) as journal:
            await journal.append_nowait(batch(entry(1), entry(2))).wait()
            begun = await journal.begin_epoch("s1", "e2")
            assert begun.epochs == (Epoch(name="e1", after_seq=0), Epoch(name="e2", after_seq=2))
            assert await refused(journal, batch(entry(3), state="failed", notes={"bad": 1}))
            assert not await refused(journal, batch(entry(3), epoch="e2"))
            assert await refused(journal, batch(entry(4)))
            assert await read_all(journal) == [entry(1), entry(2), entry(3)]
            held = await journal.load("s1")
            assert held is not None
            assert (held.epochs, held.state, held.notes) == (begun.epochs, "queued", {})

    async def test_new_epoch_begins_after_what_was_on_its_way(self, tmp_path: Path) -> None:
        """Whatever becomes of batches in the queue, `after_seq` is the last durable offset."""
        async with self.open_with_session(tmp_path) as journal:
            for seq in range(1, 51):
                journal.append_nowait(batch(entry(seq)))
            begun = await journal.begin_epoch("s1", "e2")
            found = await read_all(journal)
            assert begun.epochs[-1].after_seq == len(found)
            assert found == [entry(seq) for seq in range(1, len(found) + 1)]

    async def test_epoch_needs_a_session_and_a_new_name(self, tmp_path: Path) -> None:
        """An unknown session is NotFound; a name that was used is a Conflict."""
        async with self.open_with_session(tmp_path) as journal:
            with pytest.raises(NotFound):
                await journal.begin_epoch("unknown", "e2")
            with pytest.raises(Conflict):
                await journal.begin_epoch("s1", "e1")

    async def test_log_can_be_read_after_any_offset(self, tmp_path: Path) -> None:
        """With merged entries too, a reader that cuts gets exactly what it has not seen."""
        async with self.open_with_session(tmp_path) as journal:
            milestone = entry(11, PartCompleted(part=PART, text="all"))
            journal.append_nowait(batch(entry(1), merged(2, 6)))
            await journal.append_nowait(batch(merged(7, 10), milestone, entry(12))).wait()
            for after in range(13):
                found = await read_all(journal, after_seq=after)
                wanted = [f"<{seq}>" for seq in range(after + 1, 13) if seq != 11]
                assert text_of(found) == "".join(wanted)
                assert (milestone in found) == (after < 11)

    async def test_pages_are_bounded_and_cover_the_log_once(self, tmp_path: Path) -> None:
        """`max_events` bounds a page, up to one merged entry, and each page gets further."""
        async with self.open_with_session(tmp_path) as journal:
            await journal.append_nowait(batch(*map(entry, range(1, 251)), merged(251, 300))).wait()
            after_seq, text = 0, ""
            while page := await journal.read("s1", after_seq, max_events=20):
                assert page[-1].seq - after_seq < 20 + 50
                assert page[-1].seq > after_seq
                rest = [cut for each in page if (cut := each.after(after_seq)) is not None]
                text += text_of(rest)
                after_seq = page[-1].seq
            assert text == "".join(f"<{seq}>" for seq in range(1, 301))

    async def test_nothing_comes_after_the_end(self, tmp_path: Path) -> None:
        """Reading at or behind the end, or of no session, gives nothing and no error."""
        async with self.open_with_session(tmp_path) as journal:
            await journal.append_nowait(batch(entry(1), entry(2))).wait()
            assert await journal.read("s1", 2) == ()
            assert await journal.read("s1", 10_000) == ()
            assert await journal.read("unknown", 0) == ()
            assert await journal.earliest("s1") == 1

    async def test_large_batch_is_taken_whole(self, tmp_path: Path) -> None:
        """Ten thousand entries, and one with a megabyte of text, are one batch."""
        large = entry(10_001, PartCompleted(part=PART, text="é" * 2**20))
        async with self.open_with_session(tmp_path) as journal:
            await journal.append_nowait(batch(*map(entry, range(1, 10_001)), large)).wait()
            found = await read_all(journal)
            assert len(found) == 10_001
            assert found[-1] == large
            assert text_of(found) == "".join(f"<{seq}>" for seq in range(1, 10_001))

    @pytest.mark.parametrize("odd", ODD_TEXTS)
    async def test_every_text_comes_back_unchanged(self, tmp_path: Path, odd: str) -> None:
        """Text is whatever JSON can express: controls, and lone halves of surrogate pairs too."""
        events: list[Event] = [
            Delta(part=PART, text=odd),
            Completed(data={"text": odd, odd: [odd, 2**70, -(2**65)]}),
        ]
        entries = [entry(1, events[0]), entry(2), entry(3, events[1])]
        async with self.open_with_session(tmp_path, command={odd: odd}) as journal:
            await journal.append_nowait(batch(*entries, notes={odd: odd}, opened={odd: 2})).wait()
            assert await read_all(journal) == entries
            held = await journal.load("s1")
            assert held is not None
            assert (held.command, held.notes, held.opened) == ({odd: odd}, {odd: odd}, {odd: 2})
            document = Document(
                collection="c", key=f"k{odd}", owner=odd, value={"text": odd}, updated_at=1.0
            )
            await journal.put(document)
            assert await journal.get("c", f"k{odd}") == document
            assert await journal.documents("c", owner=odd) == (document,)
            assert await journal.remove("c", f"k{odd}")

    # ---- many at once ---------------------------------------------------------------------------

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
                commit = journal.append_nowait(batch(entry(seq, Delta(part=PART, text=text))))
            await commit.wait()
            assert len(await journal.read("s1", 90)) == 10

    # ---- retention ------------------------------------------------------------------------------

    async def test_deleted_session_is_forgotten(self, tmp_path: Path) -> None:
        """Record and log are gone, the id is free again, and it never counts as expired."""
        async with self.open_with_session(tmp_path) as journal:
            await journal.append_nowait(batch(entry(1), opened={"p1": 1}, notes={"a": 1})).wait()
            assert await journal.delete("s1") is True
            assert await journal.delete("s1") is False
            assert await journal.load("s1") is None
            assert await journal.read("s1", 0) == ()
            assert await journal.has_expired("s1") is False
            await journal.create(record(owner="bob"))
            assert await journal.load("s1") == record(owner="bob")
            assert await journal.read("s1", 0) == ()

    async def test_ended_sessions_expire_and_running_ones_do_not(self, tmp_path: Path) -> None:
        """An ended session is dropped with its log once it ended before the time that is named."""
        async with self.open_journal(tmp_path) as journal:
            for name in ("early", "late", "running"):
                await journal.create(record(name))
            end = Completed(data={})
            journal.append_nowait(
                batch(Entry(seq=1, at=2000.0, event=end), session_id="early", state="completed")
            )
            journal.append_nowait(
                batch(Entry(seq=1, at=3000.0, event=end), session_id="late", state="failed")
            )
            await journal.append_nowait(batch(entry(1), session_id="running")).wait()
            assert await journal.expire(2500.0) == 1
            assert await journal.expire(2500.0) == 0
            assert await journal.load("early") is None
            assert await journal.read("early", 0) == ()
            assert await journal.load("late") is not None
            assert await journal.load("running") is not None
            assert [
                await journal.has_expired(name) for name in ("early", "late", "running", "unknown")
            ] == [True, False, False, False]

    async def test_expired_id_is_forgotten_in_the_end(self, tmp_path: Path) -> None:
        """An expired id is remembered for as long again as it was kept, not for ever."""
        async with self.open_with_session(tmp_path, state="completed") as journal:
            await journal.expire(2000.0)
            assert await journal.has_expired("s1")
            await journal.expire(2000.0 + 400 * 24 * 3600.0)
            assert not await journal.has_expired("s1")

    # ---- documents ------------------------------------------------------------------------------

    async def test_document_is_replaced_by_its_key(self, tmp_path: Path) -> None:
        """One document for each collection and key; the last one put is the one got."""
        async with self.open_journal(tmp_path) as journal:
            old = Document(collection="c", key="k", owner="ann", value={"n": 1}, updated_at=1.0)
            new = Document(
                collection="c", key="k", owner="bob", value={"n": [2, {"x": None}]}, updated_at=2.0
            )
            other = Document(collection="d", key="k", owner="ann", value={}, updated_at=1.0)
            for document in (old, other, new):
                await journal.put(document)
            assert await journal.get("c", "k") == new
            assert await journal.get("d", "k") == other
            assert await journal.get("c", "unknown") is None
            assert await journal.documents("c") == (new,)

    async def test_document_that_was_given_can_be_changed(self, tmp_path: Path) -> None:
        """A journal keeps what was put: changing the object afterwards changes nothing."""
        async with self.open_journal(tmp_path) as journal:
            value: dict[str, Any] = {"turns": ["one"]}
            await journal.put(
                Document(collection="c", key="k", owner="ann", value=value, updated_at=1.0)
            )
            value["turns"].append("two")
            held = await journal.get("c", "k")
            assert held is not None
            held.value["turns"].append("three")
            again = await journal.get("c", "k")
            assert again is not None
            assert again.value == {"turns": ["one"]}

    async def test_documents_are_listed_newest_first(self, tmp_path: Path) -> None:
        """Of one collection, of one owner if it is named, and no more than `limit`."""
        async with self.open_journal(tmp_path) as journal:
            for index, owner in enumerate(["ann", "bob", "ann", "ann"]):
                await journal.put(
                    Document(
                        collection="c", key=f"k{index}", owner=owner, value={}, updated_at=index
                    )
                )

            async def keys(**filters: Any) -> list[str]:
                return [each.key for each in await journal.documents("c", **filters)]

            assert await keys() == ["k3", "k2", "k1", "k0"]
            assert await keys(owner="ann") == ["k3", "k2", "k0"]
            assert await keys(owner="ann", limit=2) == ["k3", "k2"]
            assert await journal.documents("other") == ()

    async def test_removed_document_is_gone(self, tmp_path: Path) -> None:
        """`remove` says whether there was one."""
        async with self.open_journal(tmp_path) as journal:
            await journal.put(
                Document(collection="c", key="k", owner="ann", value={}, updated_at=1.0)
            )
            assert await journal.remove("c", "k") is True
            assert await journal.remove("c", "k") is False
            assert await journal.get("c", "k") is None

    # ---- a second opening -----------------------------------------------------------------------

    async def test_all_that_was_committed_is_there_after_reopening(self, tmp_path: Path) -> None:
        """Durable: records, logs, expired ids and documents survive the process."""
        document = Document(collection="c", key="k", owner="ann", value={"n": 1}, updated_at=1.0)
        async with self.open_with_session(tmp_path) as journal:
            if not journal.is_durable:
                pytest.skip("this journal lives as long as the process")
            await journal.create(record("gone", state="failed", updated_at=500.0))
            await journal.expire(800.0)
            await journal.put(document)
            await journal.append_nowait(
                batch(entry(1), merged(2, 5), state="running", opened={"p": 1}, notes={"n": 1})
            ).wait()
            held = await journal.load("s1")
        async with self.open_journal(tmp_path) as journal:
            assert await journal.load("s1") == held
            assert await read_all(journal) == [entry(1), merged(2, 5)]
            assert await journal.get("c", "k") == document
            assert await journal.has_expired("gone")

    async def test_session_goes_on_after_reopening(self, tmp_path: Path) -> None:
        """A new life goes on after the last durable offset; repeats and stale owners are known."""
        async with self.open_with_session(tmp_path) as journal:
            if not journal.is_durable:
                pytest.skip("this journal lives as long as the process")
            await journal.append_nowait(batch(entry(1), entry(2))).wait()
        async with self.open_journal(tmp_path) as journal:
            begun = await journal.begin_epoch("s1", "e2")
            assert begun.epochs[-1] == Epoch(name="e2", after_seq=2)
            assert await refused(journal, batch(entry(3)))
            assert not await refused(journal, batch(entry(2), entry(3), epoch="e2"))
            assert await read_all(journal) == [entry(1), entry(2), entry(3)]
