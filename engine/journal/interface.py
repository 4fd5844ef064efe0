"""What a journal is: the durable side of every session's log.

The guarantee that callers build on: when a `Commit` reports success, its batch and every earlier
batch of that session survive a crash; a batch is never seen in part; a batch that repeats offsets
already held is taken once (idempotent), and one under a stale epoch is refused (fencing). The
journal also keeps documents (conversations, personas, users …), each with its owner. Whatever JSON
can express comes back equal: halves of surrogate pairs, which models do write and UTF-8 cannot
hold, and integers of any size.

Must not import sessions, pipelines or providers, nor a sibling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite, nan
from typing import Literal, Protocol

import msgspec

from engine.errors import InvalidRequest, JournalFailed
from engine.events import JSON, Entry

SessionState = Literal["queued", "running", "completed", "failed", "cancelled"]
PAGE_EVENTS = 1000
"""How many offsets a reader takes from a journal at once."""
PAGE_BYTES = 1024 * 1024
"""How much text it takes at once: a slow reader of a large answer holds one page."""
ENDED: tuple[SessionState, ...] = ("completed", "failed", "cancelled")
"""The states in which a session's log has its terminal event, and never grows again."""


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """One unbroken life of a session's log."""

    name: str
    after_seq: int
    """The last durable offset of the life before; 0 for the first."""


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to show a session, and to go on with it after a crash."""

    session_id: str
    protocol: str
    """The pipeline's word: generate, content, rater, persona, exhibition."""
    owner: str
    request_id: str | None = None
    command: JSON
    """The command, as its class serialises itself."""
    detached: bool = False
    deadline_at: float | None = None
    """Unix time in seconds."""
    token_budget: int | None = None
    warnings: tuple[str, ...] = ()
    """What was odd about the request; the session's first message carries them."""
    created_at: float
    updated_at: float
    """The time of the last entry: of an ended session, when it ended."""
    state: SessionState = "queued"
    epochs: tuple[Epoch, ...]
    """Oldest first; the last one is the present one."""
    opened: dict[str, int] = {}
    """The parts that may have been seen: {part id: its attempt}. A part is noted here before its
    first delta is shown, so that after a crash its text can be declared void."""
    notes: JSON = {}
    """What a pipeline wants back after a crash and no client sees."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes durable together."""

    session_id: str
    epoch: str
    entries: tuple[Entry, ...] = ()
    """In order and without a hole; deltas may be merged."""
    state: SessionState | None = None
    """The session's new state; None leaves it as it is."""
    opened: dict[str, int] = {}
    """Added to the record's."""
    notes: JSON = {}
    """Added to the record's; a key that is there already gets the new value."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A small thing that is kept beside the logs."""

    collection: str
    key: str
    owner: str
    value: JSON
    updated_at: float


class Commit(Protocol):
    """The promise of a batch."""

    @property
    def is_done(self) -> bool:
        """Whether the batch is durable. Raises JournalFailed (or Fenced) if it never will be."""
        ...

    async def wait(self) -> None:
        """Wait until the batch is durable.

        Raises:
            JournalFailed: it was not written and never will be.

        Cancellation: the batch is written all the same.
        """
        ...


