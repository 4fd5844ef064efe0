"""What the journal's one writer does, in its thread: a group of writes is one transaction.

The rule: a group becomes durable whole or not at all; what is wrong with one write (a stale
epoch, a hole) is that write's error and spoils no other. Rows are gathered and inserted many at a
time: each statement gives up the interpreter's lock, and a busy event loop gives it back only
after milliseconds (50 rows beside a busy loop: 46 ms one by one, 3.5 ms together).

A group that only appends is one row of the tail (`sqlite_tail`), and one statement: it begins,
writes and commits in one call, and so asks once for the interpreter's lock. A session's stretch of
the tail is moved to `entries` when the session ends, when it is long, and when the tail is.
Must not import trio, nor another journal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Sequence
from contextlib import suppress

import msgspec

from engine.errors import AntiphonError, Conflict, Fenced, JournalFailed, NotFound
from engine.events import Entry
from engine.journal.encoding import Decoder, encode, key_text, text_key
from engine.journal.interface import ENDED, Document, Epoch, SessionRecord, unseen
from engine.journal.sqlite_commits import Append, Call
from engine.journal.sqlite_schema import LAST_ROW
from engine.journal.sqlite_tail import (
    STRETCH_BYTES,
    Piece,
    Row,
    Tail,
    log_rows,
    recover,
    tail_row,
)
from engine.limits import Limits

_CHUNKS = (256, 64, 16, 4, 1)
"""Rows in a statement; few sizes, so that SQLite compiles each statement once."""
_EXPIRE_AT_ONCE = 50
"""Sessions that one transaction drops, so that other writes do not wait for long."""
_MOVE_AT_ONCE = 64
"""Sessions whose stretches one transaction moves when nobody writes, or when the tail is at twice
its bound: about 5 ms."""
_MOVE_BESIDE = 8
"""And when it is above its bound, beside a group that others may wait for: less than 1 ms."""
_TRIM_ROWS = 64
"""Rows of the tail are deleted when so many are not needed any more."""

_epochs: Decoder[tuple[Epoch, ...]] = Decoder(tuple[Epoch, ...])


class _Session:
    """What the writer knows of a session that is being written."""

    __slots__ = ("epoch", "id", "last_seq", "state", "updated_at")

    def __init__(self, id_: int, epoch: str, last_seq: int, state: str, updated_at: float) -> None:
        self.id = id_
        self.epoch = epoch
        self.last_seq = last_seq
        self.state = state
        self.updated_at = updated_at


class Writer:
    """Applies groups of writes to the file; moves what a crash left in its tail.

    Args:
        connection: the only one that writes; `close` closes it.
        limits: `journal_tail_bytes` and `retention_s` count.

    Raises:
        sqlite3.Error: the file cannot be written.
        JournalFailed: what the crash left is damaged.
    """

    def __init__(self, connection: sqlite3.Connection, limits: Limits) -> None:
        recover(connection)
        self.tail = Tail()
        self.is_settling = False
        """Whether the last write was an empty group that moved something."""
        self._connection = connection
        self._limits = limits
        self._sessions: dict[str, _Session] = {}
        # Never one that was used: rows of the tail may still name a deleted session.
        (self._next_id,) = connection.execute(
            "SELECT coalesce(max(id), 0) + 1 FROM sessions"
        ).fetchone()
        self._trimmed = 0  # the newest row that was deleted
        self._forget_group()

    def __repr__(self) -> str:
        return f"<Writer: {len(self._sessions)} sessions, {self.tail}>"

    def write(self, group: Sequence[Append | Call]) -> None:
        """Make a group durable; an empty one moves some of the tail, or sees if writing works.

        Raises:
            sqlite3.Error: nothing of the group was written.
        """
        try:
            try:
                self._take(group)
                self._commit(is_idle=not group)
            except JournalFailed:  # something cannot be encoded: once more, looking at each
                self._go_back()
                for write in group:
                    write.error = None
                self._take(group, is_careful=True)
                self._commit(is_idle=not group)
        except BaseException:
            self._go_back()
            raise
        for session_id in self._ended:
            self._sessions.pop(session_id, None)
        self._forget_group()

    def close(self) -> None:
        """Move the whole tail, if that works, and close the connection."""
        with suppress(sqlite3.Error):
            while self.tail:
                self.write(())
        self._connection.close()

    def _take(self, group: Sequence[Append | Call], *, is_careful: bool = False) -> None:
        """Do each write, or note what is wrong with it; appends are only gathered."""
        for write in group:
            try:
                if type(write) is Append:
                    if is_careful:  # as deep in other values as it will be
                        encode([(0, write.batch.entries)])
                    self.append(write)
                else:
                    assert type(write) is Call
                    self._begin()
                    self.flush()  # what was gathered came before it
                    write.result = write.change(self)
            except AntiphonError as error:
                write.error = error

    def _go_back(self) -> None:
        """Undo a group that is not committed."""
        # Also what is remembered may be of this group: it is read from the file again.
        self._sessions.clear()
        self._forget_group()
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    def _commit(self, *, is_idle: bool) -> None:
        """Write what was gathered, commit, and only then change what readers are given."""
        self._moving.update(dict.fromkeys(self.tail.long))
        size_bytes, bound = self.tail.size_bytes, self._limits.journal_tail_bytes
        if is_idle or size_bytes > bound:
            count = _MOVE_AT_ONCE if is_idle or size_bytes > 2 * bound else _MOVE_BESIDE
            self._moving.update(dict.fromkeys(self.tail.oldest(count)))
        pieces = self._pieces
        if self._moving:
            pieces = [piece for piece in pieces if piece.session_id not in self._moving]
        row, data = self.tail.upto + 1, tail_row(pieces) if pieces else b""
        insert = "INSERT INTO tail VALUES (?, ?)"
        gone = self._dropped.union(self._moving)
        is_alone = not (gone or self._opened or self._notes or self._states or is_idle)
        trimmed = self._trimmed
        if is_alone and not self._connection.in_transaction:
            if pieces:
                self._connection.execute(insert, (row, data))
        else:
            self._begin()
            self.flush()
            self._move()
            if pieces:
                self._connection.execute(insert, (row, data))
            trimmed = self._trim(gone)
            if is_idle and not self._moving:
                (version,) = self._connection.execute("PRAGMA user_version").fetchone()
                self._connection.execute(f"PRAGMA user_version = {version}")
            self._connection.execute("COMMIT")
        self._trimmed = trimmed
        if gone:
            self.tail.drop(gone)
        if pieces:
            self.tail.add(row, len(data), pieces)
        self.is_settling = is_idle and bool(self._moving)

    # ---- logs -----------------------------------------------------------------------------------

    def append(self, write: Append) -> None:
        """Check a batch and gather it."""
        batch = write.batch
        session = self._sessions.get(batch.session_id) or self._session(batch.session_id)
        if session is None:
            raise JournalFailed(f"session {batch.session_id} is not in the journal")
        if batch.epoch != session.epoch:
            raise Fenced(f"epoch {batch.epoch} of session {batch.session_id} is over")
        entries = batch.entries
        # Most batches are the next delta and nothing else: the rest is asked of others only.
        if len(entries) != 1 or entries[0].cuts or entries[0].seq != session.last_seq + 1:
            entries = unseen(batch, session.last_seq)
            if batch.entries and not entries:
                return
        if batch.notes:
            notes = [(session.id, text_key(key), encode(each)) for key, each in batch.notes.items()]
            self._notes.update((key_row[:2], key_row) for key_row in notes)
        # From here on nothing fails: a batch is gathered whole or not at all.
        if batch.opened:
            for part, attempt in batch.opened.items():
                key = (session.id, text_key(part))
                self._opened[key] = (*key, attempt)
        if entries:
            last = entries[-1]
            session.last_seq = last.seq
            if last.at > session.updated_at:
                session.updated_at = last.at
            size_bytes = write.size_bytes
            self._pieces.append(Piece(batch.session_id, session.id, entries, size_bytes))
            if size_bytes > STRETCH_BYTES:
                self._moving[batch.session_id] = None
        if batch.state is not None:
            session.state = batch.state
            self._states[session.id] = (session.id, batch.state, session.updated_at)
            if batch.state in ENDED:
                self._ended.append(batch.session_id)
                self._moving[batch.session_id] = None

    def flush(self) -> None:
        """Write what was gathered, but for entries."""
        self._insert("INSERT OR REPLACE INTO opened VALUES {}", list(self._opened.values()))
        self._insert("INSERT OR REPLACE INTO notes VALUES {}", list(self._notes.values()))
        self._insert(
            "UPDATE sessions SET state = new.column2, updated_at = new.column3 "
            "FROM (VALUES {}) AS new WHERE sessions.id = new.column1",
            list(self._states.values()),
        )
        self._opened.clear()
        self._notes.clear()
        self._states.clear()

    def _move(self) -> None:
        """Insert stretches into `entries`, with what this group adds to them."""
        logs: dict[int, list[Entry]] = {}
        for session_id in self._moving:
            stretch = self.tail.stretch(session_id)
            if stretch is not None and session_id not in self._dropped:
                logs[stretch.id] = stretch.entries[:]
        for piece in self._pieces:
            if piece.session_id in self._moving:
                logs.setdefault(piece.id, []).extend(piece.entries)
        rows = [row for id_, entries in logs.items() for row in log_rows(id_, entries)]
        self._insert("INSERT INTO entries VALUES {}", rows)

    def _trim(self, gone: Container[str]) -> int:
        """Delete rows of the tail that are not needed any more; gives the newest deleted one."""
        newest = self.tail.first_row(without=gone) - 1
        is_worth_it = newest - self._trimmed >= _TRIM_ROWS or newest == self.tail.upto
        if newest == self._trimmed or not is_worth_it:
            return self._trimmed
        self._connection.execute("DELETE FROM tail WHERE id <= ?", (newest,))
        return newest

    def create(self, record: SessionRecord) -> None:
        """Make a session.

        Raises:
            Conflict: one of this id exists.
        """
        cursor = self._connection.execute(
            "INSERT INTO sessions "
            "(id, session_id, owner, protocol, state, created_at, updated_at, epochs, record) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                self._next_id,
                text_key(record.session_id),
                text_key(record.owner),
                record.protocol,
                record.state,
                record.created_at,
                record.updated_at,
                encode(record.epochs),
                encode(msgspec.structs.replace(record, opened={}, notes={})),
            ),
        )
        if cursor.rowcount < 1:
            raise Conflict(f"session {record.session_id} exists already")
        id_, self._next_id = self._next_id, self._next_id + 1
        self._insert(
            "INSERT INTO opened VALUES {}",
            [(id_, text_key(part), attempt) for part, attempt in record.opened.items()],
        )
        self._insert(
            "INSERT INTO notes VALUES {}",
            [(id_, text_key(key), encode(value)) for key, value in record.notes.items()],
        )
        if record.state not in ENDED:
            self._sessions[record.session_id] = _Session(
                id_, record.epochs[-1].name, 0, record.state, record.updated_at
            )

    def begin_epoch(self, session_id: str, name: str) -> None:
        """Begin a new life of a session's log.

        Raises:
            NotFound: no such session.
            Conflict: it had an epoch of this name already.
        """
        session = self._session(session_id)
        if session is None:
            raise NotFound(f"session {session_id} is not in the journal")
        (data,) = self._connection.execute(
            "SELECT epochs FROM sessions WHERE id = ?", (session.id,)
        ).fetchone()
        epochs = _epochs.decode(data)
        if any(epoch.name == name for epoch in epochs):
            raise Conflict(f"session {session_id} had an epoch {name} already")
        epochs = (*epochs, Epoch(name=name, after_seq=session.last_seq))
        self._connection.execute(
            "UPDATE sessions SET epochs = ? WHERE id = ?", (encode(epochs), session.id)
        )
        session.epoch = name

    # ---- retention ------------------------------------------------------------------------------

    def delete(self, session_id: str) -> bool:
        """Forget a session; False: there was none."""
        session = self._session(session_id)
        if session is None:
            return False
        self._drop(session.id, session_id)
        return True

    def expire(self, ended_before: float) -> int:
        """Drop some sessions that ended before a time; gives their number, 0: there are no more."""
        marks = ", ".join("?" * len(ENDED))
        late = self._connection.execute(
            f"SELECT id, session_id, updated_at FROM sessions WHERE state IN ({marks}) "
            "AND updated_at < ? LIMIT ?",
            (*ENDED, ended_before, _EXPIRE_AT_ONCE),
        ).fetchall()
        for id_, key, _ in late:
            self._drop(id_, key_text(key))
        self._insert("INSERT OR REPLACE INTO expired VALUES {}", [row[1:] for row in late])
        if not late:
            self._connection.execute(
                "DELETE FROM expired WHERE ended_at < ?", (ended_before - self._limits.retention_s,)
            )
        return len(late)

    def _drop(self, id_: int, session_id: str) -> None:
        for table in ("entries", "opened", "notes"):
            self._connection.execute(f"DELETE FROM {table} WHERE session = ?", (id_,))
        self._connection.execute("DELETE FROM sessions WHERE id = ?", (id_,))
        self._pieces[:] = [piece for piece in self._pieces if piece.id != id_]
        self._moving.pop(session_id, None)
        self._dropped.add(session_id)
        self._sessions.pop(session_id, None)

    # ---- documents ------------------------------------------------------------------------------

    def put(self, document: Document, data: bytes) -> None:
        """Store a document that is encoded already."""
        self._connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)",
            (
                text_key(document.collection),
                text_key(document.key),
                text_key(document.owner),
                document.updated_at,
                data,
            ),
        )

    def remove(self, collection: str, key: str) -> bool:
        """Drop a document; False: there was none."""
        cursor = self._connection.execute(
            "DELETE FROM documents WHERE collection = ? AND key = ?",
            (text_key(collection), text_key(key)),
        )
        return cursor.rowcount > 0

    # ---- inside ---------------------------------------------------------------------------------

    def _session(self, session_id: str) -> _Session | None:
        """Give what is known of a session, from memory or else from the file."""
        session = self._sessions.get(session_id)
        if session is None:
            row = self._connection.execute(
                "SELECT s.id, s.epochs, s.state, s.updated_at, e.last_seq, e.at "
                f"FROM sessions AS s {LAST_ROW} WHERE s.session_id = ?",
                (text_key(session_id),),
            ).fetchone()
            if row is None:
                return None
            id_, epochs, state, updated_at, last_seq, at = row
            name = _epochs.decode(epochs)[-1].name
            session = _Session(id_, name, last_seq or 0, state, max(updated_at, at or 0.0))
            stretch = self.tail.stretch(session_id)
            if stretch is not None and stretch.id == id_:
                session.last_seq = stretch.entries[-1].seq
                session.updated_at = max(session.updated_at, stretch.entries[-1].at)
            self._sessions[session_id] = session
            if state in ENDED:
                self._ended.append(session_id)
        return session

    def _insert(self, statement: str, rows: list[Row]) -> None:
        """Run a statement with VALUES for all rows, many at a time."""
        at = 0
        for size in _CHUNKS:
            while len(rows) - at >= size:
                chunk = rows[at : at + size]
                marks = "(" + ", ".join("?" * len(chunk[0])) + ")"
                self._connection.execute(
                    statement.format(", ".join([marks] * size)),
                    [value for row in chunk for value in row],
                )
                at += size

    def _forget_group(self) -> None:
        """Begin anew."""
        self._pieces: list[Piece] = []
        self._moving: dict[str, None] = {}  # sessions whose stretch goes to its place now
        self._dropped: set[str] = set()  # sessions that were deleted, and maybe made again
        self._ended: list[str] = []  # nobody writes to them any more
        self._opened: dict[Row, Row] = {}
        self._notes: dict[Row, Row] = {}
        self._states: dict[int, Row] = {}
