"""Checks what readers received against the promises of a log, and names the promise that is broken.

The one rule: the checker believes nobody but the readers and the providers. It takes what several
readers were given, in the order in which they were given it, and what the provider doubles saw, and
says which invariant of the design does not hold. Pure: it works on records, so that a test can
plant a fault in one and see the checker name it. Must not import trio, sessions or pipelines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from engine.events import (
    TERMINAL,
    Attempt,
    Cancelled,
    Delta,
    Entry,
    Event,
    Failed,
    Part,
    PartCancelled,
    PartCompleted,
    is_milestone,
)


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A reader was told that offsets are no longer held; reading goes on at `earliest`."""

    requested: int
    earliest: int


class Sight(msgspec.Struct, kw_only=True):
    """One thing that a reader was given, and how the world was at that very moment."""

    what: Entry | Missing
    at: float
    """trio's clock, in seconds."""
    durable_seq: int | None = None
    """The last offset that would have survived a crash at that moment; None: nobody looked."""
    open_calls: int | None = None
    """The session's provider calls that were open at that moment; None: nobody looked."""


class Reading(msgspec.Struct, kw_only=True):
    """One subscription: from its cursor until it was closed, or the log had ended."""

    after_seq: int
    epoch: str
    sights: list[Sight] = []
    has_ended: bool = False
    """Whether the reader was told that nothing follows."""


class Reader(msgspec.Struct, kw_only=True):
    """One client: it may come back with its last cursor, and folds all that it was given."""

    name: str
    readings: list[Reading] = []

    @property
    def entries(self) -> Iterator[Entry]:
        """All that it was given, in order."""
        for reading in self.readings:
            for sight in reading.sights:
                if isinstance(sight.what, Entry):
                    yield sight.what

    @property
    def is_whole(self) -> bool:
        """Whether it began at the start and was never told of a gap: then its fold is the log's."""
        first = self.readings[0].after_seq if self.readings else 0
        return first == 0 and not any(
            isinstance(sight.what, Missing) for reading in self.readings for sight in reading.sights
        )


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that was broken."""

    invariant: str
    """As DESIGN.md numbers them: "I1" and so on."""
    message: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.message}"


Fold: TypeAlias = dict[str, str]
"""Part id: the text that a client holds for it."""


def check_readers(readers: Sequence[Reader]) -> list[Violation]:
    """Check all readers of one session, each alone and then against each other."""
    found: list[Violation] = []
    for reader in readers:
        for reading in reader.readings:
            found += _check_offsets(reader.name, reading)
            found += _check_moments(reader.name, reading)
        found += _check_end(reader)
        if reader.is_whole:
            found += _check_fold(reader)
    found += _check_agreement(readers)
    return found


def fold(entries: Iterable[Entry]) -> Fold:
    """Fold messages as contract 0 tells clients to: an attempt makes a part's text void."""
    texts: Fold = {}
    for entry in entries:
        match entry.event:
            case Delta(part=part, text=text):
                texts[part.id] = texts.get(part.id, "") + text
            case Attempt(part=part):
                texts[part.id] = ""
    return texts


# ---- one reading --------------------------------------------------------------------------------


def _check_offsets(name: str, reading: Reading) -> Iterator[Violation]:
    """I1: c+1, c+2 … once, in order, or an explicit gap. I12: a merged one holds all its text."""
    expected = reading.after_seq + 1
    for sight in reading.sights:
        what = sight.what
        if isinstance(what, Missing):
            if what.requested != expected or what.earliest <= what.requested:
                yield _violation("I1", name, f"a gap {what} came where {expected} was next")
            expected = what.earliest
            continue
        if what.first_seq != expected:
            yield _violation("I1", name, f"offset {what.first_seq} came where {expected} was next")
        expected = what.seq + 1
        if what.cuts:
            event = what.event
            chars = sum(count for count, _ in what.cuts)
            if not isinstance(event, Delta) or len(event.text) != chars:
                yield _violation("I12", name, f"the merged entry {what.seq} is not what it covers")


def _check_moments(name: str, reading: Reading) -> Iterator[Violation]:
    """I2: a milestone seen is durable. I4: when the end is seen, no provider's stream is open."""
    for sight in reading.sights:
        what = sight.what
        if not isinstance(what, Entry):
            continue
        durable = sight.durable_seq
        is_late = durable is not None and durable < what.seq
        if is_late and is_milestone(what.event) and not blames_journal(what.event):
            kind = type(what.event).__name__
            yield _violation("I2", name, f"{kind} {what.seq} was seen, {durable} was durable")
        if isinstance(what.event, TERMINAL) and sight.open_calls:
            yield _violation("I4", name, f"the end was seen with {sight.open_calls} open calls")


def blames_journal(event: Event) -> bool:
    """Whether it is an end that a failed journal cannot hold: silence would be worse."""
    return isinstance(event, Failed) and "journal" in event.message


def _check_end(reader: Reader) -> Iterator[Violation]:
    """I3: exactly one terminal event, nothing after it; and who is told of the end has seen it."""
    entries = list(reader.entries)
    ends = [entry.seq for entry in entries if isinstance(entry.event, TERMINAL)]
    if len(ends) > 1:
        yield _violation("I3", reader.name, f"terminal events at {ends}")
    if ends and entries[-1].seq != ends[0]:
        yield _violation("I3", reader.name, f"{entries[-1].seq} came after the end at {ends[0]}")
    last = reader.readings[-1] if reader.readings else None
    if last is not None and last.has_ended and not ends and last.sights:
        yield _violation("I3", reader.name, "it was told of the end without a terminal event")


