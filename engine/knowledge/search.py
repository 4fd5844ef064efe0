"""The catalogue's questions: by name, by maker, and by full-text search (FTS5, ranked by bm25).

The one rule: the words of a question reach SQLite as quoted terms or as parameters, never as
syntax. What the words themselves fit comes first, what only related words fit (`themes`) comes
after. Must not import a connector, sessions, pipelines or providers, nor trio.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from engine.knowledge import themes
from engine.knowledge.interface import (
    ArtistFound,
    ArtistQuery,
    ArtworkFound,
    ArtworkQuery,
    TimePeriod,
)
from engine.knowledge.shipped import SOURCE
from engine.knowledge.tables import (
    ARTIST,
    ARTWORK,
    columns_of,
    to_artist,
    to_artwork,
)
from engine.knowledge.wording import is_same_person, person_key, plain

_SHIPPED_FIRST = f" ORDER BY t.source != '{SOURCE}', t.id"


def find_artists(database: sqlite3.Connection, query: ArtistQuery) -> list[ArtistFound]:
    """Artists by name; or by theme, first those the words themselves fit, then related ones."""
    if query.names:
        found = (artist for name in query.names for artist in _named(database, name))
        return _unique(found, lambda artist: plain(artist.name), query.limit)
    words = (*query.movements, *query.concepts, *query.genres, *query.media)
    searches = (words, _related(words))
    found = (artist for each in searches for artist in _matching(database, each, query))
    return _unique(found, lambda artist: plain(artist.name), query.limit)


def find_artworks(database: sqlite3.Connection, query: ArtworkQuery) -> list[ArtworkFound]:
    """Works of an artist, or works on a theme."""
    if query.artist_name:
        works = _made_by(database, query.artist_name, query.period)
        fitting = (
            {work.source_id for work in _on_theme(database, query)} if query.concepts else set()
        )
        works.sort(key=lambda work: work.source_id not in fitting)
        return works[: query.limit]
    return _unique(
        _on_theme(database, query), lambda work: (work.source, work.source_id), query.limit
    )


def _named(database: sqlite3.Connection, name: str) -> list[ArtistFound]:
    key = person_key(name)
    sql = f"SELECT {columns_of(ARTIST)} FROM artists t WHERE person = ?"
    rows = database.execute(sql + _SHIPPED_FIRST, (key,)).fetchall()
    if not rows and (search := _some_of(name)):
        # Longer and shorter forms of the name; the best fits of the index, read one by one.
        rows = database.execute(
            f"SELECT {columns_of(ARTIST)} FROM artists_text x JOIN artists t ON t.id = x.rowid "
            "WHERE artists_text MATCH ? ORDER BY bm25(artists_text) LIMIT 50",
            (f"name : ({search})",),
        ).fetchall()
    artists = [to_artist(row) for row in rows]
    return [artist for artist in artists if is_same_person(artist.name, name)]


def _matching(
    database: sqlite3.Connection, words: Sequence[str], query: ArtistQuery
) -> list[ArtistFound]:
    """Artists whose own record fits the words, then those who made works that do."""
    search = _any_of(words)
    if not search:
        return []
    alive, years = _within("t.birth_year", "t.death_year", query.period)
    columns = columns_of(ARTIST)
    own = database.execute(
        f"SELECT {columns} FROM artists_text x JOIN artists t ON t.id = x.rowid "
        f"WHERE artists_text MATCH ? {alive} ORDER BY bm25(artists_text, 1, 6, 3, 1, 1) LIMIT ?",
        (search, *years, query.limit),
    ).fetchall()
    by_works = database.execute(
        "WITH makers AS (SELECT w.person, count(*) AS works FROM artworks_text x "
        "JOIN artworks w ON w.id = x.rowid WHERE artworks_text MATCH ? GROUP BY w.person) "
        f"SELECT {columns} FROM makers JOIN artists t USING (person) WHERE 1 {alive} "
        "ORDER BY makers.works DESC, t.id LIMIT ?",
        (search, *years, query.limit),
    ).fetchall()
    return [to_artist(row) for row in (*own, *by_works)]


def _made_by(database: sqlite3.Connection, name: str, period: TimePeriod) -> list[ArtworkFound]:
    """Works under the name's key, then works under longer or shorter forms of the name."""
    made, years = _within("t.year", "t.year", period)
    columns = columns_of(ARTWORK)
    rows = database.execute(
        f"SELECT {columns} FROM artworks t WHERE person = ? {made} {_SHIPPED_FIRST} LIMIT 500",
        (person_key(name), *years),
    ).fetchall()
    if search := _some_of(name):
        rows += database.execute(
            f"SELECT {columns} FROM artworks_text x JOIN artworks t ON t.id = x.rowid "
            f"WHERE artworks_text MATCH ? {made} ORDER BY bm25(artworks_text) LIMIT 200",
            (f"artist_name : ({search})", *years),
        ).fetchall()
    works = (to_artwork(row) for row in rows)
    same = (work for work in works if is_same_person(work.artist_name, name))
    return _unique(same, lambda work: (work.source, work.source_id), 500)


