"""Brings sessions back after a crash: from their durable entries, under a new epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from engine.errors import AntiphonError
from engine.journal.interface import Journal, SessionRecord
from engine.sessions.view import View

_logger = logging.getLogger("antiphon.engine")

LANES = 64
"""Sessions that are recovered at a time."""


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


async def interrupted_records(journal: Journal) -> list[SessionRecord]:
    """Give each session that has not ended, the newest first.

    Cancellation: nothing has changed.
    """
    records: list[SessionRecord] = []
    cursor: str | None = None
    while True:
        page, cursor = await journal.sessions(
            states=("queued", "running"), limit=500, cursor=cursor
        )
        records += page
        if cursor is None:
            return records


async def interrupted_sessions(
    journal: Journal, new_epoch: Callable[[], str]
) -> list[tuple[SessionRecord, View]]:
    """Give each session that was at work when the process ended, with its new epoch begun.

    The oldest first. Many at a time, so that the journal can commit their epochs together: one
    after the other, 1,000 sessions kept the server from listening for 20 s.
    """
    records = await interrupted_records(journal)
    found: dict[str, tuple[SessionRecord, View]] = {}
    waiting = [(record.session_id, new_epoch()) for record in records]

    async def recover_some() -> None:
        while waiting:
            session_id, epoch = waiting.pop()
            try:
                fresh = await journal.begin_epoch(session_id, epoch)
            except AntiphonError as error:  # it was deleted meanwhile, or the journal fails
                _logger.error("session %s was not recovered: %s", session_id, error.message)
                continue
            found[session_id] = fresh, await fold(journal, session_id)

    async with trio.open_nursery() as nursery:
        for _ in range(min(LANES, len(waiting))):
            nursery.start_soon(recover_some)
    return [found[record.session_id] for record in reversed(records) if record.session_id in found]
