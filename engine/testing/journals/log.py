"""What a journal has to do for a log: order, repeats, fencing, cuts, pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import Conflict, Fenced, NotFound
from engine.events import (
    Completed,
    Delta,
    Entry,
    Event,
    PartCompleted,
)
from engine.journal.interface import Commit, Document, Epoch
from engine.testing.journals.base import JournalTests
from engine.testing.journals.samples import (
    EVERY_EVENT,
    ODD_TEXTS,
    PART,
    batch,
    entry,
    merged,
    read_all,
    refused,
    text_of,
)


class LogTests(JournalTests):
    """Batches in, entries out."""

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
            stale = batch(entry(3), state="failed", notes={"bad": 1})
            assert await refused(journal, stale, Fenced)
            assert not await refused(journal, batch(entry(3), epoch="e2"))
            assert await refused(journal, batch(entry(4)), Fenced)
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

    async def test_pages_are_bounded_in_bytes(self, tmp_path: Path) -> None:
        """`max_bytes` bounds a page's text; an entry that is larger comes alone."""
        texts = ["x" * 4000] * 30 + ["y" * 50_000] + ["z" * 4000] * 3
        entries = [
            entry(seq, Delta(part=PART, text=text)) for seq, text in enumerate(texts, start=1)
        ]
        async with self.open_with_session(tmp_path) as journal:
            await journal.append_nowait(batch(*entries)).wait()
            found: list[Entry] = []
            while page := await journal.read("s1", len(found), max_bytes=20_000):
                assert len(text_of(page)) <= 20_000 or len(page) == 1
                found += page
            assert found == entries

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
