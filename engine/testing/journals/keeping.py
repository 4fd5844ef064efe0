"""What a journal has to keep, and what it has to let go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.events import (
    Completed,
    Entry,
)
from engine.journal.interface import Document, Epoch
from engine.testing.journals.base import JournalTests
from engine.testing.journals.samples import (
    batch,
    entry,
    merged,
    read_all,
    record,
    refused,
)


class KeepingTests(JournalTests):
    """Retention, documents, and a second opening."""

    # ---- retention -------------------------------------------------------------------------------

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

    # ---- documents -------------------------------------------------------------------------------

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

    # ---- a second opening ------------------------------------------------------------------------

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
