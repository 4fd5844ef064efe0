"""What the engine does as one process of a cluster: the sessions that come, go and are far.

Its place is between the engine and its `Cluster`; without a cluster there is none of this. Must not
import pipelines by name, a concrete provider, or anything of HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from engine.cluster.cluster import Cluster
from engine.cluster.counting import Counting
from engine.cluster.messages import Cancel, Elsewhere, Follow, News, Request, Select, Taken
from engine.errors import AntiphonError, Conflict, NotFound, ShuttingDown, Unreachable
from engine.journal.interface import ENDED, SessionRecord
from engine.sessions.far_readers import FarReaders
from engine.sessions.following import Following
from engine.sessions.recovery import fold, interrupted_records
from engine.sessions.subscription import Subscription

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.sessions.session import Session

_logger = logging.getLogger("antiphon.cluster")

RESCUES = 3
"""How often an asker takes care of a session that nobody holds, before it gives up."""


class Sharing:
    """The engine's side of a cluster; the cluster's `Host`.

    Args:
        engine: whose sessions are shared.
        cluster: this process's part.
    """

    def __init__(self, engine: Engine, cluster: Cluster) -> None:
        self.cluster = cluster
        self.counting = Counting(cluster)
        self.following = Following(engine, cluster, self.rescue)
        self._engine = engine
        self._far = FarReaders(cluster.send, engine.limits, self._reader_left)
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part in the cluster for ever.

        Raises:
            Unreachable: the board cannot be reached at the start.
        """
        async with trio.open_nursery() as self._nursery:
            await self._nursery.start(self.following.run)
            self._nursery.start_soon(self._far.run)
            await self._nursery.start(self.cluster.run, self)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None  # sessions stop even now, and nothing is passed on

    # ---- sessions of this process ----------------------------------------------------------------

    async def own(self, record: SessionRecord) -> None:
        """Hold a session that is about to begin; `over`, `not_begun` or `hand` has to follow.

        Raises:
            Conflict, RateLimited, Overloaded, Unreachable: as `Board.own`.
        """
        limit = self._engine.limits.max_sessions_per_owner
        await self.cluster.own(record.session_id, user=record.owner, limit=limit)

    def hand(self, session_id: str) -> None:
        """Have another process begin a session, which is durable: it is offered to all."""
        self.cluster.offer(session_id)

    def not_begun(self, session_id: str, *, is_clear: bool) -> None:
        """It has not begun after all; not `is_clear`: the journal may hold it, and it goes on."""
        if is_clear:
            self.cluster.release(session_id)
        else:
            self.cluster.offer(session_id)

    def over(self, session: Session) -> None:
        """A session has stopped here: it has ended, or goes on elsewhere with its readers."""
        session_id = session.session_id
        self._far.drop(session_id)
        if session.has_ended:
            self.cluster.release(session_id)
            return
        self.cluster.offer(session_id)
        if any(isinstance(reader, Subscription) for reader in session.log.readers):
            self.following.joined(session_id)
        else:  # it may hold what never became durable: who comes now reads the journal
            self._engine.logs.pop(session_id, None)
        stop = session.stop
        if stop is not None and stop.reason in ("client", "admin") and self._nursery is not None:
            wanted = Cancel(reason=stop.reason, message=stop.message)
            self._nursery.start_soon(self._pass_on, session_id, wanted)

    def abandon(self, session_id: str) -> None:
        """Have the owner of a session cancel it, for its client here has gone; done behind."""
        if self._nursery is not None:
            self._nursery.start_soon(self._pass_on, session_id, Cancel(reason="disconnect"))

    async def _pass_on(self, session_id: str, wanted: Cancel) -> None:
        """A cancel was accepted here, and the session is elsewhere: tell its owner."""
        try:
            await self.ask(session_id, wanted)
        except AntiphonError as error:
            _logger.error("a cancel of session %s is lost: %s", session_id, error.message)

    async def hand_over(self) -> None:
        """Wait until the board knows of all that has stopped here, and leave the cluster."""
        await self.cluster.wait_done()
        with suppress(Unreachable):  # then the lease lapses by itself
            await self.cluster.leave()

    # ---- sessions of others ----------------------------------------------------------------------

    async def ask(self, session_id: str, request: Request) -> bool:
        """Have the owner of a session do something; False: it has ended, or is not there.

        Raises:
            Unreachable: no owner has answered in time.
            AntiphonError: what the owner said.
        """
        for _ in range(RESCUES):
            if await self.cluster.ask(session_id, request):
                return True
            record = await self._engine.journal.load(session_id)
            if record is None or record.state in ENDED:
                return False
            await self.rescue(session_id)
        raise Unreachable(f"nobody runs session {session_id} at present", retry_after_s=1)

    async def rescue(self, session_id: str) -> None:
        """Take care of a session that has not ended and that nobody holds.

        There is such a one where its end could not be written, though its readers were told.
        """
        try:
            await self.cluster.own(session_id, user="", limit=0, is_new=False)
        except Conflict:
            return
        try:
            await self.adopt(session_id)
        except BaseException:
            self.cluster.offer(session_id)
            raise

    async def rescue_all(self) -> None:
        """Take care of all of them, at the start: in an empty cluster that is a recovery."""
        records = await interrupted_records(self._engine.journal)
        held = await self.cluster.board.holdings([record.session_id for record in records])
        for record in records:
            if record.session_id not in held:
                await self.rescue(record.session_id)

    # ---- for the cluster (`Host`) ----------------------------------------------------------------

    @property
    def capacity(self) -> int:
        """See `Host.capacity`."""
        return 0 if self._engine.is_draining else self._engine.limits.max_sessions

    @property
    def room(self) -> int:
        """See `Host.room`."""
        return 0 if self._engine.is_draining else self._engine.room

    async def adopt(self, session_id: str) -> None:
        """See `Host.adopt`."""
        engine, journal = self._engine, self._engine.journal
        if engine.runs(session_id):
            return
        if engine.is_draining:
            raise ShuttingDown("this process is stopping, and takes no session over")
        record = await journal.load(session_id)
        if record is not None and record.state not in ENDED:
            try:
                record = await journal.begin_epoch(session_id, engine.new_epoch())
            except NotFound:  # deleted just now
                record = None
        if record is None or record.state in ENDED:
            self.cluster.release(session_id)
            return
        engine.go_on(record, await fold(journal, session_id))
        self.following.left(session_id)

    def lost(self, session_ids: Collection[str]) -> None:
        """See `Host.lost`."""
        _logger.warning("%d sessions were taken over by others", len(session_ids))
        for session_id in session_ids:
            session = self._engine.sessions.get(session_id)
            if session is not None:
                session.set_aside()

    async def serve(self, session_id: str, request: Request) -> bool:
        """See `Host.serve`."""
        session = self._engine.sessions.get(session_id)
        if session is None or session.is_set_aside or not self.cluster.holds(session_id):
            return False
        match request:
            case Cancel(target=None):
                session.cancel(request.reason, request.message)
            case Cancel(target=target):
                session.cancel_part(target or {})
            case Select():
                await session.select(request.phase, request.indices).wait_end()
        return True

    def hear(self, process: str, message: Follow | News | Elsewhere | Taken) -> None:
        """See `Host.hear`."""
        if not isinstance(message, Follow):
            self.following.hear(process, message)
            return
        session_id = message.session_id
        session = self._engine.sessions.get(session_id)
        if session is None:
            self.cluster.send(process, Elsewhere(session_id=session_id))
        elif self._far.follow(process, message, session.log):
            self._engine.reader_joined(session_id)

    def _reader_left(self, session_id: str) -> None:
        self._engine.reader_left(session_id)

    def __repr__(self) -> str:
        return f"<Sharing {self.cluster!r}>"
