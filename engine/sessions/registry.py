"""Finds sessions, at work or ended, and lets callers read their logs.

The one rule: a session that is not for the caller does not exist. A log that somebody reads is
opened once, whether its session is at work or the journal has to give it, and is forgotten with its
last reader. `Engine` adds what changes sessions: starting, cancelling, draining.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from weakref import WeakValueDictionary

import msgspec
import trio

from engine.callers import ANYONE, Picture, Viewer
from engine.errors import Expired, InvalidRequest, NotFound
from engine.journal.interface import ENDED, Journal, SessionRecord, SessionState
from engine.limits import Limits
from engine.sessions.attachment import Attachment
from engine.sessions.cursors import parse_cursor, place
from engine.sessions.delays import DelayLine
from engine.sessions.following import AHEAD_WINDOWS, Following
from engine.sessions.log import Log
from engine.sessions.recovery import fold
from engine.sessions.session import Session
from engine.sessions.subscription import Gap, Subscription
from engine.sessions.usage import usage_of
from engine.sessions.view import View
from engine.telemetry import Telemetry


class Registry:
    """The sessions of a process, for whoever wants to see one.

    Args:
        journal: where ended sessions are.
        limits: the bounds of the logs.
        unix_now: gives Unix time in seconds, once: from then on trio's clock counts.
    """

    def __init__(self, journal: Journal, limits: Limits, unix_now: Callable[[], float]) -> None:
        self.journal = journal
        self.limits = limits
        self.sessions: dict[str, Session] = {}
        """The sessions at work, by id."""
        self.telemetry = Telemetry()
        """Tells whoever measures the engine what its sessions do."""
        self._attachments: dict[str, Attachment] = {}
        self.logs: WeakValueDictionary[str, Log] = WeakValueDictionary()
        """The logs that somebody writes or reads, by their session's id."""
        self.following: Following | None = None
        """Feeds the logs of sessions that other processes run; None: there are none."""
        self.on_new_life: Callable[[str, str], None] = lambda session_id, epoch: None
        """Told that a session's open log goes on under another epoch, before any reader is."""
        self._lag = DelayLine(limits.journal_lag_s / 2)
        self._trio_now = trio.lowlevel.current_clock().current_time
        self._clock_offset = unix_now() - trio.current_time()

    def now(self) -> float:
        """Give Unix time in seconds, on trio's clock, so that a virtual clock moves it too."""
        return self._trio_now() + self._clock_offset

    # ---- finding ---------------------------------------------------------------------------------

    async def record(self, session_id: str, viewer: Viewer = ANYONE) -> SessionRecord:
        """Give a session's record, with the state of this moment.

        Raises:
            NotFound: there is none, or not for this viewer. Expired: its retention time has passed.
        """
        session = self.sessions.get(session_id)
        if session is not None:
            record = self.at_present(session.record)
        else:
            stored = await self.journal.load(session_id)
            if stored is None:
                if await self.journal.has_expired(session_id):
                    raise Expired(f"session {session_id} has passed its retention time")
                raise NotFound(f"no session has the id {session_id}")
            record = stored
        if not viewer.may_see(record):
            raise NotFound(f"no session has the id {session_id}")
        return record

    def at_present(self, record: SessionRecord) -> SessionRecord:
        """Give a record with the state of this very moment, if its session is at work."""
        session = self.sessions.get(record.session_id)
        if session is None:
            return record
        return msgspec.structs.replace(session.record, state=session.state)

    async def picture(self, session_id: str, viewer: Viewer = ANYONE) -> Picture:
        """Show a session as it is now: running, or ended and kept.

        Raises:
            NotFound, Expired: as `record`.
        """
        record = await self.record(session_id, viewer)
        log = await self._log(record)
        session = self.sessions.get(session_id)
        view, epoch = log.view, log.epoch
        if session is None and self.following is not None:
            # Record and log are read one after the other, and another process writes both: an
            # end that only one of them shows yet is looked for in the journal.
            if view.terminal is not None and record.state not in ENDED:
                record = await self.journal.load(session_id) or record
            elif view.terminal is None and record.state in ENDED:
                view, epoch = await fold(self.journal, session_id), record.epochs[-1].name
        if session is not None:
            usage = session.usage.as_json()
        elif view.terminal is not None:
            usage = view.terminal.usage
        else:
            usage = usage_of(view).as_json() if self.following is not None else {}
        return Picture(record=record, epoch=epoch, view=view, usage=usage)

    async def list(
        self,
        viewer: Viewer = ANYONE,
        *,
        states: Iterable[SessionState] = (),
        protocol: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[tuple[SessionRecord, ...], str | None]:
        """List a viewer's sessions (an admin's: all), newest first, and the next page's cursor."""
        return await self.journal.sessions(
            owner=None if viewer.is_admin else viewer.sub,
            protocol=protocol,
            states=tuple(states),
            limit=limit,
            cursor=cursor,
        )

    # ---- reading ---------------------------------------------------------------------------------

    async def subscribe(
        self,
        session_id: str,
        *,
        after: str | None = None,
        viewer: Viewer = ANYONE,
        wake: Callable[[Subscription], None] | None = None,
        on_gap: Callable[[Gap], None] | None = None,
        after_seq: int | None = None,
    ) -> Subscription:
        """Read a session's log after a cursor, live or ended.

        Args:
            session_id: which session.
            after: `<epoch>:<seq>` of the last message that the reader has; None: from the start.
            viewer: who asks.
            wake: see `Subscription`.
            on_gap: told when the cursor's epoch is none of this session's, or lies beyond its end;
                reading then begins at the start, or at the end.
            after_seq: an offset of the present epoch, in the place of `after`.

        Raises:
            NotFound, Expired: as `record`. InvalidRequest: the cursor cannot be read.
        """
        record = await self.record(session_id, viewer)
        log = await self._log(record)
        if self.following is not None and after is not None and not self._is_known(log, after):
            log = await self._catch_up(log)
        is_far = self.following is not None and not (log.is_ended or self.runs(session_id))
        seq = after_seq if after_seq is not None else 0
        if after is not None:
            seq = self._place(record, log, after, on_gap, is_far=is_far)
        subscription = Subscription(log, seq, wake=wake, on_close=self._reader_left)
        self.reader_joined(session_id)
        if is_far and self.following is not None:
            self.following.joined(session_id)
        return subscription

    async def _catch_up(self, log: Log) -> Log:
        """Read what the journal has, for a reader that has seen more elsewhere.

        Where the session runs here and the journal knows another life of it, this process has lost
        it, and has not noticed yet: a reader that comes from the new owner is who tells.
        """
        assert self.following is not None
        session_id = log.session_id
        session = self.sessions.get(session_id)
        if session is not None:
            record = await self.journal.load(session_id)
            if record is None or record.epochs[-1].name == log.epoch:
                return log
            session.set_aside()
            await session.ended.wait()
        # With other readers here it is the log of the old life still, until they are moved.
        present = self.logs.get(session_id) or await self._log(await self.record(session_id))
        return await self.following.refresh(present)

    def _is_known(self, log: Log, after: str) -> bool:
        epoch, requested = parse_cursor(after)
        seq = place(log.epochs, epoch, requested)
        return seq is not None and seq <= log.visible

    def _place(
        self,
        record: SessionRecord,
        log: Log,
        after: str,
        on_gap: Callable[[Gap], None] | None,
        *,
        is_far: bool,
    ) -> int:
        epoch, requested = parse_cursor(after)
        seq = place(log.epochs, epoch, requested)
        ahead = AHEAD_WINDOWS * self.limits.window_events if is_far else 0
        if seq is not None and seq <= log.visible + ahead:
            return seq
        if on_gap is None:
            raise InvalidRequest(
                f"the cursor {after!r} is not one of session {record.session_id}",
                [("after", f"must be {log.epoch}:<seq> with seq from 0 to {log.visible}")],
            )
        on_gap(Gap(requested=requested + 1, earliest=1, latest=log.visible))
        return 0 if seq is None else log.visible

    def _reader_left(self, subscription: Subscription) -> None:
        self.reader_left(subscription.session_id)
        if self.following is not None:
            self.following.left(subscription.session_id)

    def reader_joined(self, session_id: str) -> None:
        """Tell an attached session that it has a reader, here or in another process."""
        attachment = self._attachments.get(session_id)
        if attachment is not None:
            attachment.joined()
            self.sessions[session_id].release()

    def reader_left(self, session_id: str) -> None:
        """Tell an attached session that a reader has gone."""
        attachment = self._attachments.get(session_id)
        if attachment is not None:
            attachment.left()

    async def _log(self, record: SessionRecord) -> Log:
        """Give a live session's log, or open an ended one's, or a far one's, from the journal."""
        session_id = record.session_id
        log = self.logs.get(session_id)
        if log is None:
            view = await fold(self.journal, session_id)
            if self.following is not None and record.state not in ENDED:
                # It may have begun another life meanwhile; what was read belongs to it or before.
                record = await self.journal.load(session_id) or record
            log = self.logs.get(session_id)
            if log is None:
                log = self.open_log(record, view)
                if self.following is None or record.state in ENDED:
                    log.is_ended = True
                self.logs[session_id] = log
        return log

    # ---- logs that other processes write (`Library`) ---------------------------------------------

    def runs(self, session_id: str) -> bool:
        """Whether a session is at work in this process."""
        return session_id in self.sessions

    def open_log(self, record: SessionRecord, view: View) -> Log:
        """Make a log that nobody here writes."""
        return self._new_log(record, view, is_bounded=False)

    def replace(self, old: Log, new: Log) -> None:
        """Move all readers of a log to another one of its session, at their places there."""
        self.logs[new.session_id] = new
        self.on_new_life(new.session_id, new.epoch)
        for reader in tuple(old.readers):
            if isinstance(reader, Subscription):
                reader.move(new, place(new.epochs, old.epoch, reader.cursor) or 0)

    def _new_log(self, record: SessionRecord, view: View, *, is_bounded: bool) -> Log:
        return Log(
            session_id=record.session_id,
            epochs=record.epochs,
            after_seq=view.seq,
            journal=self.journal,
            limits=self.limits,
            clock=self.now,
            save_later=self._lag.call,
            view=view,
            is_bounded=is_bounded,
            telemetry=self.telemetry,
        )
