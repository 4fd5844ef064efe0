"""The journal's SQLite file: who may open it, and what its tables are.

The rule: a file is opened only by one process, only if it is ours, and only at a schema that we
know; older schemas are brought up to date, step by step. Every refusal names the file and says
what to do. Must not import another journal.

A debt: the lock is POSIX (`fcntl`), so this module needs Linux, macOS or another Unix.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from engine.errors import JournalFailed

APPLICATION_ID = 0x416E7470
"""`Antp`, in the file's header: tells our files from other SQLite databases."""
BUSY_S = 2.0
"""How long to wait for another program (a backup, a shell) that has the file locked."""

MIGRATIONS: tuple[str, ...] = (
    # 1: the logs, clustered by session so that a reader's page is one range of the file.
    # One row of `entries` is a batch or a stretch of one. What grows with a session (parts, notes)
    # has rows of its own, so that no write costs more the longer a session runs.
    """
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        protocol TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        epochs BLOB NOT NULL,
        record BLOB NOT NULL
    );
    CREATE TABLE entries (
        session INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        at REAL NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (session, last_seq)
    ) WITHOUT ROWID;
    CREATE TABLE opened (
        session INTEGER NOT NULL,
        part TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        PRIMARY KEY (session, part)
    ) WITHOUT ROWID;
    CREATE TABLE notes (
        session INTEGER NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (session, key)
    ) WITHOUT ROWID;
    CREATE TABLE expired (
        session_id TEXT PRIMARY KEY,
        ended_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE documents (
        collection TEXT NOT NULL,
        key TEXT NOT NULL,
        owner TEXT NOT NULL,
        updated_at REAL NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (collection, key)
    ) WITHOUT ROWID;
    """,
    # 2: listings, recovery and retention no longer read the whole table.
    """
    CREATE INDEX sessions_by_time ON sessions (created_at, session_id);
    CREATE INDEX sessions_by_owner ON sessions (owner, created_at, session_id);
    CREATE INDEX sessions_by_state ON sessions (state, updated_at);
    CREATE INDEX documents_by_time ON documents (collection, updated_at);
    """,
    # 3: small batches of many sessions go into one row, and to their places later: `sqlite_tail`.
    """
    CREATE TABLE tail (
        id INTEGER PRIMARY KEY,
        data BLOB NOT NULL
    );
    """,
)
"""What brings a file from one schema version (its place, from 0) to the next. Never edited once
released: a change is a further step, with a fixture of the version before in the tests."""

LAST_ROW = (
    "LEFT JOIN entries AS e ON e.session = s.id "
    "AND e.last_seq = (SELECT max(last_seq) FROM entries WHERE session = s.id)"
)
"""Joins a session `s` with the last row of its log: where it ends, and when it last changed.
Neither is kept in `sessions`, which would cost a page of that table for each append."""


class FileLock:
    """Holds a journal's file for this process; the system lets go of it when the process dies.

    Args:
        path: the journal's file; the lock is `<path>.lock` beside it.

    Raises:
        JournalFailed: another process holds it, or the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalFailed(
                f"cannot write beside the journal {path}: {error.strerror}. "
                "Give a folder that this user may write to."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise JournalFailed(
                f"the journal {path} is in use by another process{holder and f' ({holder})'}. "
                "Stop that one, or give this one another folder."
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"pid {os.getpid()}".encode("ascii"), 0)

    def __repr__(self) -> str:
        return f"<FileLock {self._path}>"

    def release(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a connection whose commits are synced to the disk before they return.

    Transactions are begun by hand. It may be used by any thread, by one at a time.

    Raises:
        sqlite3.Error: as it comes; see `explained`.
    """
    connection = sqlite3.connect(
        path,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone stops at the drive's cache
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        # A checkpoint of 16 MB, not of 4: the tail's pages are written over and over, and only the
        # last of their contents is copied.
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file for writing, make it where there is none, and bring its schema up to date.

    Raises:
        JournalFailed: the file is damaged, locked, not ours, or of a newer version.
    """
    connection: sqlite3.Connection | None = None
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = connect(path)
        _check_ours(connection, path)
        _migrate(connection, path)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise JournalFailed(
                f"the journal {path} is on a file system without shared memory, which SQLite's "
                "write-ahead log needs. Give a folder on a local disk."
            )
    except (sqlite3.Error, OSError) as error:
        if connection is not None:
            connection.close()
        raise explained(error, path) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def explained(error: Exception, path: Path) -> JournalFailed:
    """Say what went wrong with the file, and what to do about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    advice = {
        sqlite3.SQLITE_NOTADB: "It is no SQLite database: move it away, or give another file.",
        sqlite3.SQLITE_CORRUPT: "It is damaged: move it away and restore a backup, or try "
        "`sqlite3 FILE .recover`.",
        sqlite3.SQLITE_BUSY: "Another program has it locked: close that one.",
        sqlite3.SQLITE_LOCKED: "Another program has it locked: close that one.",
        sqlite3.SQLITE_FULL: "The disk is full: make room; writing goes on by itself.",
        sqlite3.SQLITE_READONLY: "This user may not write it: change its owner or its mode.",
        sqlite3.SQLITE_CANTOPEN: "It cannot be opened: check the folder, its owner and its mode.",
        sqlite3.SQLITE_IOERR: "The disk fails: check it and the system's log.",
    }.get(code, "")
    return JournalFailed(f"the journal {path} failed: {error}. {advice}".rstrip())


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and tables:
        raise JournalFailed(f"{path} is an SQLite database of another program. Give another file.")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Take every step that the file has not taken yet, each in a transaction of its own."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise JournalFailed(
            f"the journal {path} was written by a newer version of this program (schema "
            f"{version}; this one knows {len(MIGRATIONS)}). Update the program, or give another "
            "file; nothing was changed."
        )
    for step in range(version, len(MIGRATIONS)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[step]} PRAGMA user_version = {step + 1}; "
            f"PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
        )
