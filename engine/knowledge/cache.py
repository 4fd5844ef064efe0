"""Answers of the sources, kept on disk: bounded in bytes, and forgotten when they are old.

The one rule: the cache can only make things faster. A cache that cannot be read or written (a full
disk, a damaged file) counts as empty and never fails a request.

One SQLite table in a worker thread, with a limiter of its own. Journal mode WAL and synchronous
OFF: losing the cache in a power cut costs nothing. Must not import a connector, sessions,
pipelines or providers.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from engine.knowledge.fetching import Fetch, Fetcher
from engine.limits import Limits

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, size_bytes INTEGER NOT NULL,
    stored_at REAL NOT NULL, used_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_used ON answers (used_at);
"""


class Cache:
    """A bounded store of bytes by key.

    Args:
        path: the file; None keeps it in memory for as long as the object lives.
        max_bytes: the sum of the bodies; above it the least recently used ones go.
        max_age_s: older bodies are not given and are dropped.
        clock: Unix time; a test brings its own.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        max_bytes: int,
        max_age_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._limiter = trio.CapacityLimiter(1)
        self._connection: sqlite3.Connection | None = None
        self._held_bytes = 0
        self.problem = ""
        """Why it is out of use; "" when all is well."""

    async def get(self, key: str) -> bytes | None:
        """Give a body that is young enough, or None.

        Cancellation: waits for the thread, some milliseconds.
        """
        return await self._run(lambda database: self._get(database, key))

    async def put(self, key: str, body: bytes) -> None:
        """Keep a body, and drop old ones until all fit. A body above the bound is not kept."""
        if len(body) <= self._max_bytes:
            await self._run(lambda database: self._put(database, key, body))

    async def aclose(self) -> None:
        """Close the file, after what is under way.

        Cancellation: waits all the same; a read or write of one answer takes milliseconds.
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + Limits().close_s):
            async with self._limiter:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                self.problem = self.problem or "closed"

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        if self.problem:
            return None

        def in_thread() -> T | None:
            try:
                if self._connection is None:
                    self._connection = self._open()
                with self._connection:
                    return work(self._connection)
            except (sqlite3.Error, OSError) as error:
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                    return None  # another process of ours writes: this once it is a miss
                self.problem = f"the cache is out of use: {error}"
                return None

        return await trio.to_thread.run_sync(in_thread, limiter=self._limiter)

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        # One thread at a time (the limiter), though not always the same one.
        database = sqlite3.connect(self._path or ":memory:", check_same_thread=False, timeout=2)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_SCHEMA)
        database.execute(
            "DELETE FROM answers WHERE stored_at < ?", (self._clock() - self._max_age_s,)
        )
        (self._held_bytes,) = database.execute(
            "SELECT coalesce(sum(size_bytes), 0) FROM answers"
        ).fetchone()
        return database

    def _get(self, database: sqlite3.Connection, key: str) -> bytes | None:
        now = self._clock()
        rows = database.execute(
            "UPDATE answers SET used_at = ? WHERE key = ? AND stored_at >= ? RETURNING body",
            (now, key, now - self._max_age_s),
        ).fetchall()
        return bytes(rows[0][0]) if rows else None

    def _put(self, database: sqlite3.Connection, key: str, body: bytes) -> None:
        now = self._clock()
        self._drop(database, "key = ?", key)
        database.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?)", (key, body, len(body), now, now)
        )
        self._held_bytes += len(body)
        if self._held_bytes > self._max_bytes:
            self._drop(database, "stored_at < ?", now - self._max_age_s)
        while self._held_bytes > self._max_bytes:
            oldest = "key IN (SELECT key FROM answers ORDER BY used_at LIMIT ?)"
            if not self._drop(database, oldest, 16 if self._held_bytes > len(body) * 16 else 1):
                break  # another process emptied it: our sum was too high
        self._held_bytes = max(self._held_bytes, 0)

    def _drop(self, database: sqlite3.Connection, where: str, value: object) -> int:
        dropped = database.execute(
            f"DELETE FROM answers WHERE {where} RETURNING size_bytes",  # `where` is our own text
            (value,),
        ).fetchall()
        self._held_bytes -= sum(size for (size,) in dropped)
        return len(dropped)


class CachedFetcher:
    """Gives the cached answer, or asks and keeps what it gets.

    Failures are not kept, and neither is what is no JSON: a proxy's login page, answered with 200,
    would otherwise stand in for a museum for a week.
    """

    def __init__(self, inner: Fetcher, cache: Cache) -> None:
        self._inner = inner
        self._cache = cache

    async def fetch(self, fetch: Fetch) -> bytes:
        """Look into the cache, then ask."""
        body = await self._cache.get(fetch.cache_key)
        if body is None:
            body = await self._inner.fetch(fetch)
            if _is_answer(body):
                await self._cache.put(fetch.cache_key, body)
        return body


def _is_answer(body: bytes) -> bool:
    """Whether a body is JSON, or the empty one that stands for "there is none"."""
    try:
        if body:
            msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