def _on_theme(database: sqlite3.Connection, query: ArtworkQuery) -> list[ArtworkFound]:
    """Works that the words fit, then works that related words fit."""
    made, years = _within("t.year", "t.year", query.period)
    whose = " AND t.person = ?" if query.artist_name else ""
    who = (person_key(query.artist_name),) if query.artist_name else ()
    found: list[ArtworkFound] = []
    for words in (query.concepts, _related(query.concepts)):
        if search := _any_of(words):
            rows = database.execute(
                f"SELECT {columns_of(ARTWORK)} FROM artworks_text x "
                f"JOIN artworks t ON t.id = x.rowid WHERE artworks_text MATCH ? {whose} {made} "
                "ORDER BY bm25(artworks_text, 4, 1, 1, 2, 4) LIMIT ?",
                (search, *who, *years, query.limit),
            )
            found += [to_artwork(row) for row in rows]
    return found


# ---- search expressions --------------------------------------------------------------------------


def _some_of(name: str) -> str:
    """An FTS5 expression: any word of a name. Quoted, so that no word is taken for an operator."""
    return " OR ".join(f'"{word}"' for word in plain(name).split() if len(word) > 2)


def _any_of(texts: Sequence[str]) -> str:
    """An FTS5 expression: any of the texts, each with all of its words that carry something."""
    terms = []
    for text in texts:
        words = [word for word in plain(text).split() if themes.stems(word)]
        if words:
            terms.append("(" + " AND ".join(f'"{word}"' for word in words) + ")")
    return " OR ".join(dict.fromkeys(terms))


def _related(words: Sequence[str]) -> tuple[str, ...]:
    """Related words, and the single words of longer concepts."""
    singles = [single for word in words for single in plain(word).split() if len(single) > 3]
    return tuple(dict.fromkeys((*themes.expanded(words)[len(words) :], *singles)))


def _within(begin: str, end: str, period: TimePeriod) -> tuple[str, tuple[int, ...]]:
    """A condition that a span of years meets a period; what is unknown is kept."""
    sql, values = "", []
    if period.end_year is not None:
        sql += f" AND ({begin} IS NULL OR {begin} <= ?)"
        values.append(period.end_year)
    if period.start_year is not None:
        sql += f" AND ({end} IS NULL OR {end} >= ?)"
        values.append(period.start_year)
    return sql, tuple(values)


def _unique(findings: Iterable[Any], key: Any, limit: int) -> list[Any]:
    """The first finding for each key, at most `limit`."""
    seen: dict[Any, Any] = {}
    for finding in findings:
        seen.setdefault(key(finding), finding)
        if len(seen) >= limit:
            break
    return list(seen.values())
