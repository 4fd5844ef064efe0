"""The catalogue's tables: columns, full-text index, and rows as findings.

The one rule: a column is named once, here. A row is unique by its source and the source's id, and
writing it again when nothing has changed changes nothing, the full-text index included. Must not
import a connector, sessions, pipelines or providers, nor trio.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from engine.knowledge.interface import ArtistFound, ArtworkFound
from engine.knowledge.wording import person_key

VERSION = 1
"""The tables' shape, kept as SQLite's user_version."""

ARTIST = (
    *("name", "wikidata_id", "birth_year", "death_year", "movements", "nationality", "gender"),
    *("tags", "description", "source", "source_id", "url"),
)
ARTWORK = (
    *("title", "artist_name", "uri", "date_created", "year", "medium", "institution_name"),
    *("iiif_manifest", "thumbnail_url", "width_cm", "height_cm", "movements", "tags"),
    *("wikidata_id", "source", "source_id", "url"),
)
ARTIST_TEXT = ("name", "movements", "tags", "nationality", "description")
"""What the full-text index of artists reads; the order of bm25's weights."""
ARTWORK_TEXT = ("title", "artist_name", "medium", "movements", "tags")

_LISTS = frozenset({"movements", "tags"})
_SEPARATOR = "|"


def schema() -> str:
    """The statements that make an empty catalogue."""

    def table(name: str, columns: Sequence[str], searched: Sequence[str]) -> str:
        new = ", ".join(f"new.{column}" for column in searched)
        old = ", ".join(f"old.{column}" for column in searched)
        words = ", ".join(searched)
        forget = (
            f"INSERT INTO {name}_text ({name}_text, rowid, {words}) "
            f"VALUES ('delete', old.id, {old});"
        )
        learn = f"INSERT INTO {name}_text (rowid, {words}) VALUES (new.id, {new});"
        return f"""
            CREATE TABLE {name} (
                id INTEGER PRIMARY KEY, person TEXT NOT NULL, {", ".join(columns)},
                UNIQUE (source, source_id)
            );
            CREATE INDEX {name}_person ON {name} (person);
            CREATE VIRTUAL TABLE {name}_text USING fts5(
                {words}, content='{name}', content_rowid='id',
                tokenize="porter unicode61 remove_diacritics 2"
            );
            CREATE TRIGGER {name}_added AFTER INSERT ON {name} BEGIN {learn} END;
            CREATE TRIGGER {name}_dropped AFTER DELETE ON {name} BEGIN {forget} END;
            CREATE TRIGGER {name}_changed AFTER UPDATE ON {name} BEGIN {forget} {learn} END;
        """

    return (
        table("artists", ARTIST, ARTIST_TEXT)
        + table("artworks", ARTWORK, ARTWORK_TEXT)
        + """
            CREATE TABLE definitions (word TEXT PRIMARY KEY, title, text, context, confidence,
                source, source_id, url) WITHOUT ROWID;
            CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
        """
    )


def _insert(table: str, columns: Sequence[str]) -> str:
    named = ("person", *columns)
    return f"INSERT INTO {table} ({', '.join(named)}) VALUES ({', '.join('?' * len(named))}) "


def _upsert(table: str, columns: Sequence[str]) -> str:
    named = ("person", *columns)
    new = ", ".join(f"excluded.{column}" for column in named)
    return _insert(table, columns) + (
        f"ON CONFLICT (source, source_id) DO UPDATE SET ({', '.join(named)}) = ({new}) "
        f"WHERE ({', '.join(f'{table}.{column}' for column in named)}) IS NOT ({new})"
    )


PUT_ARTIST = _upsert("artists", ARTIST)
PUT_ARTWORK = _upsert("artworks", ARTWORK)
ADD_ARTIST = _insert("artists", ARTIST) + "ON CONFLICT (source, source_id) DO NOTHING"


def to_row(finding: ArtistFound | ArtworkFound, columns: Sequence[str], name: str) -> list[Any]:
    """A finding as the values of PUT_ARTIST or PUT_ARTWORK; `name` is the person's."""
    values = [person_key(name)]
    for column in columns:
        value = getattr(finding, column)
        values.append(_SEPARATOR.join(value) if column in _LISTS else value)
    return values


def columns_of(columns: Sequence[str]) -> str:
    """The columns for a SELECT from the table `t`."""
    return ", ".join(f"t.{column}" for column in columns)


def _fields(row: Sequence[Any], columns: Sequence[str]) -> dict[str, Any]:
    fields = dict(zip(columns, row, strict=True))
    for name in _LISTS:
        fields[name] = tuple(fields[name].split(_SEPARATOR)) if fields[name] else ()
    return fields


def to_artist(row: Sequence[Any]) -> ArtistFound:
    """A row of `columns_of(ARTIST)` as a finding."""
    return ArtistFound(**_fields(row, ARTIST))


def to_artwork(row: Sequence[Any]) -> ArtworkFound:
    """A row of `columns_of(ARTWORK)` as a finding."""
    return ArtworkFound(**_fields(row, ARTWORK))


def statements(script: str) -> list[str]:
    """Split a script into statements; `executescript` would commit the transaction it is in."""
    found, text = [], ""
    for line in script.splitlines():
        text += line + "\n"
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return found
