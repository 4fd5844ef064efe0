"""The SQLite journal's tail: what is durable, and not yet at its place among the logs.

The rule: whatever a group of writes appends, of however many sessions, is one row of the table
`tail`, at the end of it; its entries stay in memory as well, until they are moved, many batches at
once and merged, into `entries`, which is clustered by session. So a commit writes as many pages as
there is text, not one for each session. (A log-structured merge tree of one level: O'Neil and
others, 1996.) A row is deleted once all of it has been moved; of what a crash left, `recover` does
the same at the next start.

The file alone says what is durable. Memory copies rows of it that are committed, and may be one
row behind: `Snapshot` reads the rest from the file. Must not import trio, nor another journal.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Container, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import msgspec

from engine.events import Entry
from engine.journal.encoding import Decoder, encode
from engine.merging import merge

STRETCH_BYTES = 32 * 1024
"""At this size a session's stretch is moved: some 60 deltas, or a long text at once. In memory they
are some 20 KB; moving four times as many at once saves little of a delta's cost."""
_ROW_ENTRIES = 256
"""Entries in a row of `entries` at most, so that a reader in the middle decodes little."""
_MERGE_BYTES = 16 * 1024
"""Adjacent deltas are merged up to this size: what a lagging reader is given at once."""
_MERGE_SPAN_S = 0.5
"""And up to this time, so that a session can be played again at about the pace that it had."""

_Pieces: TypeAlias = tuple[tuple[int, tuple[Entry, ...]], ...]
_pieces: Decoder[_Pieces] = Decoder(_Pieces)

Row = tuple[Any, ...]


class Piece(msgspec.Struct, frozen=True):
    """A batch's entries, on their way into a row of the tail."""

    session_id: str
    id: int
    """The session's row."""
    entries: tuple[Entry, ...]
    size_bytes: int
    """About, for the bounds."""


class Stretch:
    """The end of a session's log: what of it is in the tail and not yet in `entries`."""

    __slots__ = ("entries", "first_row", "id", "size_bytes")

    def __init__(self, id_: int, first_row: int) -> None:
        self.id = id_
        self.first_row = first_row
        self.entries: list[Entry] = []
        self.size_bytes = 0

    def __repr__(self) -> str:
        return f"<Stretch of {self.id}: {len(self.entries)} entries, {self.size_bytes} bytes>"


class TailView(NamedTuple):
    """The tail as one reader sees it."""

    upto: int
    """All rows up to this one are in `stretches`, or moved; of later ones, some may be."""
    stretches: dict[str, Stretch]


class Tail:
    """What is in the tail's rows, by session. The writer's thread changes it, any may `view` it."""

    def __init__(self) -> None:
        self.upto = 0
        """The newest committed row."""
        self.size_bytes = 0
        """The size of the rows that are needed: of which some entry is not moved yet."""
        self.long: set[str] = set()
        """Sessions whose stretches are due."""
        self._stretches: dict[str, Stretch] = {}  # in the order of their first rows
        self._rows: deque[tuple[int, int]] = deque()  # the needed ones, and their sizes

    def __repr__(self) -> str:
        return f"<Tail: {self.size_bytes} bytes of {len(self._stretches)} sessions>"

    def __len__(self) -> int:
        return len(self._stretches)

    def view(self) -> TailView:
        """Give what is held. To be called before a reader's transaction begins.

        Whatever is not in memory any more by then, that transaction finds in `entries`.
        """
        # `upto` first: what is added in between is then found twice, and not missed.
        upto = self.upto
        return TailView(upto, dict(self._stretches))

    def stretch(self, session_id: str) -> Stretch | None:
        """Give what is held of a session."""
        return self._stretches.get(session_id)

    def oldest(self, count: int) -> list[str]:
        """Give the sessions whose stretches begin first."""
        return list(islice(self._stretches, count))

    def first_row(self, without: Container[str] = ()) -> int:
        """Give the oldest row that is needed, once some sessions are moved or dropped."""
        for session_id, stretch in self._stretches.items():
            if session_id not in without:
                return stretch.first_row
        return self.upto + 1

    def add(self, row: int, size_bytes: int, pieces: Iterable[Piece]) -> None:
        """Take what a committed row holds."""
        stretches = self._stretches
        for piece in pieces:
            stretch = stretches.get(piece.session_id)
            if stretch is None:
                stretch = stretches[piece.session_id] = Stretch(piece.id, row)
            stretch.entries.extend(piece.entries)
            stretch.size_bytes += piece.size_bytes
            if stretch.size_bytes > STRETCH_BYTES:
                self.long.add(piece.session_id)
        self._rows.append((row, size_bytes))
        self.size_bytes += size_bytes
        self.upto = row

    def drop(self, session_ids: Iterable[str]) -> None:
        """Let go of what has been moved, or of sessions that are deleted."""
        for session_id in session_ids:
            self.long.discard(session_id)
            self._stretches.pop(session_id, None)  # whole: a reader may have it in its view
        first_row = self.first_row()
        while self._rows and self._rows[0][0] < first_row:
            self.size_bytes -= self._rows.popleft()[1]


