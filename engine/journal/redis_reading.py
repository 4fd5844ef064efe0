"""Makes records, entries and documents of what Redis answers; pages through its listings.

Must not import coredis, nor another journal.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.events import Entry
from engine.journal import redis_scripts as scripts
from engine.journal.encoding import Decoder
from engine.journal.interface import (
    Document,
    Epoch,
    SessionRecord,
    SessionState,
    format_cursor,
    page,
    parse_cursor,
)
from engine.journal.redis_keys import Keys, as_bytes, as_text, place
from engine.redis.link import Link
from engine.redis.scripts import Word

_entry: Decoder[Entry] = Decoder(Entry)
_record: Decoder[SessionRecord] = Decoder(SessionRecord)
_document: Decoder[Document] = Decoder(Document)
_value: Decoder[Any] = Decoder(Any)

_ORDER: tuple[SessionState, ...] = ("queued", "running", "completed", "failed", "cancelled")
"""The order in which a session goes through its states."""


def record_of(found: Sequence[Any]) -> SessionRecord:
    """Make a record of what the scripts' `view` gives."""
    _, data, state, updated, epochs, opened, notes = found
    return msgspec.structs.replace(
        _record.decode(data),
        state=state.decode(),
        updated_at=float(updated),
        epochs=tuple(
            Epoch(name=as_text(name), after_seq=int(after_seq))
            for name, after_seq in zip(epochs[::2], epochs[1::2], strict=True)
        ),
        opened={
            as_text(part): int(attempt)
            for part, attempt in zip(opened[::2], opened[1::2], strict=True)
        },
        notes={
            as_text(key): _value.decode(value)
            for key, value in zip(notes[::2], notes[1::2], strict=True)
        },
    )


async def load(link: Link, keys: Keys, session_id: str) -> SessionRecord | None:
    """See `Journal.load`."""
    found = await link.run_script(scripts.LOAD, (), (keys.prefix, as_bytes(session_id)))
    return record_of(found) if found else None


async def read(
    link: Link, keys: Keys, session_id: str, after_seq: int, max_events: int, max_bytes: int
) -> tuple[Entry, ...]:
    """See `Journal.read`."""
    values = (after_seq, max_events, max_bytes)
    found = await link.run_script(scripts.READ, (keys.log(session_id),), values)
    return page(map(_entry.decode, found), max_bytes)


async def sessions(
    link: Link,
    keys: Keys,
    owner: str | None,
    protocol: str | None,
    states: Sequence[SessionState],
    limit: int,
    cursor: str | None,
) -> tuple[tuple[SessionRecord, ...], str | None]:
    """See `Journal.sessions`."""
    below = b"+" if cursor is None else b"(" + place(*parse_cursor(cursor))
    # In the order of a session's life: one that moves on meanwhile is found twice, not never.
    states = sorted(states, key=_ORDER.index)
    if owner is not None:
        indexes = [keys.index("owner", owner)]
    elif states:
        indexes = [keys.index("state", state) for state in states]
    else:
        indexes = [keys.index("all") if protocol is None else keys.index("protocol", protocol)]
    filters = (_filter(owner), _filter(protocol), b" ".join(map(str.encode, states)))
    places: dict[bytes, SessionRecord] = {}
    for index in indexes:
        places.update(await _walk(link, keys, index, below, limit + 1, filters))
    found = [places[each] for each in heapq.nlargest(limit + 1, places)]
    if len(found) <= limit:
        return tuple(found), None
    return tuple(found[:limit]), format_cursor(found[limit - 1])


async def _walk(
    link: Link, keys: Keys, index: bytes, below: bytes, wanted: int, filters: Sequence[bytes]
) -> dict[bytes, SessionRecord]:
    """Give the first sessions of an index, by their places, the newest first."""
    found: dict[bytes, SessionRecord] = {}
    while below and len(found) < wanted:
        values: tuple[Word, ...] = (keys.prefix, below, wanted - len(found), *filters)
        below, views = await link.run_script(scripts.LIST, (index,), values)
        found.update((view[0], record_of(view)) for view in views)
    return found


def _filter(value: str | None) -> bytes:
    return b"" if value is None else b"=" + as_bytes(value)


async def has_expired(link: Link, keys: Keys, session_id: str) -> bool:
    """See `Journal.has_expired`."""
    return await link.ask(b"ZSCORE", keys.index("expired"), as_bytes(session_id)) is not None


async def get(link: Link, keys: Keys, collection: str, key: str) -> Document | None:
    """See `Journal.get`."""
    data = await link.ask(b"HGET", keys.held(collection)[0], as_bytes(key))
    return _document.decode(data) if data is not None else None


async def documents(
    link: Link, keys: Keys, collection: str, owner: str | None, limit: int
) -> tuple[Document, ...]:
    """See `Journal.documents`."""
    names = (keys.documents(collection, owner), keys.held(collection)[0])
    found = await link.run_script(scripts.LIST_DOCUMENTS, names, (limit,))
    return tuple(map(_document.decode, found))
