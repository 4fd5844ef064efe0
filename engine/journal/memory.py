"""A journal that lives as long as the process: for tests, demos and small tools.

A batch is committed when `append_nowait` returns. Memory is bounded (`Limits.memory_journal_bytes`
and `memory_journal_session_bytes`): for room the sessions that ended longest ago go first, as if
they had expired, and then the oldest entries of the largest session, for which `earliest` rises
and readers get a gap. Must not import sessions, pipelines or providers, nor a sibling that is a
journal.
"""

from __future__ import annotations

import copy
import sys
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import islice
from operator import attrgetter

import msgspec
import trio

from engine.errors import Conflict, Fenced, JournalFailed, NotFound
from engine.events import Delta, Entry, Part
from engine.journal.interface import (
    ENDED,
    PAGE_BYTES,
    PAGE_EVENTS,
    Batch,
    Document,
    Epoch,
    SessionRecord,
    SessionState,
    format_cursor,
    page,
    parse_cursor,
    unseen,
)
from engine.limits import Limits

_ENTRY_BYTES = 160
"""What an entry costs beside its text: the entry, its event, its place in the list."""
_CUT_BYTES = 120
"""What one cut of a merged entry costs: a tuple and up to two numbers."""
_RECORD_BYTES = 1024
"""What a session costs beside its entries, its command and its notes."""

_EXPIRED_IDS = 100_000
"""Expired ids that are remembered at most, the newest: about 15 MB."""


class _Done:
    """The promise of a batch that is kept already."""

    is_done = True

    async def wait(self) -> None:
        await trio.lowlevel.checkpoint()


_DONE = _Done()


class _Log:
    """One session: its record, its entries, and what they weigh."""

    def __init__(self, record: SessionRecord) -> None:
        self.record = msgspec.structs.replace(record, opened={}, notes={})
        # Apart from the record, which is frozen, is what changes with each batch; and added to in
        # place: a session may open thousands of parts.
        self.updated_at = record.updated_at
        self.opened = dict(record.opened)
        self.notes = dict(record.notes)
        self.entries: list[Entry] = []
        self.earliest = 1
        self.last_seq = 0
        self.record_bytes = _RECORD_BYTES + _weight(record)
        self.entries_bytes = 0

    def __repr__(self) -> str:
        return f"<_Log {self.record.session_id}: {self.earliest} to {self.last_seq}>"

    @property
    def size_bytes(self) -> int:
        return self.record_bytes + self.entries_bytes

    def snapshot(self) -> SessionRecord:
        """Give the whole record; what it holds is the caller's."""
        return msgspec.structs.replace(
            self.record,
            updated_at=self.updated_at,
            opened=dict(self.opened),
            notes=dict(self.notes),
        )

    def take(self, batch: Batch) -> None:
        """Apply a batch, unless it is a repeat."""
        entries = unseen(batch, self.last_seq)
        if batch.entries and not entries:
            return
        if entries:
            self.entries.extend(entries)
            self.entries_bytes += sum(map(_entry_weight, entries))
            self.last_seq = entries[-1].seq
            self.updated_at = max(self.updated_at, entries[-1].at)
        if batch.state:
            self.record = msgspec.structs.replace(self.record, state=batch.state)
        for kept, news in ((self.opened, batch.opened), (self.notes, batch.notes)):
            if news:
                replaced = {key: kept[key] for key in news if key in kept}
                self.record_bytes += _weight(news) - _weight(replaced)
                kept.update(news)

    def drop_oldest(self, keep_bytes: int) -> None:
        """Drop entries until at most `keep_bytes` are left; the last entry always stays."""
        count = 0
        while self.size_bytes > keep_bytes and count < len(self.entries) - 1:
            self.entries_bytes -= _entry_weight(self.entries[count])
            count += 1
        if count:
            self.earliest = self.entries[count - 1].seq + 1
            del self.entries[:count]


