"""The embedded catalogue: well-known artists and works in SQLite, with full-text search.

The one rule: it answers without a network. The facts that ship with the project are the JSON files
in `data/`, each with the page that it can be checked on; they are loaded when the file is made and
again when they have changed. Museums' open data is imported beside them (`importing`), under the
museum's own name and ids.

One connection, used by one worker thread at a time. WAL and synchronous NORMAL: a power cut may
cost the last batch of an import, which is then imported again. Must not import a connector,
sessions, pipelines or providers.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from engine.errors import SourceFailed
from engine.knowledge.interface import (
    ArtistFound,
    ArtistQuery,
    ArtworkFound,
    ArtworkQuery,
    Definition,
)
from engine.knowledge.shelves import Shelves
from engine.knowledge.shipped import SHIPPED_FILES, read_shipped
from engine.limits import Limits

T = TypeVar("T")


class CatalogueSize(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue holds."""

    artists: int
    artworks: int
    by_source: dict[str, int]
    """Works of each source: {"catalogue": …, "moma": …}."""


class Catalogue:
    """The catalogue as a source. Made by `open_catalogue`.

    Findings carry the source's name that they came from: "catalogue" for what is shipped, "moma",
    "tate", "nga" or "met" for what was imported; the note says "catalogue" for all.
    """

    name = "catalogue"
    url = "https://www.wikidata.org/wiki/Wikidata:WikiProject_Visual_arts"

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._limiter = trio.CapacityLimiter(1)
        self._shelves: Shelves | None = None

    async def find_artists(self, query: ArtistQuery) -> list[ArtistFound]:
        """Find artists by name, or by full-text search over movements, tags and nationality."""
        return await self.run(lambda shelves: shelves.artists(query))

    async def find_artworks(self, query: ArtworkQuery) -> list[ArtworkFound]:
        """Find an artist's works, those on the theme first; or any works on the theme."""
        return await self.run(lambda shelves: shelves.artworks(query))

    async def define(self, concept: str) -> Definition | None:
        """Give a shipped definition of a movement or a theme."""
        return await self.run(lambda shelves: shelves.definition(concept))

    async def size(self) -> CatalogueSize:
        """Count what it holds."""
        artists, by_source = await self.run(lambda shelves: shelves.counts())
        return CatalogueSize(artists=artists, artworks=sum(by_source.values()), by_source=by_source)

    async def run(self, work: Callable[[Shelves], T]) -> T:
        """Run work on the database in the catalogue's thread; waits for its turn.

        Raises:
            SourceFailed: the file cannot be opened, read or written.

        Cancellation: while waiting for the turn, nothing has happened; later it is waited out.
        """

        def in_thread() -> T:
            try:
                if self._shelves is None:
                    self._shelves = _open(self._path)
                return work(self._shelves)
            except (sqlite3.Error, OSError) as error:
                raise SourceFailed(
                    f"the catalogue cannot be used: {error}", fault="unavailable"
                ) from error

        return await trio.to_thread.run_sync(in_thread, limiter=self._limiter)

    async def aclose(self) -> None:
        """Close the file. Twice is once."""
        async with self._limiter:
            if self._shelves is not None:
                self._shelves.close()
                self._shelves = None

    def __repr__(self) -> str:
        return f"<Catalogue {self._path or 'in memory'}>"


@asynccontextmanager
async def open_catalogue(path: Path | None = None) -> AsyncIterator[Catalogue]:
    """Give the catalogue; its file is made, and filled with what is shipped, at the first question.

    Args:
        path: the file; None builds the catalogue in memory, without imports of earlier runs.
    """
    catalogue = Catalogue(path)
    try:
        yield catalogue
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + Limits().close_s):
            await catalogue.aclose()


def _open(path: Path | None) -> Shelves:
    shelves = Shelves(path)
    try:
        text = _shipped_text()
        digest = hashlib.sha256(text["artists"] + text["artworks"] + text["concepts"]).hexdigest()
        if shelves.shipped_digest() != digest:
            shelves.replace_shipped(read_shipped(**text), digest)
    except BaseException:
        shelves.close()
        raise
    return shelves


def _shipped_text() -> dict[str, bytes]:
    folder = resources.files("engine.knowledge") / "data"
    return {name: (folder / f"{name}.json").read_bytes() for name in SHIPPED_FILES}