# ---- what a client holds -------------------------------------------------------------------------


def _check_fold(reader: Reader) -> Iterator[Violation]:
    """I9, I12: what an ending says of a part's text is what its reader holds, not less nor more.

    A debt: a part that a crash interrupted, of a session that is then cancelled before the part
    begins again, is not declared void: its readers may hold more text than the end says. The
    journal notes such a part by its id, and an `attempt` needs its target as well. Due when notes
    have it.
    """
    texts: Fold = {}
    attempts: dict[str, int] = {}
    epochs: dict[str, str] = {}
    for reading, entry in _with_readings(reader):
        event = entry.event
        yield from _check_attempt(reader.name, entry.seq, event, attempts)
        match event:
            case Delta(part=part, text=text):
                texts[part.id] = texts.get(part.id, "") + text
                epochs[part.id] = reading.epoch
            case Attempt(part=part):
                if part.id in texts:  # a part that is not streamed is known by its attempts alone
                    texts[part.id] = ""
                    epochs[part.id] = reading.epoch
            case PartCompleted(part=part, text=text):
                if part.id in texts:
                    yield from _compare(reader.name, "I9", part.id, text, texts[part.id])
            case PartCancelled(part=part, partial=partial):
                if epochs.get(part.id, reading.epoch) == reading.epoch:
                    held = texts.get(part.id, "")
                    yield from _compare(reader.name, "I12", part.id, partial, held)
            case Cancelled(partial=partials):
                for key in texts:
                    if epochs[key] == reading.epoch:
                        said = partials.get(key, "")
                        yield from _compare(reader.name, "I12", key, said, texts[key])


def _with_readings(reader: Reader) -> Iterator[tuple[Reading, Entry]]:
    for reading in reader.readings:
        for sight in reading.sights:
            if isinstance(sight.what, Entry):
                yield reading, sight.what


def _check_attempt(
    name: str, seq: int, event: Event, attempts: dict[str, int]
) -> Iterator[Violation]:
    """I9: text belongs to the attempt that was announced last."""
    part: Part | None = getattr(event, "part", None)
    if part is None:
        return
    known = attempts.setdefault(part.id, 1)
    if isinstance(event, Attempt):
        if part.attempt <= known:
            yield _violation("I9", name, f"{seq} announces attempt {part.attempt} after {known}")
        attempts[part.id] = part.attempt
    elif part.attempt != known:
        yield _violation("I9", name, f"{seq} is of attempt {part.attempt}, announced was {known}")


def _compare(name: str, invariant: str, part: str, said: str, held: str) -> Iterator[Violation]:
    if said != held:
        message = f"part {part}: the reader holds {held!r}, the log says {said!r}"
        yield _violation(invariant, name, message)


# ---- several readers, and the providers ----------------------------------------------------------


def _check_agreement(readers: Sequence[Reader]) -> Iterator[Violation]:
    """I1: one log. What one reader got at an offset of an epoch, every other one got as well."""
    log: dict[tuple[str, int], tuple[str, object]] = {}
    for reader in readers:
        for reading in reader.readings:
            for sight in reading.sights:
                if not isinstance(sight.what, Entry):
                    continue
                for seq, content in _singles(sight.what):
                    first, known = log.setdefault((reading.epoch, seq), (reader.name, content))
                    if known != content:
                        yield _violation("I1", reader.name, f"{seq} differs from {first}'s")


def _singles(entry: Entry) -> Iterator[tuple[int, object]]:
    """Give each offset's own content, of a merged entry as well."""
    event = entry.event
    if not isinstance(event, Delta):
        yield entry.seq, event
        return
    start = 0
    for seq, (count, tokens) in enumerate(
        entry.cuts or ((len(event.text), event.tokens),), entry.first_seq
    ):
        text = event.text[start : start + count]
        yield seq, (event.part.id, event.part.attempt, text, tokens)
        start += count


def check_source(readers: Sequence[Reader], written: Mapping[str, str]) -> list[Violation]:
    """Check completed parts against their source: the text is what the last call gave (I9).

    Args:
        readers: all readers of one session.
        written: part id: what its provider gave in its last call.
    """
    found: list[Violation] = []
    for reader in readers:
        for entry in reader.entries:
            event = entry.event
            if isinstance(event, PartCompleted) and event.part.id in written:
                expected = written[event.part.id]
                found += _compare(reader.name, "I9", event.part.id, event.text, expected)
    return found


def check_kept(readers: Sequence[Reader], late: Reader) -> list[Violation]:
    """Check that what was promised is kept (I2): a milestone once seen is in the log for ever.

    Args:
        readers: all readers of one session, in all of its lives.
        late: a reader of the whole log after the last crash.
    """
    kept = {entry.seq: entry.event for entry in late.entries}
    found: list[Violation] = []
    for reader in readers if late.is_whole else ():
        for entry in reader.entries:
            is_kept = kept.get(entry.seq) == entry.event or blames_journal(entry.event)
            if is_milestone(entry.event) and not is_kept:
                kind = type(entry.event).__name__
                found.append(_violation("I2", reader.name, f"{kind} {entry.seq} is gone"))
    return found


def _violation(invariant: str, reader: str, message: str) -> Violation:
    return Violation(invariant=invariant, message=f"reader {reader}: {message}")
