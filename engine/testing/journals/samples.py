"""What the journals' tests write, and how they read it back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.errors import JournalFailed
from engine.events import (
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Entry,
    Event,
    Failed,
    Item,
    Part,
    PartCancelled,
    PartCompleted,
    PartFailed,
    PhaseCompleted,
    PhaseStarted,
    Progress,
    Reasoning,
    Receipt,
    Selected,
    SelectionRequired,
    Usage,
)
from engine.journal.interface import Batch, Epoch, Journal, SessionRecord

PART = Part(
    id="p1", target={"prompt_id": "p1"}, phase="generate", provider="simulated", model="sim-1"
)
OTHER = Part(id="p2", target={"persona_id": "p2"}, phase="answer", index=1, attempt=2)
USAGE = Usage(input_tokens=3, output_tokens=5)
RECEIPT = Receipt(accepted_at_seq=17, upstream_closed_ms=1.5, tokens_after_accept=2)

EVERY_EVENT: tuple[Event, ...] = (
    PhaseStarted(phase="generate", message="Begins", progress_percent=12.5),
    Delta(part=PART, text="Hello", tokens=1),
    Reasoning(part=PART, text="Hm"),
    Progress(phase="generate", message="Half", progress_percent=50.0, part=PART, data={"n": 1}),
    Item(phase="generate", kind="source", data={"title": "A", "tags": ["x", None, 1.5, True]}),
    PartCompleted(part=PART, text="Hello", usage=USAGE, data={"score": 7}),
    PartFailed(part=OTHER, code="provider_timeout", message="Silent", usage=USAGE),
    PartCancelled(part=OTHER, partial="Hel", usage=USAGE, receipt=RECEIPT),
    Attempt(part=OTHER, reason="provider", code="provider_timeout", message="Again"),
    PhaseCompleted(phase="generate", message="Done", progress_percent=100.0, data={"k": {}}),
    SelectionRequired(phase="generate", candidates=[{"i": 0}, {"i": 1}], expires_at=99.25),
    Selected(phase="generate", selected_indices=[1], by="expiry", progress_percent=60.0),
    Completed(data={"text": "Hello"}, usage={"total_tokens": 8}),
    Failed(code="internal", message="A defect", phase="generate", retry_after_s=2.5),
    Cancelled(reason="client", partial={"p1": "Hel"}, receipt=RECEIPT),
)
"""One of each event. No session has them all; a journal does not care."""

ODD_TEXTS = (
    "",
    "nul \x00 and controls \x01\x1f\x7f",
    "line\r\nends \u2028 \u2029 \ufeff",
    "e\u0301 é 漢字 👩‍👩‍👧 𝄞",
    "half a surrogate pair: \ud83d, the other half: \udc4d",
    "two halves that two deltas brought: " + "\ud83d" + "\udc4d",
    '"quotes", \\backslashes\\, \'); DROP TABLE entries; --',
)
"""Texts that JSON can express, and models and clients therefore can send."""


def record(session_id: str = "s1", **fields: Any) -> SessionRecord:
    """Make a session's record; every field can be named."""
    given: dict[str, Any] = {
        "protocol": "generate",
        "owner": "ann",
        "command": {"prompts": ["Hello"]},
        "created_at": 1000.0,
        "updated_at": 1000.0,
        "epochs": (Epoch(name="e1", after_seq=0),),
    }
    return SessionRecord(session_id=session_id, **(given | fields))


def entry(seq: int, event: Event | None = None) -> Entry:
    """Make an entry, by default with a delta that tells its offset."""
    return Entry(
        seq=seq, at=1000.0 + seq, event=event or Delta(part=PART, text=f"<{seq}>", tokens=seq)
    )


def merged(first: int, last: int) -> Entry:
    """Make a merged entry of the deltas that `entry` makes."""
    texts = [f"<{seq}>" for seq in range(first, last + 1)]
    return Entry(
        seq=last,
        at=1000.0 + last,
        event=Delta(part=PART, text="".join(texts), tokens=last),
        cuts=tuple((len(text), seq) for seq, text in enumerate(texts, start=first)),
    )


def batch(*entries: Entry, session_id: str = "s1", epoch: str = "e1", **fields: Any) -> Batch:
    """Make a batch."""
    return Batch(session_id=session_id, epoch=epoch, entries=entries, **fields)


async def read_all(journal: Journal, session_id: str = "s1", after_seq: int = 0) -> list[Entry]:
    """Read a log to its end, page by page, as a reader does: what was read before is cut off."""
    found: list[Entry] = []
    while page := await journal.read(session_id, after_seq, max_events=100):
        rest = [cut for each in page if (cut := each.after(after_seq)) is not None]
        assert rest, "a page that gives nothing new would be read for ever"
        found.extend(rest)
        after_seq = found[-1].seq
    return found


def single(entries: Iterable[Entry]) -> list[tuple[int, Event]]:
    """Give what is at each offset, however deltas were merged."""
    found: list[tuple[int, Event]] = []
    for each in entries:
        event, start = each.event, 0
        if isinstance(event, Delta):
            for place, (chars, tokens) in enumerate(each.cuts):
                text = event.text[start : start + chars]
                start += chars
                delta = Delta(part=event.part, text=text, tokens=tokens)
                found.append((each.first_seq + place, delta))
        if not each.cuts:
            found.append((each.seq, event))
    return found


def text_of(entries: Sequence[Entry]) -> str:
    """Give the text of deltas."""
    return "".join(each.event.text for each in entries if isinstance(each.event, Delta))


async def refused(
    journal: Journal, stale: Batch, kind: type[JournalFailed] = JournalFailed
) -> bool:
    """Whether a batch is refused, so: at once, or by its Commit once the journal wrote."""
    try:
        commit = journal.append_nowait(stale)
        await commit.wait()
    except kind:
        return True
    return False
