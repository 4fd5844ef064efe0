"""The journal that several processes share: Redis, with one writer task and group commit.

Streams hold the logs, with our offsets as the ids of their entries, so an append is idempotent; a
script in Redis checks each batch against the session's epoch, so a stale owner is refused. As with
SQLite, `append_nowait` only queues: the writer sends what has gathered as one pipeline, and a
commit is done when Redis has answered. What that promises is a matter of Redis's settings: see
docs/explanation/durability.md.

While Redis is away nothing fails: writes wait and are sent again, `problem` says why, and
`is_full` says when those who produce have to wait. Questions wait a little, and then fail.

Must not import sessions, pipelines or providers, nor another journal; coredis only in `run`.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import trio

from engine.actors.unwrapping import single_error
from engine.errors import JournalFailed
from engine.events import Entry
from engine.journal import redis_reading as reading
from engine.journal import redis_scripts as scripts
from engine.journal import redis_writes as writes
from engine.journal.commits import Group, QueuedCommit
from engine.journal.interface import (
    PAGE_BYTES,
    PAGE_EVENTS,
    Batch,
    Document,
    SessionRecord,
    SessionState,
)
from engine.journal.redis_keys import Keys
from engine.journal.redis_writing import RedisWriter
from engine.limits import Limits
from engine.redis.address import RedisAddress
from engine.redis.checking import check_server
from engine.redis.link import Away, Link, Refused

_logger = logging.getLogger("antiphon.redis")

_BATCH_BYTES = 512
"""What a batch on its way costs beside its text."""
_EXPIRE_AT_ONCE = 50
"""Sessions that one script drops, so that others do not wait for long."""

P = ParamSpec("P")
R = TypeVar("R")


class RedisJournal:
    """Keeps logs and documents in Redis; `run` has to run for anything to happen.

    Args:
        address: where Redis is.
        limits: those of the journal and of Redis, `retention_s` and `close_s` count.
        prefix: what its keys begin with; journals of other prefixes do not see each other.
    """

    is_durable = True
    patience_s = math.inf
    """See `Journal.patience_s`: Redis is waited for."""

    def __init__(
        self, address: RedisAddress, limits: Limits | None = None, *, prefix: str = "antiphon"
    ) -> None:
        self._limits = limits or Limits()
        self._keys = Keys(prefix)
        self._name = uuid.uuid4().hex
        # Apart from each other: who reads a long log must not keep a milestone waiting.
        self._link = Link(
            address, name="antiphon-writes", limits=self._limits, scripts=scripts.WRITES
        )
        self._views = Link(
            address, name="antiphon-views", limits=self._limits, scripts=scripts.VIEWS
        )
        self._writer = RedisWriter(self._link, self._limits)
        self._group = Group()
        self._pending_bytes = 0
        self._work = trio.Event()
        self._room = trio.Event()
        self._is_running = False

    def __repr__(self) -> str:
        state = self.problem or "running"
        return f"<RedisJournal {self._link.address.name}: {state}, {self._pending_bytes} bytes>"

    @property
    def problem(self) -> str:
        """See `Journal.problem`."""
        if not self._is_running:
            return "the journal is not running"
        return self._link.problem or self._writer.problem

    # ---- the writer -----------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be the writer: connect, look at the server, report `started`, write until cancelled.

        Raises:
            JournalFailed: Redis cannot be reached or used, or coredis is not installed; the
                message says which, and what to do.

        Cancellation: what was appended is still written, if Redis is there and answers within
        `close_s`; what is appended later is refused. `run` may be called again.
        """
        if self._is_running:
            raise RuntimeError("the journal is running already")
        with single_error():
            await self._run(task_status)

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        connected = trio.CancelScope(shield=True)  # ended below, within `close_s` of a cancel
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(self._connect, connected)
                self._is_running = True
                task_status.started()
                while True:
                    await self._wait_for_work()
                    await self._write()
            finally:
                deadline = connected.deadline = trio.current_time() + self._limits.close_s
                with trio.CancelScope(shield=True, deadline=deadline):
                    if self._group.writes and not self._link.problem:
                        await self._write()
                self._stop()
                connected.cancel(reason="the journal is closed")

    async def _connect(
        self,
        scope: trio.CancelScope,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep both connections up, until the writer is done with them."""
        with scope, single_error():
            async with trio.open_nursery() as nursery:
                for link in (self._link, self._views):
                    await nursery.start(link.run)
                for warning in await self._check():
                    _logger.warning("Redis at %s: %s", self._link.address.name, warning)
                task_status.started()

    async def _check(self) -> list[str]:
        try:
            return await check_server(self._views)
        except Away as error:
            name = self._link.address.name
            raise JournalFailed(f"Redis at {name} cannot be used: {error}") from error

    async def _wait_for_work(self) -> None:
        if not self._group.writes:
            self._work = trio.Event()
            await self._work.wait()
        with trio.move_on_after(self._limits.journal_gather_s):
            await self._group.wanted.wait()

    async def _write(self) -> None:
        """Write all that is queued, however long Redis is away."""
        await trio.lowlevel.checkpoint_if_cancelled()
        group, self._group = self._group, Group()
        waiting = list(group.writes)
        try:
            await self._writer.write(waiting)
        finally:
            if waiting and not self._link.problem:  # broken off in the middle
                deadline = trio.current_time() + self._limits.close_s
                with trio.CancelScope(shield=True, deadline=deadline):
                    await self._writer.write(waiting)
            self._pending_bytes -= group.bytes
            group.end(JournalFailed("the journal was closed meanwhile") if waiting else None)
            self._room.set()
            self._room = trio.Event()

    def _stop(self) -> None:
        """Refuse what comes, and what is left."""
        self._is_running = False
        group, self._group = self._group, Group()
        self._pending_bytes = 0
        group.end(JournalFailed("the journal was closed before this was written"))
        self._room.set()

    def _queue(self, write: writes.RedisWrite, size_bytes: int = _BATCH_BYTES) -> QueuedCommit:
        if not self._is_running:
            raise JournalFailed("the journal is not running")
        group = self._group
        group.writes.append(write)
        group.bytes += size_bytes
        self._pending_bytes += size_bytes
        if self.is_full:
            group.wanted.set()  # by all who wait for room
        self._work.set()
        return QueuedCommit(group, write)

    async def _view(
        self,
        question: Callable[Concatenate[Link, Keys, P], Awaitable[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Ask Redis; while it is away, wait a little for it.

        Raises:
            JournalFailed: it stayed away, or the question makes no sense to it.
        """
        with trio.move_on_after(self._limits.redis_timeout_s):
            return await self._patient_view(question, *args, **kwargs)
        raise JournalFailed(self.problem or "Redis does not answer")

    async def _patient_view(
        self,
        question: Callable[Concatenate[Link, Keys, P], Awaitable[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Ask Redis, however long it is away."""
        while self._is_running:
            try:
                await self._views.wait_connected()
                return await question(self._views, self._keys, *args, **kwargs)
            except Refused as error:
                raise JournalFailed(f"Redis refused to read: {error}") from error
            except Away:
                await trio.sleep(self._limits.redis_retry_s)
        raise JournalFailed("the journal is not running")

    # ---- logs -----------------------------------------------------------------------------------

    async def create(self, record: SessionRecord) -> None:
        """See `Journal.create`.

        Cancellation: the session is not made, or taken back.
        """
        create = writes.Create(self._keys, self._name, record)
        commit = self._queue(create)
        try:
            await commit.wait()
        except trio.Cancelled:
            if self._is_running:
                self._queue(writes.TakeBack(create))
            raise

    def append_nowait(self, batch: Batch) -> QueuedCommit:
        """See `Journal.append_nowait`; a stale epoch or a hole is the Commit's to raise.

        Raises:
            JournalFailed: `run` is not running, or four times what `wait_room` waits for is on
                its way: somebody never waited for room.
        """
        size_bytes = _BATCH_BYTES
        for entry in batch.entries:
            size_bytes += len(getattr(entry.event, "text", ""))
        if self._pending_bytes + size_bytes > 4 * self._limits.journal_pending_bytes:
            raise JournalFailed("the journal's queue is full: Redis is too slow, or away")
        return self._queue(writes.Append(self._keys, self._name, batch), size_bytes)

    @property
    def is_full(self) -> bool:
        """See `Journal.is_full`; the bound is `journal_pending_bytes`."""
        return self._pending_bytes > self._limits.journal_pending_bytes

    async def wait_room(self) -> None:
        """See `Journal.wait_room`."""
        await trio.lowlevel.checkpoint()
        while self.is_full:
            await self._room.wait()

    async def begin_epoch(self, session_id: str, name: str) -> SessionRecord:
        """See `Journal.begin_epoch`; what was appended before it is durable first.

        Cancellation: the epoch begins all the same.
        """
        begin = writes.BeginEpoch(self._keys, self._name, session_id, name=name)
        return reading.record_of(await self._queue(begin).result())

    async def read(
        self,
        session_id: str,
        after_seq: int,
        *,
        max_events: int = PAGE_EVENTS,
        max_bytes: int = PAGE_BYTES,
    ) -> tuple[Entry, ...]:
        """See `Journal.read`; a reader waits for Redis, however long it is away."""
        return await self._patient_view(reading.read, session_id, after_seq, max_events, max_bytes)

    async def earliest(self, session_id: str) -> int:
        """See `Journal.earliest`; nothing is ever dropped of a session that is held."""
        await trio.lowlevel.checkpoint()
        return 1

    # ---- sessions -------------------------------------------------------------------------------

    async def load(self, session_id: str) -> SessionRecord | None:
        """See `Journal.load`."""
        return await self._view(reading.load, session_id)

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
        return await self._view(reading.sessions, owner, protocol, states, limit, cursor)

    async def delete(self, session_id: str) -> bool:
        """See `Journal.delete`.

        Where Redis did it and its answer was lost, it says that there was none.
        """
        delete = writes.Delete(self._keys, self._name, session_id)
        return bool(await self._queue(delete).result())

    async def expire(self, ended_before: float) -> int:
        """See `Journal.expire`; some at a time, and other writes in between.

        Cancellation: some are dropped, and the next call goes on.
        """
        total = 0
        forgotten_before = ended_before - self._limits.retention_s
        while True:
            some = writes.expire(
                self._keys, ended_before, forgotten_before, at_once=_EXPIRE_AT_ONCE
            )
            count = await self._queue(some).result()
            if not count:
                return total
            total += count

    async def has_expired(self, session_id: str) -> bool:
        """See `Journal.has_expired`."""
        return await self._view(reading.has_expired, session_id)

    # ---- documents ------------------------------------------------------------------------------

    async def put(self, document: Document) -> None:
        """See `Journal.put`.

        Cancellation: it is stored all the same.
        """
        await self._queue(writes.put(self._keys, document)).wait()

    async def get(self, collection: str, key: str) -> Document | None:
        """See `Journal.get`."""
        return await self._view(reading.get, collection, key)

    async def documents(
        self, collection: str, *, owner: str | None = None, limit: int = 1000
    ) -> tuple[Document, ...]:
        """See `Journal.documents`."""
        return await self._view(reading.documents, collection, owner, limit)

    async def remove(self, collection: str, key: str) -> bool:
        """See `Journal.remove`; a lost answer as with `delete`."""
        return bool(await self._queue(writes.remove(self._keys, collection, key)).result())
