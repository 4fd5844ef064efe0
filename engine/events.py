"""What can happen in a session: a screen of frozen structs.

An event is what a pipeline says happened; an `Entry` is that event with its place in the log. One
entry becomes exactly one message of the session's wire protocol, so what is not a message is not an
event (it is a note in the journal). The engine folds events without knowing the protocols
(`engine.sessions.fold`); codecs in the server give them their wire form.

What a log holds by the hundred (`Part`, `Delta`, `Entry`) is not tracked by the garbage collector:
it refers to nothing that could refer back, and a collection that walks a hundred thousand of them
makes every session late.

Milestones are committed to the journal before anyone sees them; everything else is seen at once and
committed behind.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

JSON: TypeAlias = dict[str, Any]
"""A JSON object. Values are str, int, float, bool, None, lists and objects of these."""

CancelReason = Literal["client", "disconnect", "deadline", "shutdown", "admin"]
AttemptReason = Literal["provider", "restart", "validation", "optimize"]


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One stream of text in a session: a prompt, a persona's answer, a stage's text.

    A new attempt is a new `Part` with the same `id` and the next `attempt`, so whatever is derived
    from a part (its bytes on the wire, say) may be cached by the object's identity.
    """

    id: str
    """Unique in the session and the same across attempts and restarts."""
    target: JSON
    """How clients address it: {"prompt_id": …}, {"persona_id": …} or {"stage": …}."""
    phase: str
    index: int = 0
    """Its place among the phase's parts, from 0."""
    attempt: int = 1
    provider: str = ""
    model: str = ""
    parent_id: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens, as the provider reported them or (`estimated`) as counted here."""

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            estimated=self.estimated or other.estimated,
        )


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The proof of a cancel."""

    accepted_at_seq: int
    """The last offset that was numbered when the cancel was accepted."""
    upstream_closed_ms: float | None
    """Milliseconds from acceptance until the last upstream was closed; None: none was open."""
    tokens_after_accept: int
    """Tokens that a provider still delivered after acceptance; nobody saw them."""


class _Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    pass


# ---- text and progress: seen at once, committed behind -----------------------------------------


class Delta(_Event, frozen=True, kw_only=True, tag="delta", gc=False):
    """More text of a part. `tokens` counts the part's output tokens so far, this text included."""

    part: Part
    text: str
    tokens: int = 0


class Reasoning(_Event, frozen=True, kw_only=True, tag="reasoning"):
    """More of a model's reasoning, where the client asked for it; not part of the part's text."""

    part: Part
    text: str


class Progress(_Event, frozen=True, kw_only=True, tag="progress"):
    """Where a phase stands, for people. Throttled before it is numbered."""

    phase: str
    message: str = ""
    progress_percent: float | None = None
    part: Part | None = None
    data: JSON = {}


class Item(_Event, frozen=True, kw_only=True, tag="item"):
    """One finding, shown before its phase is complete; `kind` is the protocol's word for it."""

    phase: str
    kind: str = "item"
    data: JSON
    part: Part | None = None


# ---- milestones: committed before they are seen -------------------------------------------------


class PhaseStarted(_Event, frozen=True, kw_only=True, tag="phase_started"):
    """A phase begins; precedes the phase's first delta."""

    phase: str
    message: str = ""
    progress_percent: float | None = None


class PartCompleted(_Event, frozen=True, kw_only=True, tag="part_completed"):
    """A part is complete; `text` is the whole of its last attempt, `data` the pipeline's own."""

    part: Part
    text: str
    usage: Usage = Usage()
    data: JSON = {}


class PartFailed(_Event, frozen=True, kw_only=True, tag="part_failed"):
    """A part is lost after its last attempt; the others go on."""

    part: Part
    code: str
    """One of `engine.errors.ErrorCode`; a plain str here, so that old journals stay readable."""
    message: str
    usage: Usage = Usage()
    data: JSON = {}
    """The pipeline's own."""


