"""Brings sessions back after a crash: from their durable entries, under a new epoch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from engine.errors import AntiphonError
from engine.journal.interface import Journal, SessionRecord
from engine.sessions.view import View


async def fold(journal: Journal, session_id: str) -> View:
    """Read a session's whole log into a view.

    Cancellation: nothing has changed.
    """
    view = View()
    view.seq = await journal.earliest(session_id) - 1
    while entries := await journal.read(session_id, view.seq):
        for entry in entries:
            view.apply(entry)
    return view


async def interrupted_sessions(
    journal: Journal, new_epoch: Callable[[], str]
) -> AsyncIterator[tuple[SessionRecord, View]]:
    """Give each session that was at work when the process ended, with its new epoch begun."""
    records: list[SessionRecord] = []
    cursor: str | None = None
    while True:
        page, cursor = await journal.sessions(
            states=("queued", "running"), limit=500, cursor=cursor
        )
        records += page
        if cursor is None:
            break
    for record in reversed(records):  # the oldest first
        try:
            fresh = await journal.begin_epoch(record.session_id, new_epoch())
        except AntiphonError:
            continue  # it was deleted meanwhile
        yield fresh, await fold(journal, record.session_id)
