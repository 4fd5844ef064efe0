"""Joins adjacent deltas into one entry, and cuts such an entry again.

The rule: merging keeps all text and every offset. A merged entry covers its offsets without a
hole and knows where each of them ends, so that a reader may resume in the middle of it. The log
merges for readers that lag and for the journal, and a journal where it keeps what it was given in
small pieces. Pure: must not import trio, nor anything of the engine but its events.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.events import Delta, Entry, Part


def merge(run: Sequence[Entry], max_bytes: int) -> tuple[Entry, ...]:
    """Join adjacent deltas of one attempt of one part; everything else stays as it is.

    Args:
        run: entries in the order of their offsets; merged ones among them are joined as well.
        max_bytes: the size in bytes (UTF-8) that joining makes no entry exceed. An entry that is
            larger already is kept, alone.

    Returns:
        Entries that cover the same offsets. A joined one has the offset, time and token count of
        its last delta; an entry that met no neighbour is the same object as before.
    """
    merged: list[Entry] = []
    group: list[Entry] = []
    part: Part | None = None
    size = after = 0
    for entry in run:
        event = entry.event
        if type(event) is not Delta:
            if group:
                merged.append(_join(group))
                group = []
                part = None
            merged.append(entry)
            continue
        text = event.text
        text_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        size += text_bytes
        # Most deltas share the very object, and are single: the rest is asked only after that.
        if (
            part is not None
            and size <= max_bytes
            and (event.part is part or _is_same(event.part, part))
            and (entry.first_seq if entry.cuts else entry.seq) == after
        ):
            group.append(entry)
        else:
            if group:
                merged.append(_join(group))
            group = [entry]
            part = event.part
            size = text_bytes
        after = entry.seq + 1
    if group:
        merged.append(_join(group))
    return tuple(merged)


def cut_after(entry: Entry, seq: int) -> Entry | None:
    """Give what of an entry comes after an offset; None if nothing does."""
    return entry.after(seq)


def until(run: Sequence[Entry], seq: int) -> tuple[Entry, ...]:
    """Give what of a run comes up to an offset; a merged entry that goes beyond it is split."""
    if not run or run[-1].seq <= seq:
        return tuple(run)
    whole = [entry for entry in run if entry.seq <= seq]
    crossing = next(entry for entry in run if entry.seq > seq)
    return (*whole, *(single for single in split(crossing) if single.seq <= seq))


def split(entry: Entry) -> tuple[Entry, ...]:
    """Give an entry for each offset that a merged one covers; one that is not merged is itself."""
    event = entry.event
    if not entry.cuts or not isinstance(event, Delta):
        return (entry,)
    singles: list[Entry] = []
    start = 0
    for seq, (chars, tokens) in enumerate(entry.cuts, entry.first_seq):
        delta = Delta(part=event.part, text=event.text[start : start + chars], tokens=tokens)
        singles.append(Entry(seq=seq, at=entry.at, event=delta))
        start += chars
    return tuple(singles)


def _is_same(one: Part, other: Part) -> bool:
    return one.id == other.id and one.attempt == other.attempt


def _join(group: list[Entry]) -> Entry:
    """Make one entry of deltas that belong together."""
    last = group[-1]
    if len(group) == 1:
        return last
    texts: list[str] = []
    cuts: list[tuple[int, int]] = []
    for entry in group:
        event = entry.event
        assert type(event) is Delta
        text = event.text
        texts.append(text)
        if entry.cuts:
            cuts.extend(entry.cuts)
        else:
            cuts.append((len(text), event.tokens))
    newest = last.event
    assert type(newest) is Delta
    return Entry(
        seq=last.seq,
        at=last.at,
        event=Delta(part=newest.part, text="".join(texts), tokens=newest.tokens),
        cuts=tuple(cuts),
    )