class PartCancelled(_Event, frozen=True, kw_only=True, tag="part_cancelled"):
    """A part was cancelled alone; `partial` is its text so far, never more than was streamed."""

    part: Part
    partial: str
    usage: Usage = Usage()
    receipt: Receipt | None = None


class Attempt(_Event, frozen=True, kw_only=True, tag="attempt"):
    """A part starts again: its text so far is void. `part.attempt` is the new attempt's number."""

    part: Part
    reason: AttemptReason
    code: str | None = None
    message: str = ""


class PhaseCompleted(_Event, frozen=True, kw_only=True, tag="phase_completed"):
    """A phase is complete; follows the phase's last part."""

    phase: str
    message: str = ""
    progress_percent: float | None = None
    data: JSON = {}


class SelectionRequired(_Event, frozen=True, kw_only=True, tag="selection_required"):
    """The session waits for a person's choice among `candidates` until `expires_at`."""

    phase: str
    candidates: list[JSON]
    expires_at: float
    """Unix time in seconds; then the best candidates are taken."""


class Selected(_Event, frozen=True, kw_only=True, tag="selected"):
    """A choice was made, by a person or (`by` "expiry") by time."""

    phase: str
    selected_indices: list[int]
    by: Literal["client", "expiry"] = "client"
    progress_percent: float | None = None


# ---- the one terminal event ---------------------------------------------------------------------


class Completed(_Event, frozen=True, kw_only=True, tag="completed"):
    """The session has its result."""

    data: JSON
    usage: JSON = {}


class Failed(_Event, frozen=True, kw_only=True, tag="failed"):
    """The session ended with an error; `data` is what there is of a result all the same."""

    code: str
    message: str
    phase: str | None = None
    data: JSON = {}
    usage: JSON = {}
    retry_after_s: float | None = None


class Cancelled(_Event, frozen=True, kw_only=True, tag="cancelled"):
    """The session was cancelled. `partial` maps each part's id to its text so far."""

    reason: CancelReason
    partial: dict[str, str] = {}
    usage: JSON = {}
    receipt: Receipt
    message: str = ""


Terminal: TypeAlias = Completed | Failed | Cancelled
Milestone: TypeAlias = (
    PhaseStarted
    | PartCompleted
    | PartFailed
    | PartCancelled
    | Attempt
    | PhaseCompleted
    | SelectionRequired
    | Selected
    | Terminal
)
Event: TypeAlias = Delta | Reasoning | Progress | Item | Milestone

TERMINAL: tuple[type, ...] = (Completed, Failed, Cancelled)
TRANSIENT: tuple[type, ...] = (Delta, Reasoning, Progress, Item)
"""Seen at once and committed behind; every other event is a milestone."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event at its place in a session's log."""

    seq: int
    """The offset: 1, 2, 3 … without a gap. Of a merged entry: that of its last delta."""
    at: float
    """Unix time in seconds."""
    event: Event
    cuts: tuple[tuple[int, int], ...] = ()
    """Of a merged entry: for each offset in order (characters of its own text, the part's tokens
    so far). Thus a reader can resume in the middle of it; see `after`."""

    @property
    def first_seq(self) -> int:
        """The offset of the first event in it; equal to `seq` unless it is merged."""
        return self.seq - len(self.cuts) + 1 if self.cuts else self.seq

    def after(self, seq: int) -> Entry | None:
        """Give what of it comes after an offset: itself, the rest of a merged one, or None."""
        if seq < self.first_seq:
            return self
        if seq >= self.seq:
            return None
        event = self.event
        assert isinstance(event, Delta), "only deltas are merged"
        held = seq - self.first_seq + 1
        rest = self.cuts[held:]
        start = sum(chars for chars, _ in self.cuts[:held])
        return Entry(
            seq=self.seq,
            at=self.at,
            event=Delta(part=event.part, text=event.text[start:], tokens=event.tokens),
            cuts=rest if len(rest) > 1 else (),
        )


def is_milestone(event: Event) -> bool:
    """Whether an event has to be committed before anyone sees it."""
    return not isinstance(event, TRANSIENT)
