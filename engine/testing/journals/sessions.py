"""What a journal has to do for sessions: their records and listings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import Conflict, InvalidRequest
from engine.testing.journals.base import JournalTests
from engine.testing.journals.samples import (
    batch,
    entry,
    record,
)


class SessionTests(JournalTests):
    """Records, and the lists of them."""

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
            for cursor in ("nonsense", "0.5", "0.5_", "nan_x", "inf_x", "_x"):
                with pytest.raises(InvalidRequest):
                    await journal.sessions(cursor=cursor)
