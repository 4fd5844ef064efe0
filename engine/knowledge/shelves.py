"""The catalogue's file: opened, made, filled and counted. Its questions are in `search`.

The one rule: synchronous, and in one thread at a time; `catalogue` and `importing` bring the
threads. Must not import a connector, sessions, pipelines or providers, nor trio.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from engine.knowledge import search, tables
from engine.knowledge.interface import (
    ArtistFound,
    ArtistQuery,
    ArtworkFound,
    ArtworkQuery,
    Definition,
)
from engine.knowledge.shipped import SOURCE, Shipped
from engine.knowledge.wording import plain


class Shelves:
    """The open database.

    Args:
        path: the file, made with its folder if need be; None: in memory.

    Raises:
        sqlite3.Error: it is no database, or one of a later version.
        OSError: the folder cannot be made.
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        # autocommit off by hand: `with self.transaction()` begins and ends every write.
        self._database = sqlite3.connect(
            path or ":memory:", check_same_thread=False, timeout=10, isolation_level=None
        )
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        execute = self._database.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute("BEGIN IMMEDIATE")  # two processes may make the file at the same moment
        (version,) = execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in tables.statements(tables.schema()):
                execute(statement)
            execute(f"PRAGMA user_version = {tables.VERSION}")
        elif version != tables.VERSION:
            raise sqlite3.DatabaseError(
                f"its version is {version}, this program knows {tables.VERSION}"
            )
        execute("COMMIT")

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # -- writing

    def put(
        self,
        artists: Iterable[ArtistFound],
        artworks: Iterable[ArtworkFound],
        *,
        keep_artists: bool = False,
    ) -> tuple[int, int]:
        """Write findings in one transaction; gives how many of each were new or changed.

        Args:
            artists: unique by source and source id, as the works are.
            artworks: these too; the last of two with one id stands.
            keep_artists: leave artists as they are where they are known already.
        """
        put_artist = tables.ADD_ARTIST if keep_artists else tables.PUT_ARTIST
        execute = self._database.execute
        execute("BEGIN IMMEDIATE")
        try:
            changed_artists = sum(
                execute(put_artist, tables.to_row(artist, tables.ARTIST, artist.name)).rowcount
                for artist in artists
            )
            changed_artworks = sum(
                execute(
                    tables.PUT_ARTWORK, tables.to_row(work, tables.ARTWORK, work.artist_name)
                ).rowcount
                for work in artworks
            )
            execute("COMMIT")
        except BaseException:
            execute("ROLLBACK")
            raise
        return changed_artists, changed_artworks

    def shipped_digest(self) -> str:
        """The digest of the shipped facts that the file holds; "" for none."""
        row = self._database.execute("SELECT value FROM facts WHERE name = 'shipped'").fetchone()
        return str(row[0]) if row else ""

    def replace_shipped(self, shipped: Shipped, digest: str) -> None:
        """Take the shipped facts in the place of earlier ones; imports stay as they are."""
        execute = self._database.execute
        for table, findings in (("artists", shipped.artists), ("artworks", shipped.artworks)):
            kept = {finding.source_id for finding in findings}
            held = execute(f"SELECT source_id FROM {table} WHERE source = ?", (SOURCE,)).fetchall()
            for (source_id,) in held:
                if source_id not in kept:
                    execute(
                        f"DELETE FROM {table} WHERE source = ? AND source_id = ?",
                        (SOURCE, source_id),
                    )
        self.put(shipped.artists, shipped.artworks)
        execute("BEGIN IMMEDIATE")
        execute("DELETE FROM definitions")
        self._database.executemany(
            "INSERT OR REPLACE INTO definitions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(word, each.title, each.text, each.context, each.confidence),
                    *(each.source, each.source_id, each.url),
                )
                for word, each in shipped.definitions
            ],
        )
        # Last: whoever is interrupted before this begins again.
        execute("INSERT OR REPLACE INTO facts VALUES ('shipped', ?)", (digest,))
        execute("COMMIT")

    # -- reading

    def counts(self) -> tuple[int, dict[str, int]]:
        """The number of artists, and of works by source."""
        (artists,) = self._database.execute("SELECT count(*) FROM artists").fetchone()
        works = self._database.execute("SELECT source, count(*) FROM artworks GROUP BY source")
        return int(artists), dict(works.fetchall())

    def definition(self, concept: str) -> Definition | None:
        """The meaning of a word; with "s" or without, it is the same word."""
        word = plain(concept)
        row = self._database.execute(
            "SELECT title, text, context, confidence, source, source_id, url FROM definitions "
            "WHERE word IN (?, ?, ?) LIMIT 1",
            (word, word.removesuffix("s"), f"{word}s"),
        ).fetchone()
        if row is None:
            return None
        keys = ("title", "text", "context", "confidence", "source", "source_id", "url")
        return Definition(concept=concept, **dict(zip(keys, row, strict=True)))

    def artists(self, query: ArtistQuery) -> list[ArtistFound]:
        """Artists by name, or by theme."""
        return search.find_artists(self._database, query)

    def artworks(self, query: ArtworkQuery) -> list[ArtworkFound]:
        """Works of an artist, or works on a theme."""
        return search.find_artworks(self._database, query)
