"""What the Redis journal's writer is given: each change as a question to Redis, and its answer.

The rule: a write turns itself into a script's words, and the script's answer into its own result or
error; it knows nothing of connections. Must not import coredis, nor another journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.errors import AntiphonError, Conflict, Fenced, JournalFailed, NotFound
from engine.journal import redis_scripts as scripts
from engine.journal.encoding import encode
from engine.journal.interface import Batch, Document, SessionRecord, unseen
from engine.journal.redis_keys import Keys, as_bytes, place
from engine.redis.scripts import Script, Word


class RedisWrite:
    """One change.

    Args:
        keys: how the journal names its keys.
        writer: which life of which process writes.
        session_id: in whose order it stands; "" for none.
    """

    script: Script

    def __init__(self, keys: Keys, writer: str, session_id: str = "") -> None:
        self.keys = keys
        self.writer = writer
        self.number: int | None = None
        """Which of its writer's this is; given when it is sent first."""
        self.words: tuple[Word, ...] = ()
        """The command, as it was sent last."""
        self.session_id = session_id
        self.error: AntiphonError | None = None
        self.result: Any = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number} {self.session_id}>"

    def command(self) -> tuple[Word, ...]:
        """Give the command for Redis; of a batch its part of one, see `pack`.

        Raises:
            JournalFailed: there is something in it that cannot be written.
        """
        raise NotImplementedError

    def take(self, answer: list[Any]) -> None:
        """Learn what the script answered.

        Raises:
            AntiphonError: the change was refused, and nothing was changed.
        """
        self.result = answer[1] if len(answer) > 1 else None

    def renumber(self) -> None:
        """Learn that a later write overtook this one. Most are known by their number for good."""

    def _begin(self) -> tuple[Word, ...]:
        return self.keys.prefix, as_bytes(self.session_id), self.writer, self.number or 0


class Append(RedisWrite):
    """A batch."""

    script = scripts.APPEND

    def __init__(self, keys: Keys, writer: str, batch: Batch) -> None:
        super().__init__(keys, writer, batch.session_id)
        self.batch = batch

    def renumber(self) -> None:
        """See `RedisWrite.renumber`: a batch is known by its offsets as well."""
        self.number = None

    def command(self) -> tuple[Word, ...]:
        """See `RedisWrite.command`."""
        batch = self.batch
        entries: list[Word] = []
        for entry in batch.entries:
            entries += (entry.first_seq, entry.seq, repr(entry.at), encode(entry))
        opened: list[Word] = []
        for part, attempt in batch.opened.items():
            opened += (as_bytes(part), attempt)
        notes: list[Word] = []
        for key, value in batch.notes.items():
            notes += (as_bytes(key), encode(value))
        return (
            as_bytes(self.session_id),
            self.number or 0,
            as_bytes(batch.epoch),
            batch.state or "",
            len(entries),
            len(opened),
            len(notes),
            *entries,
            *opened,
            *notes,
        )

    def take(self, answer: list[Any]) -> None:
        """See `RedisWrite.take`.

        Raises:
            Cut: what Redis has of the first new entry is to be cut off; then it may be asked again.
        """
        session_id = self.batch.session_id
        match answer:
            case [b"done"]:
                return
            case [b"cut", last]:
                raise Cut(last)
            case [b"gone"]:
                raise JournalFailed(f"session {session_id} is not in the journal")
            case [b"stale"]:
                raise Fenced(f"epoch {self.batch.epoch} of session {session_id} is over")
            case [b"error", text]:
                raise JournalFailed(f"Redis refused to write: {text.decode()}")
            case [b"hole", came, expected]:
                raise JournalFailed(
                    f"offset {came} of session {session_id} came instead of {expected}"
                )
            case _:
                raise JournalFailed(f"Redis answered {answer!r} to an append")

    def cut(self, last_seq: int) -> None:
        """Leave out what Redis has."""
        self.batch = msgspec.structs.replace(self.batch, entries=unseen(self.batch, last_seq))


def pack(appends: Sequence[Append]) -> tuple[Word, ...]:
    """Give one command for several batches: most of what a command costs, it costs once."""
    first = appends[0]
    words: list[Word] = [first.keys.prefix, first.writer]
    for each in appends:
        words += each.words
    return Append.script.command((), words)


