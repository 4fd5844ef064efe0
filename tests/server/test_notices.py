"""What is said to every connection: that the journal is away, and that it is back."""

from __future__ import annotations

from engine import JSON, MemoryJournal
from server.notices import AWAY, BACK, Notices, as_comment


def test_each_connection_is_told_once() -> None:
    """Away and back once each, however often one looks; who comes meanwhile is told at once."""
    journal = MemoryJournal()
    notices = Notices(journal, is_patient=True)
    first: list[JSON] = []
    late: list[JSON] = []
    with notices.heard_by(first.append):
        notices.look()
        assert first == []
        journal.problem = "gone"
        notices.look()
        notices.look()
        assert first == [AWAY]
        with notices.heard_by(late.append):
            assert late == [AWAY]
            journal.problem = ""
            notices.look()
            notices.look()
    assert first == late == [AWAY, BACK]
    journal.problem = "gone again"
    notices.look()
    assert first == [AWAY, BACK], "it has left"


async def test_journal_that_nobody_waits_for_is_not_watched() -> None:
    """With a disk that fails sessions end, and say so themselves."""
    journal = MemoryJournal()
    journal.problem = "the disk is full"
    notices = Notices(journal, is_patient=False)
    await notices.watch()
    assert notices.standing is None


def test_comment_is_one_line() -> None:
    """SSE: a reader that knows nothing of it skips it."""
    for notice in (AWAY, BACK):
        comment = as_comment(notice)
        assert comment.startswith(b": journal_")
        assert comment.endswith(b"\n\n")
        assert comment.count(b"\n") == 2
