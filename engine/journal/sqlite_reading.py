"""What the journal reads from its SQLite file, each time on a connection of its own.

The rule: a reader sees only what is committed, in one piece, and delays no writer (SQLite's
write-ahead log). Must not import trio, nor another journal.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from engine.events import JSON, Entry
from engine.journal.encoding import Decoder, key_text, text_key
from engine.journal.interface import (
    Document,
    Epoch,
    SessionRecord,
    SessionState,
    format_cursor,
    parse_cursor,
)
from engine.journal.sqlite_schema import LAST_ROW, connect

_entries: Decoder[tuple[Entry, ...]] = Decoder(tuple[Entry, ...])
_epochs: Decoder[tuple[Epoch, ...]] = Decoder(tuple[Epoch, ...])
_record: Decoder[SessionRecord] = Decoder(SessionRecord)
_document: Decoder[Document] = Decoder(Document)
_value: Decoder[Any] = Decoder(Any)

P = ParamSpec("P")
R = TypeVar("R")


class Readers:
    """Keeps idle connections, and lends one for each query. Thread-safe.

    Args:
        path: the journal's file, which exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: deque[sqlite3.Connection] = deque()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Readers of {self._path}: {len(self._idle)} idle>"

    def query(
        self,
        run: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run a query of this module on a connection, in one transaction.

        Raises:
            sqlite3.Error: as it comes; the connection is not used again.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = connect(self._path, read_only=True)
        try:
            connection.execute("BEGIN")
            result = run(connection, *args, **kwargs)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if self._is_closed:
            self.close()
        return result

    def close(self) -> None:
        """Close the idle connections, and each other one when its query is over."""
        self._is_closed = True
        while self._idle:
            with suppress(sqlite3.Error):
                self._idle.pop().close()


def read(
    connection: sqlite3.Connection, session_id: str, after_seq: int, max_events: int
) -> tuple[Entry, ...]:
    """See `Journal.read`."""
    found: list[Entry] = []
    rows = connection.execute(
        "SELECT e.data FROM entries AS e JOIN sessions AS s ON s.id = e.session "
        "WHERE s.session_id = ? AND e.last_seq > ? ORDER BY e.last_seq",
        (text_key(session_id), after_seq),
    )
    for (data,) in rows:
        for entry in _entries.decode(data):
            if entry.seq <= after_seq:
                continue
            if found and entry.seq > after_seq + max_events:
                return tuple(found)
            found.append(entry)
    return tuple(found)


def load(connection: sqlite3.Connection, session_id: str) -> SessionRecord | None:
    """See `Journal.load`."""
    rows = _select(connection, "s.session_id = ?", (text_key(session_id),), 1)
    return rows[0] if rows else None


def sessions(
    connection: sqlite3.Connection,
    owner: str | None,
    protocol: str | None,
    states: Sequence[SessionState],
    limit: int,
    cursor: str | None,
) -> tuple[tuple[SessionRecord, ...], str | None]:
    """See `Journal.sessions`."""
    where: list[str] = ["true"]
    values: list[Any] = []
    if owner is not None:
        where.append("s.owner = ?")
        values.append(text_key(owner))
    if protocol is not None:
        where.append("s.protocol = ?")
        values.append(protocol)
    if states:
        where.append(f"s.state IN ({', '.join('?' * len(states))})")
        values += states
    if cursor is not None:
        created_at, session_id = parse_cursor(cursor)
        where.append("(s.created_at, s.session_id) < (?, ?)")
        values += [created_at, text_key(session_id)]
    found = _select(connection, " AND ".join(where), values, limit + 1)
    if len(found) <= limit:
        return tuple(found), None
    return tuple(found[:limit]), format_cursor(found[limit - 1])


def has_expired(connection: sqlite3.Connection, session_id: str) -> bool:
    """See `Journal.has_expired`."""
    rows = connection.execute("SELECT 1 FROM expired WHERE session_id = ?", (text_key(session_id),))
    return rows.fetchone() is not None


def get(connection: sqlite3.Connection, collection: str, key: str) -> Document | None:
    """See `Journal.get`."""
    row = connection.execute(
        "SELECT data FROM documents WHERE collection = ? AND key = ?",
        (text_key(collection), text_key(key)),
    ).fetchone()
    return _document.decode(row[0]) if row else None


def documents(
    connection: sqlite3.Connection, collection: str, owner: str | None, limit: int
) -> tuple[Document, ...]:
    """See `Journal.documents`."""
    rows = connection.execute(
        "SELECT data FROM documents WHERE collection = ? AND (? OR owner = ?) "
        "ORDER BY updated_at DESC, key DESC LIMIT ?",
        (text_key(collection), owner is None, text_key(owner or ""), limit),
    )
    return tuple(_document.decode(data) for (data,) in rows)


def _select(
    connection: sqlite3.Connection, where: str, values: Sequence[Any], limit: int
) -> list[SessionRecord]:
    """Read records, the newest first."""
    rows = connection.execute(
        "SELECT s.id, s.record, s.state, s.updated_at, s.epochs, e.at "
        f"FROM sessions AS s {LAST_ROW} WHERE {where} "
        "ORDER BY s.created_at DESC, s.session_id DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    return [
        msgspec.structs.replace(
            _record.decode(record),
            state=state,
            updated_at=max(updated_at, at or 0.0),
            epochs=_epochs.decode(epochs),
            opened=_opened(connection, id_),
            notes=_notes(connection, id_),
        )
        for id_, record, state, updated_at, epochs, at in rows
    ]


def _opened(connection: sqlite3.Connection, id_: int) -> dict[str, int]:
    rows = connection.execute("SELECT part, attempt FROM opened WHERE session = ?", (id_,))
    return {key_text(part): attempt for part, attempt in rows}


def _notes(connection: sqlite3.Connection, id_: int) -> JSON:
    rows = connection.execute("SELECT key, value FROM notes WHERE session = ?", (id_,))
    return {key_text(key): _value.decode(value) for key, value in rows}
