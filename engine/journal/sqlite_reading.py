"""What the journal reads from its SQLite file, each time on a connection of its own.

The rule: a reader sees only what is committed, in one piece, and delays no writer (SQLite's
write-ahead log). Must not import trio, nor another journal.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from engine.events import JSON, Entry
from engine.journal.encoding import Decoder, key_text, text_key
from engine.journal.interface import (
    PAGE_BYTES,
    Document,
    Epoch,
    SessionRecord,
    SessionState,
    format_cursor,
    page,
    parse_cursor,
)
from engine.journal.sqlite_schema import LAST_ROW, connect
from engine.journal.sqlite_tail import Snapshot, Tail

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
        tail: what the writer holds in memory of it.
    """

    def __init__(self, path: Path, tail: Tail) -> None:
        self._path = path
        self._tail = tail
        self._idle: deque[sqlite3.Connection] = deque()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Readers of {self._path}: {len(self._idle)} idle>"

    def query(
        self,
        run: Callable[Concatenate[Snapshot, P], R],
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
            snapshot = Snapshot(connection, self._tail.view())
            connection.execute("BEGIN")
            result = run(snapshot, *args, **kwargs)
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
    snapshot: Snapshot,
    session_id: str,
    after_seq: int,
    max_events: int,
    max_bytes: int = PAGE_BYTES,
) -> tuple[Entry, ...]:
    """See `Journal.read`."""
    row = snapshot.connection.execute(
        "SELECT id FROM sessions WHERE session_id = ?", (text_key(session_id),)
    ).fetchone()
    if row is None:
        return ()
    rows = snapshot.connection.execute(
        "SELECT data FROM entries WHERE session = ? AND last_seq > ? ORDER BY last_seq",
        (row[0], after_seq),
    )
    moved = chain.from_iterable(_entries.decode(data) for (data,) in rows)
    stored = chain(moved, snapshot.stretch(session_id, row[0]))
    return page(_following(stored, after_seq, max_events), max_bytes)


def _following(stored: Iterable[Entry], after_seq: int, max_events: int) -> Iterator[Entry]:
    last_seq = after_seq
    for entry in stored:
        if entry.seq <= last_seq:
            continue
        if last_seq > after_seq and entry.seq > after_seq + max_events:
            return
        yield entry
        last_seq = entry.seq


def load(snapshot: Snapshot, session_id: str) -> SessionRecord | None:
    """See `Journal.load`."""
    rows = _select(snapshot, "s.session_id = ?", (text_key(session_id),), 1)
    return rows[0] if rows else None


def sessions(
    snapshot: Snapshot,
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
    found = _select(snapshot, " AND ".join(where), values, limit + 1)
    if len(found) <= limit:
        return tuple(found), None
    return tuple(found[:limit]), format_cursor(found[limit - 1])


def has_expired(snapshot: Snapshot, session_id: str) -> bool:
    """See `Journal.has_expired`."""
    rows = snapshot.connection.execute(
        "SELECT 1 FROM expired WHERE session_id = ?", (text_key(session_id),)
    )
    return rows.fetchone() is not None


def get(snapshot: Snapshot, collection: str, key: str) -> Document | None:
    """See `Journal.get`."""
    row = snapshot.connection.execute(
        "SELECT data FROM documents WHERE collection = ? AND key = ?",
        (text_key(collection), text_key(key)),
    ).fetchone()
    return _document.decode(row[0]) if row else None


def documents(
    snapshot: Snapshot, collection: str, owner: str | None, limit: int
) -> tuple[Document, ...]:
    """See `Journal.documents`."""
    rows = snapshot.connection.execute(
        "SELECT data FROM documents WHERE collection = ? AND (? OR owner = ?) "
        "ORDER BY updated_at DESC, key DESC LIMIT ?",
        (text_key(collection), owner is None, text_key(owner or ""), limit),
    )
    return tuple(_document.decode(data) for (data,) in rows)


def _select(
    snapshot: Snapshot, where: str, values: Sequence[Any], limit: int
) -> list[SessionRecord]:
    """Read records, the newest first."""
    connection = snapshot.connection
    rows = connection.execute(
        "SELECT s.id, s.session_id, s.record, s.state, s.updated_at, s.epochs, e.at "
        f"FROM sessions AS s {LAST_ROW} WHERE {where} "
        "ORDER BY s.created_at DESC, s.session_id DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    found = []
    for id_, key, record, state, updated_at, epochs, at in rows:
        stretch = snapshot.stretch(key_text(key), id_)
        found.append(
            msgspec.structs.replace(
                _record.decode(record),
                state=state,
                updated_at=max(updated_at, at or 0.0, stretch[-1].at if stretch else 0.0),
                epochs=_epochs.decode(epochs),
                opened=_opened(connection, id_),
                notes=_notes(connection, id_),
            )
        )
    return found


def _opened(connection: sqlite3.Connection, id_: int) -> dict[str, int]:
    rows = connection.execute("SELECT part, attempt FROM opened WHERE session = ?", (id_,))
    return {key_text(part): attempt for part, attempt in rows}


def _notes(connection: sqlite3.Connection, id_: int) -> JSON:
    rows = connection.execute("SELECT key, value FROM notes WHERE session = ?", (id_,))
    return {key_text(key): _value.decode(value) for key, value in rows}
