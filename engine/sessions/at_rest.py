"""What can be done with a session while no engine runs on its journal: read it, and cancel it."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator

from engine.errors import NotFound
from engine.events import Cancelled, Entry, Receipt
from engine.journal.interface import ENDED, Batch, Journal, SessionRecord
from engine.sessions.cursors import parse_cursor, place
from engine.sessions.recovery import fold


async def find_at_rest(journal: Journal, session_id: str) -> SessionRecord:
    """Give a session's record.

    Raises:
        NotFound: the journal does not hold it.
    """
    record = await journal.load(session_id)
    if record is None:
        raise NotFound(f"the journal holds no session {session_id}")
    return record


async def read_at_rest(
    journal: Journal, record: SessionRecord, after: str | None = None
) -> AsyncGenerator[Entry, None]:
    """Give a session's entries after a cursor; None: all of them.

    Raises:
        InvalidRequest: the cursor cannot be read. NotFound: its epoch is none of this session's.
    """
    seq = 0
    if after is not None:
        place_of = place(record.epochs, *parse_cursor(after))
        if place_of is None:
            raise NotFound(f"the cursor {after!r} is not one of session {record.session_id}")
        seq = place_of
    while entries := await journal.read(record.session_id, seq):
        for entry in entries:
            rest = entry.after(seq)
            if rest is not None:
                yield rest
        seq = entries[-1].seq


async def cancel_at_rest(journal: Journal, session_id: str) -> SessionRecord:
    """Cancel a session that a crash or a drain interrupted, so that no restart goes on with it.

    On one that has ended it changes nothing. Gives its record.

    Raises:
        NotFound: the journal does not hold it. JournalFailed: it could not be written.
    """
    record = await find_at_rest(journal, session_id)
    if record.state in ENDED:
        return record
    record = await journal.begin_epoch(session_id, uuid.uuid4().hex[:10])
    view = await fold(journal, session_id)
    receipt = Receipt(accepted_at_seq=view.seq, upstream_closed_ms=None, tokens_after_accept=0)
    event = Cancelled(reason="admin", partial=view.partial(), receipt=receipt)
    commit = journal.append_nowait(
        Batch(
            session_id=session_id,
            epoch=record.epochs[-1].name,
            entries=(Entry(seq=view.seq + 1, at=time.time(), event=event),),
            state="cancelled",
        )
    )
    await commit.wait()
    return await find_at_rest(journal, session_id)
