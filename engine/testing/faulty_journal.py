"""A journal that fails, crashes and dawdles where a test wants it to.

It wraps another journal and holds each batch back for a time before it passes it on, so that a
simulated test sees what a real disk shows: entries that readers have and the journal does not. It
has no task of its own: what has become due is passed on before anything else happens, and the
virtual clock does the rest. Must not import a journal.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import trio

from engine.errors import JournalFailed
from engine.events import Entry
from engine.journal.interface import (
    PAGE_BYTES,
    PAGE_EVENTS,
    Batch,
    Commit,
    Document,
    Journal,
    SessionRecord,
    SessionState,
)
from engine.limits import Limits


class FaultyJournal:
    """Wraps a journal; appends are counted from 1, over all sessions.

    It says of itself that it is durable, so that an engine recovers from its `survivor`.

    Args:
        inner: where durable things go; the memory journal, as a rule.
        delay_s: seconds from a write to its being durable, or a function that gives them anew for
            each write. Order is kept: no write overtakes another.
        fail_at: the append whose Commit fails, as on a full disk. What was appended after it to
            the same session fails too, for it would leave a hole.
        fail_count: how many appends fail in a row, from `fail_at` on.
        crash_at: the append in which the process "dies"; see `crash`.
        stall_at: the append from which on nothing becomes durable any more and no write returns,
            as on a network disk that has gone away.
        repeat_every: every n-th batch is passed on twice, as by a client that lost an
            acknowledgement; 0: none is.
        max_pending: batches on their way above which `wait_room` waits.
        max_pending_bytes: their text above which it waits as well.
        patience_s: see `Journal.patience_s`; `inner`'s unless given.
    """

    is_durable = True

    def __init__(
        self,
        inner: Journal,
        *,
        delay_s: float | Callable[[], float] = 0.0,
        fail_at: int | None = None,
        fail_count: int = 1,
        crash_at: int | None = None,
        stall_at: int | None = None,
        repeat_every: int = 0,
        max_pending: int = 1000,
        max_pending_bytes: int = Limits().journal_pending_bytes,
        patience_s: float | None = None,
    ) -> None:
        self.patience_s = inner.patience_s if patience_s is None else patience_s
        self._inner = inner
        self._delay_s = delay_s
        self._failing = range(fail_at, fail_at + fail_count) if fail_at else range(0)
        self._crash_at = crash_at
        self._stall_at = stall_at
        self._repeat_every = repeat_every
        self._max_pending = max_pending
        self._max_pending_bytes = max_pending_bytes
        self._pending: deque[_Write] = deque()
        self._pending_bytes = 0
        self._last_due = 0.0
        self._crashed = trio.Event()
        self.appends = 0
        """How many batches were appended so far, failed ones included."""
        self.problem = ""
        """Why the last append failed; "" after one that did not."""
        self.lost: tuple[Batch, ...] = ()
        """What was on its way when it crashed."""

    def __repr__(self) -> str:
        state = "crashed, " if self.has_crashed else ""
        return f"<FaultyJournal: {state}{self.appends} appends, {self.pending} pending>"

    # ---- what a test does -----------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """How many batches were appended and are not durable yet."""
        self._settle()
        return len(self._pending)

    @property
    def pending_bytes(self) -> int:
        """Their text, milestones' texts as well."""
        self._settle()
        return self._pending_bytes

    @property
    def has_crashed(self) -> bool:
        """Whether the process "died"."""
        return self._crashed.is_set()

    def crash(self) -> None:
        """Die now: what is not durable is lost, and no further call succeeds."""
        self._settle()
        self.lost = tuple(write.batch for write in self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        self.problem = "the process crashed"
        self._crashed.set()

    async def wait_crashed(self) -> None:
        """Wait until the process "dies".

        Cancellation: nothing has changed.
        """
        await self._crashed.wait()

    def survivor(self) -> FaultyJournal:
        """Give a journal with only what was durable when this one crashed, and without faults."""
        if not self.has_crashed:
            self.crash()
        return FaultyJournal(self._inner)

    # ---- the log --------------------------------------------------------------------------------

    def append_nowait(self, batch: Batch) -> Commit:
        """See `Journal.append_nowait`; the batch is durable once its delay has passed."""
        self._settle()
        self._check()
        self.appends += 1
        if self.appends == self._crash_at:
            self.crash()
            self._check()
        write = _Write(
            self,
            batch,
            self._due(),
            fails=self.appends in self._failing,
            repeats=bool(self._repeat_every) and self.appends % self._repeat_every == 0,
        )
        self._pending.append(write)
        self._pending_bytes += write.size_bytes
        self._settle()
        return write

    @property
    def is_full(self) -> bool:
        """See `Journal.is_full`."""
        self._settle()
        return (
            len(self._pending) > self._max_pending or self._pending_bytes > self._max_pending_bytes
        )

    async def wait_room(self) -> None:
        """See `Journal.wait_room`."""
        await trio.lowlevel.checkpoint()
        while self.is_full:
            await self._pass_until(self._pending[0].due)
        self._check()

    async def create(self, record: SessionRecord) -> None:
        """See `Journal.create`."""
        await self._pass_until(self._due())
        await self._inner.create(record)

    async def begin_epoch(self, session_id: str, name: str) -> SessionRecord:
        """See `Journal.begin_epoch`; what was appended before it is durable first."""
        await self._pass_until(self._due())
        return await self._inner.begin_epoch(session_id, name)

    async def read(
        self,
        session_id: str,
        after_seq: int,
        *,
        max_events: int = PAGE_EVENTS,
        max_bytes: int = PAGE_BYTES,
    ) -> tuple[Entry, ...]:
        """See `Journal.read`; what is on its way is not there yet."""
        self._enter()
        return await self._inner.read(
            session_id, after_seq, max_events=max_events, max_bytes=max_bytes
        )

    async def earliest(self, session_id: str) -> int:
        """See `Journal.earliest`."""
        self._enter()
        return await self._inner.earliest(session_id)

    # ---- sessions and documents -----------------------------------------------------------------

    async def load(self, session_id: str) -> SessionRecord | None:
        """See `Journal.load`."""
        self._enter()
        return await self._inner.load(session_id)

    async def sessions(
        self,
        *,
        owner: str | None = None,
        protocol: str | None = None,
        states: Sequence[SessionState] = (),
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[tuple[SessionRecord, ...], str | None]:
        """See `Journal.sessions`."""
        self._enter()
        return await self._inner.sessions(
            owner=owner, protocol=protocol, states=states, limit=limit, cursor=cursor
        )

    async def delete(self, session_id: str) -> bool:
        """See `Journal.delete`."""
        await self._pass_until(self._due())
        return await self._inner.delete(session_id)

    async def expire(self, ended_before: float) -> int:
        """See `Journal.expire`."""
        await self._pass_until(self._due())
        return await self._inner.expire(ended_before)

    async def has_expired(self, session_id: str) -> bool:
        """See `Journal.has_expired`."""
        self._enter()
        return await self._inner.has_expired(session_id)

    async def put(self, document: Document) -> None:
        """See `Journal.put`."""
        await self._pass_until(self._due())
        await self._inner.put(document)

    async def get(self, collection: str, key: str) -> Document | None:
        """See `Journal.get`."""
        self._enter()
        return await self._inner.get(collection, key)

    async def documents(
        self, collection: str, *, owner: str | None = None, limit: int = 1000
    ) -> tuple[Document, ...]:
        """See `Journal.documents`."""
        self._enter()
        return await self._inner.documents(collection, owner=owner, limit=limit)

    async def remove(self, collection: str, key: str) -> bool:
        """See `Journal.remove`."""
        await self._pass_until(self._due())
        return await self._inner.remove(collection, key)

    # ---- time -----------------------------------------------------------------------------------

    def _due(self) -> float:
        """Say when a write that begins now is durable."""
        if self._stall_at is not None and self.appends >= self._stall_at:
            return math.inf
        delay_s = self._delay_s() if callable(self._delay_s) else self._delay_s
        self._last_due = max(trio.current_time() + delay_s, self._last_due)
        return self._last_due

    def _settle(self) -> None:
        """Pass on what has become due."""
        while self._pending and self._pending[0].due <= trio.current_time():
            write = self._pending.popleft()
            self._pending_bytes -= write.size_bytes
            write.settle(self._inner)
            self.problem = write.error.message if write.error else ""

    async def _pass_until(self, due: float) -> None:
        """Let time pass, and with it what is due before; a crash meanwhile ends the call."""
        self._check()
        await trio.lowlevel.checkpoint()
        with trio.move_on_at(due):
            await self._crashed.wait()
        self._enter()

    def _enter(self) -> None:
        self._check()
        self._settle()

    def _check(self) -> None:
        if self.has_crashed:
            raise JournalFailed("the process crashed")


class _Write:
    """A batch on its way, and its Commit."""

    def __init__(
        self, journal: FaultyJournal, batch: Batch, due: float, *, fails: bool, repeats: bool
    ) -> None:
        self.due = due
        self.error: JournalFailed | None = JournalFailed("the disk is full") if fails else None
        self.batch = batch
        self.size_bytes = sum(len(getattr(entry.event, "text", "")) for entry in batch.entries)
        self._repeats = repeats
        self._journal = journal
        self._commit: Commit | None = None

    def settle(self, inner: Journal) -> None:
        """Pass the batch on, unless it is one that fails."""
        if self.error is None:
            try:
                self._commit = inner.append_nowait(self.batch)
                if self._repeats:
                    inner.append_nowait(self.batch)
            except JournalFailed as error:
                self.error = error

    @property
    def is_done(self) -> bool:
        self._journal._settle()
        if self.error is not None:
            raise type(self.error)(self.error.message) from self.error
        if self._commit is not None:
            return self._commit.is_done
        self._journal._check()
        return False

    async def wait(self) -> None:
        if self._commit is None and self.error is None:
            await self._journal._pass_until(self.due)
        if self.error is not None:
            raise type(self.error)(self.error.message) from self.error
        assert self._commit is not None
        await self._commit.wait()