class Cut(Exception):
    """A batch overlaps with what Redis has.

    Args:
        last_seq: the last offset that it has.
    """

    def __init__(self, last_seq: int) -> None:
        super().__init__(last_seq)
        self.last_seq = last_seq


class Create(RedisWrite):
    """A new session."""

    script = scripts.CREATE

    def __init__(self, keys: Keys, writer: str, record: SessionRecord) -> None:
        super().__init__(keys, writer, record.session_id)
        self.record = record

    def command(self) -> tuple[Word, ...]:
        """See `RedisWrite.command`."""
        record = self.record
        epochs: list[Word] = []
        for epoch in record.epochs:
            epochs += (as_bytes(epoch.name), epoch.after_seq)
        opened: list[Word] = []
        for part, attempt in record.opened.items():
            opened += (as_bytes(part), attempt)
        notes: list[Word] = []
        for key, value in record.notes.items():
            notes += (as_bytes(key), encode(value))
        head = (
            *self._begin(),
            place(record.created_at, record.session_id),
            as_bytes(record.owner),
            as_bytes(record.protocol),
            record.state,
            repr(record.updated_at),
            as_bytes(record.epochs[-1].name),
            encode(msgspec.structs.replace(record, epochs=(), opened={}, notes={})),
            len(epochs),
            len(opened),
        )
        return self.script.command((), (*head, *epochs, *opened, *notes))

    def take(self, answer: list[Any]) -> None:
        """See `RedisWrite.take`."""
        if answer[0] == b"exists":
            raise Conflict(f"session {self.session_id} exists already")


class TakeBack(RedisWrite):
    """The end of a create that nobody waited for."""

    script = scripts.TAKE_BACK

    def __init__(self, create: Create) -> None:
        super().__init__(create.keys, create.writer, create.session_id)
        self._create = create

    def command(self) -> tuple[Word, ...]:
        """See `RedisWrite.command`."""
        return self.script.command((), self._create._begin())


class BeginEpoch(RedisWrite):
    """A new life of a log; the result is what makes its record."""

    script = scripts.BEGIN_EPOCH

    def __init__(self, keys: Keys, writer: str, session_id: str, *, name: str) -> None:
        super().__init__(keys, writer, session_id)
        self.name = name

    def command(self) -> tuple[Word, ...]:
        """See `RedisWrite.command`."""
        return self.script.command((), (*self._begin(), as_bytes(self.name)))

    def take(self, answer: list[Any]) -> None:
        """See `RedisWrite.take`."""
        if answer[0] == b"gone":
            raise NotFound(f"session {self.session_id} is not in the journal")
        if answer[0] == b"exists":
            raise Conflict(f"session {self.session_id} had an epoch {self.name} already")
        super().take(answer)


class Delete(RedisWrite):
    """The end of a session; the result is 1 if there was one."""

    script = scripts.DELETE

    def command(self) -> tuple[Word, ...]:
        """See `RedisWrite.command`."""
        return self.script.command((), self._begin())


class Simple(RedisWrite):
    """A change of no one session: expiry, and documents."""

    def __init__(self, script: Script, keys: Sequence[Word], values: Sequence[Word]) -> None:
        super().__init__(Keys(""), "")
        self.script = script
        self._words = script.command(keys, values)

    def command(self) -> tuple[Word, ...]:
        """See `RedisWrite.command`."""
        return self._words


def put(keys: Keys, document: Document) -> Simple:
    """Store a document, as it is now.

    Raises:
        JournalFailed: there is something in it that cannot be written.
    """
    owner = as_bytes(document.owner)
    owners = keys.documents(document.collection, "")
    return Simple(
        scripts.PUT,
        (*keys.held(document.collection), keys.documents(document.collection), owners + owner),
        (as_bytes(document.key), owner, repr(document.updated_at), encode(document), owners),
    )


def remove(keys: Keys, collection: str, key: str) -> Simple:
    """Drop a document; the result is 1 if there was one."""
    values = (as_bytes(key), keys.documents(collection, ""))
    return Simple(scripts.REMOVE, (*keys.held(collection), keys.documents(collection)), values)


def expire(keys: Keys, ended_before: float, forgotten_before: float, *, at_once: int) -> Simple:
    """Drop some sessions; the result is their number."""
    values = (keys.prefix, repr(ended_before), repr(forgotten_before), at_once)
    return Simple(scripts.EXPIRE, (), values)
