"""The journal that survives: SQLite, with one writer actor and group commit.

`append_nowait` only queues. The writer takes all that is queued, writes it in one transaction in
a worker thread, and takes what has come meanwhile: under load groups grow by themselves, and a
batch that somebody waits for is written at once; batches that nobody waits for are gathered for
`journal_gather_s`. A commit is done once SQLite has synced its write-ahead log. What is appended
goes to the file's tail first and to its session's log later: see `sqlite_tail`.

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
from engine.journal.commits import Group, QueuedCommit
from engine.journal.encoding import encode
from engine.journal.interface import (
    PAGE_BYTES,
    PAGE_EVENTS,
    Batch,
    Document,
    SessionRecord,
    SessionState,
)
from engine.journal.sqlite_commits import Append, Call
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
        self._group = Group()
        self._pending_bytes = 0
        self._work = trio.Event()
        self._room = trio.Event()
        # Own limiters: neither may wait for the process's other threads, nor reads for writes.
        self._write_limiter = trio.CapacityLimiter(1)
        self._read_limiter = trio.CapacityLimiter(4)
        self._is_running = False
        self._problem = ""
        self.patience_s = self._limits.close_s
        """See `Journal.patience_s`."""

    def __repr__(self) -> str:
        state = self._problem or ("running" if self._is_running else "not running")
        return f"<SqliteJournal {self._path}: {state}, {self._pending_bytes} bytes on their way>"

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
            self._problem = ""
            self._is_running = True
            task_status.started()
            while True:
                await self._wait_for_work(writer)
                await self._write(writer)
        finally:
            deadline = trio.current_time() + self._limits.close_s
            with trio.CancelScope(shield=True, deadline=deadline):
                if self._group.writes:
                    await self._write(writer)
            self._stop()
            # In a thread as well: the last connection to close copies the log into the file.
            deadline = trio.current_time() + self._limits.close_s
            with trio.CancelScope(shield=True, deadline=deadline):
                await trio.to_thread.run_sync(self._close, lock, writer)

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

    async def _wait_for_work(self, writer: Writer) -> None:
        """Wait until there is something to write, and nothing more to gather.

        While writing fails, that is the case when it is time to try again; and while nobody
        writes, when it is time to move the tail.
        """
        if not self._group.writes:
            self._work = trio.Event()
            with trio.move_on_after(
                self._limits.journal_probe_s if self._problem else self._settle_s(writer)
            ):
                await self._work.wait()
        if self._group.writes:
            with trio.move_on_after(self._limits.journal_gather_s):
                await self._group.wanted.wait()

    def _settle_s(self, writer: Writer) -> float:
        if not writer.tail:
            return float("inf")
        return 0.0 if writer.is_settling else self._limits.journal_settle_s

    async def _write(self, writer: Writer) -> None:
        """Write all that is queued."""
        await trio.lowlevel.checkpoint_if_cancelled()
        group, self._group = self._group, Group()
        failure: JournalFailed | None = JournalFailed("the journal's writer broke off")
        try:
            # Not to be cancelled from here on: the thread ends by itself, and the group is over.
            await trio.to_thread.run_sync(writer.write, group.writes, limiter=self._write_limiter)
            failure = None
        except sqlite3.Error as error:
            failure = explained(error, self._path)
        finally:
            self._problem = failure.message if failure else ""
            self._pending_bytes -= group.bytes
            group.end(failure)
            self._room.set()
            self._room = trio.Event()

    def _stop(self) -> None:
        """Refuse what comes, and what is left."""
        self._is_running = False
        group, self._group = self._group, Group()
        self._pending_bytes = 0
        group.end(JournalFailed("the journal was closed before this was written"))
        self._room.set()

    def _queue(self, write: Append | Call, size_bytes: int) -> QueuedCommit:
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

    async def _change(
        self, change: Callable[Concatenate[Writer, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Have the writer do something, in its turn."""
        write = Call(lambda writer: change(writer, *args, **kwargs))
        result: R = await self._queue(write, _BATCH_BYTES).result()
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
            raise JournalFailed("the journal's queue is full: the disk is too slow")
        return self._queue(Append(batch, size_bytes), size_bytes)

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