class Snapshot:
    """One reader's transaction, and the tail that goes with it.

    Args:
        connection: begins its transaction with the first query; after `tail` was given.
        tail: see `Tail.view`.
    """

    def __init__(self, connection: sqlite3.Connection, tail: TailView) -> None:
        self.connection = connection
        self._tail = tail
        self._newer: dict[int, list[Entry]] | None = None

    def __repr__(self) -> str:
        return f"<Snapshot of {self.connection} from row {self._tail.upto} on>"

    def stretch(self, session_id: str, id_: int) -> list[Entry]:
        """Give the end of a session's log, in order; some of it may be in `entries` as well."""
        stretch = self._tail.stretches.get(session_id)
        found = stretch.entries[:] if stretch is not None and stretch.id == id_ else []
        last_seq = found[-1].seq if found else 0
        if self._newer is None:
            rows = self.connection.execute(
                "SELECT data FROM tail WHERE id > ? ORDER BY id", (self._tail.upto,)
            )
            self._newer = _by_session(rows)
        found += [entry for entry in self._newer.get(id_, ()) if entry.seq > last_seq]
        return found


def tail_row(pieces: Iterable[Piece]) -> bytes:
    """Give the data of a row of the tail.

    Raises:
        JournalFailed: there is something in it that cannot be encoded.
    """
    return encode([(piece.id, piece.entries) for piece in pieces])


def log_rows(id_: int, entries: Iterable[Entry]) -> Iterator[Row]:
    """Give the rows of `entries` for a stretch of a session's log, its deltas merged."""
    merged: list[Entry] = []
    span: list[Entry] = []
    until = 0.0
    for entry in entries:
        if span and entry.at > until:
            merged += merge(span, _MERGE_BYTES)
            span = []
        if not span:
            until = entry.at + _MERGE_SPAN_S
        span.append(entry)
    merged += merge(span, _MERGE_BYTES)
    for at in range(0, len(merged), _ROW_ENTRIES):
        row = tuple(merged[at : at + _ROW_ENTRIES])
        yield id_, row[-1].seq, row[-1].at, encode(row)


def recover(connection: sqlite3.Connection) -> None:
    """Move all that the last process left in the tail.

    Raises:
        sqlite3.Error: nothing has changed.
        JournalFailed: a row is damaged; nothing has changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        logs = _by_session(connection.execute("SELECT data FROM tail ORDER BY id"))
        for id_, entries in logs.items():
            found = connection.execute(
                "SELECT (SELECT max(last_seq) FROM entries WHERE session = id) FROM sessions "
                "WHERE id = ?",
                (id_,),
            ).fetchone()
            if found is None:
                continue  # it was deleted
            last_seq = found[0] or 0
            connection.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?)",
                log_rows(id_, [entry for entry in entries if entry.seq > last_seq]),
            )
        connection.execute("DELETE FROM tail")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _by_session(rows: Iterable[tuple[bytes]]) -> dict[int, list[Entry]]:
    """Decode rows of the tail."""
    found: dict[int, list[Entry]] = {}
    for (data,) in rows:
        for id_, entries in _pieces.decode(data):
            found.setdefault(id_, []).extend(entries)
    return found