class MemoryJournal:
    """Keeps logs and documents in memory, within bounds.

    Args:
        limits: `memory_journal_bytes`, `memory_journal_session_bytes` and `retention_s` count.
    """

    is_durable = False
    is_full = False
    problem = ""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.patience_s = self._limits.close_s
        """See `Journal.patience_s`."""
        self._logs: dict[str, _Log] = {}
        self._order: list[tuple[float, str]] = []  # (created_at, id) of every session, ascending
        self._ended: dict[str, None] = {}  # ids in the order in which the sessions ended
        self._expired: dict[str, float] = {}  # id: when the session ended
        self._documents: dict[tuple[str, str], Document] = {}
        self._documents_bytes = 0
        self._logs_bytes = 0

    def __repr__(self) -> str:
        return f"<MemoryJournal: {len(self._logs)} sessions, {self.size_bytes} bytes>"

    @property
    def size_bytes(self) -> int:
        """What the journal holds, about, in bytes of memory."""
        return self._logs_bytes + self._documents_bytes

    # ---- logs -----------------------------------------------------------------------------------

    async def create(self, record: SessionRecord) -> None:
        """See `Journal.create`."""
        await trio.lowlevel.checkpoint()
        if record.session_id in self._logs:
            raise Conflict(f"session {record.session_id} exists already")
        log = _Log(record)
        self._logs[record.session_id] = log
        self._logs_bytes += log.size_bytes
        insort(self._order, (record.created_at, record.session_id))
        if record.state in ENDED:
            self._ended[record.session_id] = None
        self._make_room(log)

    def append_nowait(self, batch: Batch) -> _Done:
        """See `Journal.append_nowait`; the batch is committed on return."""
        log = self._logs.get(batch.session_id)
        if log is None:
            raise JournalFailed(f"session {batch.session_id} is not in the journal")
        if batch.epoch != log.record.epochs[-1].name:
            raise Fenced(f"epoch {batch.epoch} of session {batch.session_id} is over")
        before = log.size_bytes
        log.take(batch)
        if log.record.state in ENDED:
            self._ended.setdefault(batch.session_id)
        else:
            self._ended.pop(batch.session_id, None)
        bound = self._limits.memory_journal_session_bytes
        if log.size_bytes > bound:
            log.drop_oldest(bound - bound // 8)
        self._logs_bytes += log.size_bytes - before
        self._make_room(log)
        return _DONE

    async def wait_room(self) -> None:
        """See `Journal.wait_room`; there is always room."""
        await trio.lowlevel.checkpoint()

    async def begin_epoch(self, session_id: str, name: str) -> SessionRecord:
        """See `Journal.begin_epoch`."""
        await trio.lowlevel.checkpoint()
        log = self._logs.get(session_id)
        if log is None:
            raise NotFound(f"session {session_id} is not in the journal")
        if any(epoch.name == name for epoch in log.record.epochs):
            raise Conflict(f"session {session_id} had an epoch {name} already")
        epoch = Epoch(name=name, after_seq=log.last_seq)
        log.record = msgspec.structs.replace(log.record, epochs=(*log.record.epochs, epoch))
        return log.snapshot()

    async def read(
        self,
        session_id: str,
        after_seq: int,
        *,
        max_events: int = PAGE_EVENTS,
        max_bytes: int = PAGE_BYTES,
    ) -> tuple[Entry, ...]:
        """See `Journal.read`."""
        await trio.lowlevel.checkpoint()
        log = self._logs.get(session_id)
        if log is None:
            return ()
        start = bisect_right(log.entries, after_seq, key=attrgetter("seq"))
        until = max(after_seq, log.earliest - 1) + max_events
        end = bisect_right(log.entries, until, lo=start, key=attrgetter("seq"))
        return page(islice(log.entries, start, max(end, start + 1)), max_bytes)

    async def earliest(self, session_id: str) -> int:
        """See `Journal.earliest`."""
        await trio.lowlevel.checkpoint()
        log = self._logs.get(session_id)
        return log.earliest if log else 1

    # ---- sessions -------------------------------------------------------------------------------

    async def load(self, session_id: str) -> SessionRecord | None:
        """See `Journal.load`."""
        await trio.lowlevel.checkpoint()
        log = self._logs.get(session_id)
        return log.snapshot() if log else None

    async def sessions(
        self,
        *,
        owner: str | None = None,
        protocol: str | None = None,
        states: Sequence[SessionState] = (),
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[tuple[SessionRecord, ...], str | None]:
        """See `Journal.sessions`."""
        await trio.lowlevel.checkpoint()
        before = bisect_left(self._order, parse_cursor(cursor)) if cursor else len(self._order)
        page: list[SessionRecord] = []
        for index in range(before - 1, -1, -1):
            log = self._logs[self._order[index][1]]
            record = log.record
            if (
                (owner is None or record.owner == owner)
                and (protocol is None or record.protocol == protocol)
                and (not states or record.state in states)
            ):
                if len(page) == limit:
                    return tuple(page), format_cursor(page[-1])
                page.append(log.snapshot())
        return tuple(page), None

    async def delete(self, session_id: str) -> bool:
        """See `Journal.delete`."""
        await trio.lowlevel.checkpoint()
        if session_id not in self._logs:
            return False
        self._drop(session_id)
        return True

    async def expire(self, ended_before: float) -> int:
        """See `Journal.expire`."""
        await trio.lowlevel.checkpoint()
        late = [id_ for id_ in self._ended if self._logs[id_].updated_at < ended_before]
        for session_id in late:
            self._forget(session_id)
        forget = ended_before - self._limits.retention_s
        self._expired = {id_: at for id_, at in self._expired.items() if at >= forget}
        return len(late)

    async def has_expired(self, session_id: str) -> bool:
        """See `Journal.has_expired`."""
        await trio.lowlevel.checkpoint()
        return session_id in self._expired

    # ---- documents ------------------------------------------------------------------------------

    async def put(self, document: Document) -> None:
        """See `Journal.put`.

        Raises:
            JournalFailed: the documents alone would exceed `memory_journal_bytes`.
        """
        await trio.lowlevel.checkpoint()
        key = (document.collection, document.key)
        old = self._documents.get(key)
        size = self._documents_bytes + _weight(document) - (_weight(old) if old else 0)
        if size > self._limits.memory_journal_bytes:
            raise JournalFailed("the memory journal has no room for this document")
        self._documents[key] = copy.deepcopy(document)
        self._documents_bytes = size
        self._make_room(None)

    async def get(self, collection: str, key: str) -> Document | None:
        """See `Journal.get`."""
        await trio.lowlevel.checkpoint()
        return copy.deepcopy(self._documents.get((collection, key)))

    async def documents(
        self, collection: str, *, owner: str | None = None, limit: int = 1000
    ) -> tuple[Document, ...]:
        """See `Journal.documents`."""
        await trio.lowlevel.checkpoint()
        found = [
            document
            for document in self._documents.values()
            if document.collection == collection and (owner is None or document.owner == owner)
        ]
        found.sort(key=lambda document: (document.updated_at, document.key), reverse=True)
        return tuple(copy.deepcopy(found[:limit]))

    async def remove(self, collection: str, key: str) -> bool:
        """See `Journal.remove`."""
        await trio.lowlevel.checkpoint()
        document = self._documents.pop((collection, key), None)
        if document is None:
            return False
        self._documents_bytes -= _weight(document)
        return True

    # ---- room -----------------------------------------------------------------------------------

    def _make_room(self, growing: _Log | None) -> None:
        """Come back below the bound for all sessions together."""
        bound = self._limits.memory_journal_bytes
        while self.size_bytes > bound:
            oldest = next(iter(self._ended), None)
            if oldest is not None and self._logs[oldest] is not growing:
                self._forget(oldest)
                continue
            log = max(self._logs.values(), key=attrgetter("entries_bytes"), default=None)
            if log is None or len(log.entries) <= 1:
                return  # records and last entries alone: bounded by the number of sessions
            before = log.size_bytes
            # Half at a time, so that looking for the largest is rare.
            log.drop_oldest(before - log.entries_bytes // 2)
            self._logs_bytes += log.size_bytes - before

    def _forget(self, session_id: str) -> None:
        """Drop a session, and remember that it was there."""
        self._expired[session_id] = self._logs[session_id].updated_at
        if len(self._expired) > _EXPIRED_IDS:
            del self._expired[next(iter(self._expired))]
        self._drop(session_id)

    def _drop(self, session_id: str) -> None:
        log = self._logs.pop(session_id)
        self._logs_bytes -= log.size_bytes
        self._ended.pop(session_id, None)
        del self._order[bisect_left(self._order, (log.record.created_at, session_id))]


def _entry_weight(entry: Entry) -> int:
    event = entry.event
    text = sys.getsizeof(event.text) if type(event) is Delta else _weight(event)
    return _ENTRY_BYTES + text + _CUT_BYTES * len(entry.cuts)


def _weight(value: object) -> int:
    """Give about how many bytes of memory a value holds; parts are shared and weigh nothing."""
    if isinstance(value, Part):
        return 0
    if isinstance(value, msgspec.Struct):
        return sum(_weight(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, dict):
        held = sum(_weight(key) + _weight(item) for key, item in value.items())
        return sys.getsizeof(value) + held
    if isinstance(value, list | tuple):
        return sys.getsizeof(value) + sum(map(_weight, value))
    return sys.getsizeof(value)
