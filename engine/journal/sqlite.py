"""The journal that survives: SQLite, with one writer actor and group commit.

`append_nowait` only queues. The writer, a thread for as long as the journal runs, takes all that is
queued, writes it in one transaction, and takes what has come meanwhile: under load groups grow by
themselves, and a batch that somebody waits for is written at once; batches that nobody waits for
are gathered for `journal_gather_s`, and the loop is not woken for them. A commit is done once
SQLite has synced its write-ahead log. What is appended goes to the file's tail first and to its
session's log later: see `sqlite_tail`.

A write that fails fails its whole group: each Commit raises, `problem` says why, and the writer
tries again with whatever comes next, or with an empty write every second, until it works; then
`problem` is "" again. Nothing is retried on its own: the owner of a batch knows what its readers
have seen. Must not import sessions, pipelines or providers, nor another journal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import trio

from engine.errors import JournalFailed
from engine.events import Entry
from engine.journal import sqlite_reading as reading
from engine.journal.encoding import encode
from engine.journal.interface import (
    PAGE_BYTES,
    PAGE_EVENTS,
    Batch,
    Document,
    SessionRecord,
    SessionState,
)
from engine.journal.sqlite_commits import Append, Call, Queue
from engine.journal.sqlite_schema import FileLock, explained, open_database
from engine.journal.sqlite_tail import Snapshot, Tail
from engine.journal.sqlite_writing import Writer
from engine.limits import Limits

_BATCH_BYTES = 512
"""What a batch on its way costs beside its text."""

P = ParamSpec("P")
R = TypeVar("R")


class SqliteJournal:
    """Keeps logs and documents in one SQLite file; `run` has to run for anything to happen.

    Args:
        path: the file; it and its folder are made where there is none.
        limits: those of the journal, `retention_s` and `close_s` count.
    """

    is_durable = True

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self._path = path
        self._limits = limits or Limits()
        self._readers = reading.Readers(path, Tail())
        self._queue = Queue(self._limits.journal_gather_s)
        # Own limiters: neither may wait for the process's other threads, nor reads for writes.
        self._write_limiter = trio.CapacityLimiter(1)
        self._read_limiter = trio.CapacityLimiter(4)
        self._is_running = False
        self._problem = ""
        self.patience_s = self._limits.close_s
        """See `Journal.patience_s`."""

    def __repr__(self) -> str:
        state = self._problem or ("running" if self._is_running else "not running")
        return (
            f"<SqliteJournal {self._path}: {state}, {self._queue.pending_bytes} bytes on their way>"
        )

    @property
    def problem(self) -> str:
        """See `Journal.problem`."""
        return self._problem if self._is_running else self._problem or "the journal is not running"

    # ---- the writer -----------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be the writer actor: open the file, report `started`, write until cancelled.

        Raises:
            JournalFailed: the file cannot be opened: damaged, locked, in use by another process,
                not ours, or of a newer version; the message says which, and what to do.

        Cancellation: what was appended is still written, as one group, and the file is closed; what
        is appended later is refused. `run` may be called again. A write that is under way cannot
        be broken off: `run` ends when the disk answers.
        """
        if self._is_running:
            raise RuntimeError("the journal is running already")
        lock, writer = await trio.to_thread.run_sync(self._open, limiter=self._write_limiter)
        try:
            self._readers = reading.Readers(self._path, writer.tail)
            self._queue = Queue(self._limits.journal_gather_s)
            self._problem = ""
            self._is_running = True
            task_status.started()
            error = await self._run_thread(writer)
            if error is not None:
                raise error
        finally:
            self._is_running = False
            self._queue.refuse(JournalFailed("the journal was closed before this was written"))
            # In a thread as well: the last connection to close copies the log into the file.
            deadline = trio.current_time() + self._limits.close_s
            with trio.CancelScope(shield=True, deadline=deadline):
                await trio.to_thread.run_sync(self._close, lock, writer)

    async def _run_thread(self, writer: Writer) -> BaseException | None:
        """Have a thread write until cancelled; gives what it broke off with."""
        error: BaseException | None = None
        token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._close_queue_when_cancelled)
            # It is not abandoned: the thread ends by itself once the queue is closed.
            error = await trio.to_thread.run_sync(
                self._write_groups, writer, token, limiter=self._write_limiter
            )
            nursery.cancel_scope.cancel()
        return error

    async def _close_queue_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._queue.close()

    def _open(self) -> tuple[FileLock, Writer]:
        lock = FileLock(self._path)
        try:
            connection = open_database(self._path)
            try:
                return lock, Writer(connection, self._limits)
            except BaseException as error:
                connection.close()
                if isinstance(error, sqlite3.Error):
                    raise explained(error, self._path) from error
                raise
        except BaseException:
            lock.release()
            raise

    def _close(self, lock: FileLock, writer: Writer) -> None:
        self._readers.close()
        writer.close()
        lock.release()

    def _write_groups(self, writer: Writer, token: trio.lowlevel.TrioToken) -> BaseException | None:
        """Be the writer's thread: write groups until the queue is closed and empty."""
        queue = self._queue
        while True:
            group = queue.take(self._patience_s(writer))
            if queue.is_closed and not group:
                return None
            failure: JournalFailed | None = None
            broken: BaseException | None = None
            try:
                writer.write(group)
            except sqlite3.Error as error:
                failure = explained(error, self._path)
            except BaseException as error:  # a defect: it is raised where it belongs, by `run`
                failure = JournalFailed("the journal's writer broke off")
                broken = error
            self._problem = failure.message if failure else ""
            if queue.end(group, failure):
                token.run_sync_soon(queue.wake)
            if broken is not None:
                return broken

    def _patience_s(self, writer: Writer) -> float | None:
        """Say how long to wait for writes; None: for ever.

        While writing fails, until it is time to try again; else until it is time to move the tail.
        """
        if self._problem:
            return self._limits.journal_probe_s
        if not writer.tail:
            return None
        return 0.0 if writer.is_settling else self._limits.journal_settle_s

    def _put(self, write: Append | Call) -> None:
        if not self._is_running or self._queue.is_closed:
            raise JournalFailed("the journal is not running")
        queue = self._queue
        queue.put(write)
        if self.is_full:
            queue.want(queue.put_count)  # by all who wait for room

    async def _change(
        self, change: Callable[Concatenate[Writer, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Have the writer do something, in its turn."""
        write = Call(lambda writer: change(writer, *args, **kwargs), _BATCH_BYTES)
        self._put(write)
        await write.wait()
        result: R = write.result
        return result

    async def _read(
        self,
        query: Callable[Concatenate[Snapshot, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run a query in a thread."""
        if not self._is_running:
            raise JournalFailed("the journal is not running")
        run = partial(self._readers.query, query, *args, **kwargs)
        try:
            return await trio.to_thread.run_sync(run, limiter=self._read_limiter)
        except sqlite3.Error as error:
            raise explained(error, self._path) from error

    # ---- logs -----------------------------------------------------------------------------------

    async def create(self, record: SessionRecord) -> None:
        """See `Journal.create`.

        Cancellation: the session is made all the same.
        """
        await self._change(Writer.create, record)

    def append_nowait(self, batch: Batch) -> Append:
        """See `Journal.append_nowait`; a stale epoch or a hole is the Commit's to raise.

        Raises:
            JournalFailed: `run` is not running, or four times what `wait_room` waits for is on
                its way: somebody never waited for room.
        """
        size_bytes = _BATCH_BYTES
        for entry in batch.entries:
            size_bytes += len(getattr(entry.event, "text", ""))
        if self._queue.pending_bytes + size_bytes > 4 * self._limits.journal_pending_bytes:
            raise JournalFailed("the journal's queue is full: the disk is too slow")
        write = Append(batch, size_bytes)
        self._put(write)
        return write

    @property
    def is_full(self) -> bool:
        """See `Journal.is_full`; the bound is `journal_pending_bytes`."""
        return self._queue.pending_bytes > self._limits.journal_pending_bytes

    async def wait_room(self) -> None:
        """See `Journal.wait_room`."""
        await trio.lowlevel.checkpoint()
        while self.is_full:
            await self._queue.wait_ended(self._queue.ended + 1)

    async def begin_epoch(self, session_id: str, name: str) -> SessionRecord:
        """See `Journal.begin_epoch`; what was appended before it is durable first.

        Cancellation: the epoch begins all the same.
        """
        await self._change(Writer.begin_epoch, session_id, name)
        record = await self._read(reading.load, session_id)
        if record is None:
            raise JournalFailed(f"session {session_id} was deleted meanwhile")
        return record

    async def read(
        self,
        session_id: str,
        after_seq: int,
        *,
        max_events: int = PAGE_EVENTS,
        max_bytes: int = PAGE_BYTES,
    ) -> tuple[Entry, ...]:
        """See `Journal.read`."""
        return await self._read(reading.read, session_id, after_seq, max_events, max_bytes)

    async def earliest(self, session_id: str) -> int:
        """See `Journal.earliest`; nothing is ever dropped of a session that is held."""
        await trio.lowlevel.checkpoint()
        return 1

    # ---- sessions -------------------------------------------------------------------------------

    async def load(self, session_id: str) -> SessionRecord | None:
        """See `Journal.load`."""
        return await self._read(reading.load, session_id)

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
        return await self._read(reading.sessions, owner, protocol, states, limit, cursor)

    async def delete(self, session_id: str) -> bool:
        """See `Journal.delete`."""
        return await self._change(Writer.delete, session_id)

    async def expire(self, ended_before: float) -> int:
        """See `Journal.expire`; some at a time, and other writes in between.

        Cancellation: some are dropped, and the next call goes on.
        """
        total = 0
        while count := await self._change(Writer.expire, ended_before):
            total += count
        return total

    async def has_expired(self, session_id: str) -> bool:
        """See `Journal.has_expired`."""
        return await self._read(reading.has_expired, session_id)

    # ---- documents ------------------------------------------------------------------------------

    async def put(self, document: Document) -> None:
        """See `Journal.put`.

        Cancellation: it is stored all the same.
        """
        data = encode(document)  # now: what the caller changes afterwards does not count
        await self._change(Writer.put, document, data)

    async def get(self, collection: str, key: str) -> Document | None:
        """See `Journal.get`."""
        return await self._read(reading.get, collection, key)

    async def documents(
        self, collection: str, *, owner: str | None = None, limit: int = 1000
    ) -> tuple[Document, ...]:
        """See `Journal.documents`."""
        return await self._read(reading.documents, collection, owner, limit)

    async def remove(self, collection: str, key: str) -> bool:
        """See `Journal.remove`."""
        return await self._change(Writer.remove, collection, key)
