"""A session as one answer: started, read to its end, and its terminal event given back.

The one rule: there is nothing here that a stream does not have. `/run` is `/run/stream` read to its
end, so both cannot differ. Its place is beside sse.py and websocket.py. Knows no protocol's words.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

import trio

from engine import Engine, Entry, Internal, SessionRecord, Viewer
from server.hub import Hub
from server.protocols.interface import Start


async def run_to_end(
    hub: Hub,
    viewer: Viewer,
    start: Start,
    admission: AbstractAsyncContextManager[object] | None = None,
) -> tuple[SessionRecord, Entry]:
    """Run a session and give its record and its terminal entry.

    Args:
        hub: the engine and what goes with it.
        viewer: whose session it will be.
        start: what to run.
        admission: entered around the start alone: what it counts is not given back by a failure of
            the session.

    Raises:
        AntiphonError: as `Engine.start_anywhere`; nothing was started.

    Cancellation: (the client has gone) an attached session is cancelled at once, without the grace
    time: nobody was told its id, so nobody can come back to it.
    """
    async with admission or nullcontext():
        record = await hub.engine.start_anywhere(
            start.protocol, start.data, owner=viewer.sub, options=start.options
        )
    try:
        return record, await _terminal(hub.engine, record.session_id)
    except trio.Cancelled:
        if not record.detached:
            hub.engine.abandon(record.session_id)
        raise


async def _terminal(engine: Engine, session_id: str) -> Entry:
    with await engine.subscribe(session_id) as subscription:
        while batch := await subscription.receive():
            last = batch[-1]
    if not isinstance(last, Entry):
        raise Internal(f"session {session_id} has lost its end")
    return last
