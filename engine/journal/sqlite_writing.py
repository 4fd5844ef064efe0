"""What the journal's one writer does, in its thread: a group of writes is one transaction.

The rule: a group becomes durable whole or not at all; what is wrong with one write (a stale
epoch, a hole) is that write's error and spoils no other. Rows are gathered and inserted many at a
time: each statement gives up the interpreter's lock, and a busy event loop gives it back only
after milliseconds (50 rows beside a busy loop: 46 ms one by one, 3.5 ms together).
Must not import trio, nor another journal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, assert_never

import msgspec

from engine.errors import AntiphonError, Conflict, JournalFailed, NotFound
from engine.events import Entry
from engine.journal.encoding import Decoder, encode, text_key
from engine.journal.interface import ENDED, Batch, Document, Epoch, SessionRecord, unseen
from engine.journal.sqlite_commits import Append, Call
from engine.journal.sqlite_schema import LAST_ROW

_ROW_ENTRIES = 256
"""Entries in a row at most, so that a reader in the middle of a large batch decodes little."""
_CHUNKS = (256, 64, 16, 4, 1)
"""Rows in a statement; few sizes, so that SQLite compiles each statement once."""
_EXPIRE_AT_ONCE = 50
"""Sessions that one transaction drops, so that other writes do not wait for long."""

_epochs: Decoder[tuple[Epoch, ...]] = Decoder(tuple[Epoch, ...])

Row = tuple[Any, ...]


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
    """Applies groups of writes to the file.

    Args:
        connection: the only one that writes; the caller closes it.
        retention_s: how long an expired id is remembered beyond its expiry.
    """

    def __init__(self, connection: sqlite3.Connection, retention_s: float) -> None:
        self._connection = connection
        self._retention_s = retention_s
        self._sessions: dict[str, _Session] = {}
        self._ended: list[str] = []  # of this group; nobody writes to them any more
        self._forget_rows()

    def __repr__(self) -> str:
        return f"<Writer: {len(self._sessions)} sessions>"

    def write(self, group: Sequence[Append | Call]) -> None:
        """Make a group durable; an empty one writes too, to see whether writing works.

        Raises:
            sqlite3.Error: nothing of the group was written.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in group:
                try:
                    self._apply(write)
                except AntiphonError as error:
                    write.error = error
            self.flush()
            if not group:
                (version,) = self._connection.execute("PRAGMA user_version").fetchone()
                self._connection.execute(f"PRAGMA user_version = {version}")
            self._connection.execute("COMMIT")
        except BaseException:
            # Also what is remembered may be of this group: it is read from the file again.
            self._sessions.clear()
            self._forget_rows()
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            raise
        for session_id in self._ended:
            self._sessions.pop(session_id, None)
        self._ended.clear()

    def _apply(self, write: Append | Call) -> None:
        """Do one write, inside the group's transaction."""
        match write:
            case Append():
                self.append(write.batch)
            case Call():
                self.flush()  # what was gathered came before it
                write.result = write.change(self)
            case _:
                assert_never(write)

    # ---- logs -----------------------------------------------------------------------------------

    def append(self, batch: Batch) -> None:
        """Check a batch and gather its rows."""
        session = self._session(batch.session_id)
        if session is None:
            raise JournalFailed(f"session {batch.session_id} is not in the journal")
        if batch.epoch != session.epoch:
            raise JournalFailed(f"epoch {batch.epoch} of session {batch.session_id} is over")
        entries = unseen(batch, session.last_seq)
        if batch.entries and not entries:
            return
        rows = [
            _row(session.id, entries[at : at + _ROW_ENTRIES])
            for at in range(0, len(entries), _ROW_ENTRIES)
        ]
        notes = [(session.id, text_key(key), encode(value)) for key, value in batch.notes.items()]
        # From here on nothing fails: a batch is gathered whole or not at all.
        self._entries += rows
        for key_row in notes:
            self._notes[key_row[:2]] = key_row
        for part, attempt in batch.opened.items():
            key = (session.id, text_key(part))
            self._opened[key] = (*key, attempt)
        if entries:
            session.last_seq = entries[-1].seq
            session.updated_at = max(session.updated_at, entries[-1].at)
        if batch.state is not None:
            session.state = batch.state
            self._states[session.id] = (session.id, batch.state, session.updated_at)
            if batch.state in ENDED:
                self._ended.append(batch.session_id)

    def flush(self) -> None:
        """Insert the rows that were gathered."""
        self._insert("INSERT INTO entries VALUES {}", self._entries)
        self._insert("INSERT OR REPLACE INTO opened VALUES {}", list(self._opened.values()))
        self._insert("INSERT OR REPLACE INTO notes VALUES {}", list(self._notes.values()))
        self._insert(
            "UPDATE sessions SET state = new.column2, updated_at = new.column3 "
            "FROM (VALUES {}) AS new WHERE sessions.id = new.column1",
            list(self._states.values()),
        )
        self._forget_rows()

    def create(self, record: SessionRecord) -> None:
        """Make a session.

        Raises:
            Conflict: one of this id exists.
        """
        cursor = self._connection.execute(
            "INSERT INTO sessions "
            "(session_id, owner, protocol, state, created_at, updated_at, epochs, record) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (
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
        row = cursor.fetchone()
        if row is None:
            raise Conflict(f"session {record.session_id} exists already")
        (id_,) = row
        cursor.fetchall()
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
        self._drop(session.id)
        self._sessions.pop(session_id, None)
        return True

    def expire(self, ended_before: float) -> int:
        """Drop some sessions that ended before a time; gives their number, 0: there are no more."""
        marks = ", ".join("?" * len(ENDED))
        late = self._connection.execute(
            f"SELECT id, session_id, updated_at FROM sessions WHERE state IN ({marks}) "
            "AND updated_at < ? LIMIT ?",
            (*ENDED, ended_before, _EXPIRE_AT_ONCE),
        ).fetchall()
        for id_, _, _ in late:
            self._drop(id_)
        self._insert("INSERT OR REPLACE INTO expired VALUES {}", [row[1:] for row in late])
        if not late:
            self._connection.execute(
                "DELETE FROM expired WHERE ended_at < ?", (ended_before - self._retention_s,)
            )
        return len(late)

    def _drop(self, id_: int) -> None:
        for table in ("entries", "opened", "notes"):
            self._connection.execute(f"DELETE FROM {table} WHERE session = ?", (id_,))
        self._connection.execute("DELETE FROM sessions WHERE id = ?", (id_,))

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

    def _forget_rows(self) -> None:
        self._entries: list[Row] = []
        self._opened: dict[Row, Row] = {}
        self._notes: dict[Row, Row] = {}
        self._states: dict[int, Row] = {}


def _row(id_: int, entries: tuple[Entry, ...]) -> Row:
    return (id_, entries[-1].seq, entries[-1].at, encode(entries))