class Journal(Protocol):
    """Where logs live. One object serves the whole process."""

    async def create(self, record: SessionRecord) -> None:
        """Make a new session durable, before anyone is told its id.

        Raises:
            Conflict: a session of this id exists.
            JournalFailed: it could not be written.
        """
        ...

    def append_nowait(self, batch: Batch) -> Commit:
        """Take a batch; it becomes durable behind, in the order of the calls.

        The record changes with it: its state, its notes and opened parts, and its `updated_at`.
        A batch whose Commit failed may be appended again, and has to be before later ones.

        Entries at or below the session's last offset are taken as repeats and skipped; of a
        merged entry, only what is new is taken. A batch all of whose entries are repeats changes
        nothing at all. What a batch holds must not be changed afterwards.

        Raises:
            Fenced: the batch's epoch is not the session's present one (a stale owner).
            JournalFailed: the journal is closed or has failed, it does not hold the session, or the
                batch would leave a hole in the log. Where the journal learns of either only when
                it writes, the Commit raises it.
        """
        ...

    @property
    def is_full(self) -> bool:
        """Whether so much is taken and not yet durable that writers have to `wait_room`."""
        ...

    async def wait_room(self) -> None:
        """Wait until what is taken but not yet durable is below its bound.

        Cancellation: nothing has changed. Backpressure: here all sessions wait for a slow disk.
        """
        ...

    async def begin_epoch(self, session_id: str, name: str) -> SessionRecord:
        """Begin a new life of a session's log, and fence off the owner of the old one.

        Returns the record, with the new epoch after the last durable offset.

        Raises:
            NotFound: no such session.
            Conflict: the session had an epoch of this name already.
            JournalFailed: it could not be written.
        """
        ...

    async def read(
        self,
        session_id: str,
        after_seq: int,
        *,
        max_events: int = PAGE_EVENTS,
        max_bytes: int = PAGE_BYTES,
    ) -> tuple[Entry, ...]:
        """Give durable entries after an offset, in order, at least one where there is one.

        It stops before the page would have more than about `max_events` offsets or `max_bytes` of
        text, so that what a reader costs does not depend on how large an answer is.

        The first may be a merged entry that begins at or before `after_seq`; cut it. Deltas that
        were appended singly may come merged. Empty at the end of the log, or where the session is
        not held.
        """
        ...

    async def earliest(self, session_id: str) -> int:
        """The lowest offset that is still held; 1 unless something was dropped."""
        ...

    async def load(self, session_id: str) -> SessionRecord | None:
        """Give a session's record, or None."""
        ...

    async def sessions(
        self,
        *,
        owner: str | None = None,
        protocol: str | None = None,
        states: Sequence[SessionState] = (),
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[tuple[SessionRecord, ...], str | None]:
        """List records, newest first, and the cursor of the next page (None: no more).

        Sessions that are created meanwhile neither shift nor repeat anything on later pages.

        Raises:
            InvalidRequest: the cursor is none that this method gave.
        """
        ...

    async def delete(self, session_id: str) -> bool:
        """Forget a session and its log; False: there was none."""
        ...

    async def expire(self, ended_before: float) -> int:
        """Drop the sessions that ended before a Unix time; gives their number.

        An expired id is remembered for as long again, so that it can be told from an unknown one.
        """
        ...

    async def has_expired(self, session_id: str) -> bool:
        """Whether the id belonged to a session whose retention time has passed."""
        ...

    async def put(self, document: Document) -> None:
        """Make a document durable, in the place of one of the same collection and key."""
        ...

    async def get(self, collection: str, key: str) -> Document | None:
        """Give a document, or None."""
        ...

    async def documents(
        self, collection: str, *, owner: str | None = None, limit: int = 1000
    ) -> tuple[Document, ...]:
        """List a collection's documents, the newest first."""
        ...

    async def remove(self, collection: str, key: str) -> bool:
        """Drop a document; False: there was none."""
        ...

    @property
    def is_durable(self) -> bool:
        """Whether sessions survive the process."""
        ...

    @property
    def patience_s(self) -> float:
        """How long a commit may take, in seconds, before it counts as failed.

        It is short where waiting cannot help (a disk), and long where what is away comes back by
        itself and takes what was queued (a server).
        """
        ...

    @property
    def problem(self) -> str:
        """Why writes fail at present, for /readyz; "" when all is well."""
        ...


def page(entries: Iterable[Entry], max_bytes: int) -> tuple[Entry, ...]:
    """Give the entries from the first up to a size in bytes of text; at least one."""
    found: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(getattr(entry.event, "text", ""))
        if found and size > max_bytes:
            break
        found.append(entry)
    return tuple(found)


def unseen(batch: Batch, last_seq: int) -> tuple[Entry, ...]:
    """Give the entries of a batch that a log does not hold yet, a merged one cut where need be.

    Args:
        batch: what is to be appended.
        last_seq: the last offset that the log holds; 0 for none.

    Raises:
        JournalFailed: they would leave a hole in the log.
    """
    entries = batch.entries
    if entries and entries[0].first_seq <= last_seq:
        rest = (entry.after(last_seq) for entry in entries)
        entries = tuple(entry for entry in rest if entry is not None)
    expected = last_seq + 1
    for entry in entries:
        if entry.first_seq != expected:
            raise JournalFailed(
                f"offset {entry.first_seq} of session {batch.session_id} came instead of {expected}"
            )
        expected = entry.seq + 1
    return entries


def format_cursor(record: SessionRecord) -> str:
    """Make the cursor for what comes after a record in a listing, newest first."""
    return f"{record.created_at!r}_{record.session_id}"


def parse_cursor(cursor: str) -> tuple[float, str]:
    """Give the (created_at, session_id) below which a page begins.

    Raises:
        InvalidRequest: it is no cursor.
    """
    created_at, _, session_id = cursor.partition("_")
    try:
        place = float(created_at), session_id
    except ValueError:
        place = nan, session_id
    if not (isfinite(place[0]) and session_id):
        why = "has to be one that a listing gave"
        raise InvalidRequest(f"`cursor` {why}", [("cursor", why)])
    return place
