"""The cache on disk: bounded, forgetful, and never in the way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from engine.errors import SourceFailed
from engine.knowledge.cache import Cache, CachedFetcher
from engine.knowledge.fetching import Fetch


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def make(path: Path | None, clock: Clock, *, max_bytes: int = 1000) -> Cache:
    return Cache(path, max_bytes=max_bytes, max_age_s=60, clock=clock)


async def test_body_is_given_back_until_it_is_too_old(tmp_path: Path) -> None:
    """A body is the same bytes for a minute, also after reopening; then it is gone."""
    clock = Clock()
    cache = make(tmp_path / "deep" / "answers.sqlite", clock)
    assert await cache.get("k") is None
    await cache.put("k", b"\x00body")
    await cache.aclose()
    cache = make(tmp_path / "deep" / "answers.sqlite", clock)
    assert await cache.get("k") == b"\x00body"
    clock.now += 61
    assert await cache.get("k") is None
    await cache.aclose()


async def test_least_recently_used_goes_first() -> None:
    """Above the bound the body that was not used for longest is dropped."""
    cache = make(None, Clock())
    for key in ("a", "b", "c"):
        await cache.put(key, key.encode() * 300)
    assert await cache.get("a") is not None
    await cache.put("d", b"d" * 300)
    held = [key for key in "abcd" if await cache.get(key) is not None]
    assert held == ["a", "c", "d"]
    await cache.aclose()


async def test_bound_holds_whatever_is_put(tmp_path: Path) -> None:
    """The sum of the bodies never stays above the bound; a body above it is not kept at all."""
    path = tmp_path / "answers.sqlite"
    cache = make(path, Clock())
    for number in range(200):
        await cache.put(f"k{number % 50}", b"x" * (number * 7 % 400))
    await cache.put("huge", b"x" * 1001)
    assert await cache.get("huge") is None
    await cache.aclose()
    with sqlite3.connect(path) as database:
        (held,) = database.execute("SELECT sum(size_bytes) FROM answers").fetchone()
    assert 0 < held <= 1000


async def test_damaged_file_counts_as_empty(tmp_path: Path) -> None:
    """A file that is no database is reported and stands in nobody's way."""
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"no database" * 500)
    cache = make(path, Clock())
    await cache.put("k", b"body")
    assert await cache.get("k") is None
    assert "not a database" in cache.problem
    await cache.aclose()


async def test_locked_file_is_a_miss_and_no_more(tmp_path: Path) -> None:
    """While another process writes for long, answers are fetched; later the cache works again."""
    path = tmp_path / "answers.sqlite"
    cache = make(path, Clock())
    await cache.put("k", b"body")
    cache._connection.execute("PRAGMA busy_timeout = 10")  # type: ignore[union-attr]
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert await cache.get("k") is None
    other.execute("COMMIT")
    other.close()
    assert await cache.get("k") == b"body"
    assert cache.problem == ""
    await cache.aclose()


class Service:
    def __init__(self, *bodies: bytes | SourceFailed) -> None:
        self.bodies = list(bodies)

    async def fetch(self, fetch: Fetch) -> bytes:
        body = self.bodies.pop(0)
        if isinstance(body, SourceFailed):
            raise body
        return body


async def test_answers_are_kept_failures_and_garbage_are_not() -> None:
    """JSON and "there is none" come from the cache the second time; all else is asked again."""
    cache = make(None, Clock())
    ask = Fetch(url="u")
    failure = SourceFailed("no", fault="unavailable")
    fetcher = CachedFetcher(Service(failure, b"<html>", b'{"a":1}'), cache)
    with pytest.raises(SourceFailed):
        await fetcher.fetch(ask)
    assert await fetcher.fetch(ask) == b"<html>"
    assert await fetcher.fetch(ask) == b'{"a":1}'
    assert await fetcher.fetch(ask) == b'{"a":1}'
    missing = CachedFetcher(Service(b""), cache)
    assert [await missing.fetch(Fetch(url="none")) for _ in range(2)] == [b"", b""]
    await cache.aclose()


async def test_closed_cache_is_only_slow() -> None:
    """After closing, every question is a miss."""
    cache = make(None, Clock())
    await cache.put("k", b"body")
    await cache.aclose()
    assert await cache.get("k") is None
    await cache.put("k", b"body")
