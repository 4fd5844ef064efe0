"""What a session looks like now: a fold of its log, the same for live, late and recovered readers.

The one rule: a view is a function of the entries that readers may see, in order, and of nothing
else. So a snapshot taken at offset S and the entries from S + 1 give the same picture as the whole
log, and a recovered session knows exactly what its clients know. Must not import the log.
"""

from __future__ import annotations

from typing import Literal

from engine.events import (
    JSON,
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Entry,
    Failed,
    Part,
    PartCancelled,
    PartCompleted,
    PartFailed,
    PhaseCompleted,
    PhaseStarted,
    Progress,
    Selected,
    SelectionRequired,
    Terminal,
)

PartState = Literal["running", "completed", "failed", "cancelled"]

_JOIN_AT = 64
"""Pieces that are then joined: a piece alone weighs 60 bytes more than its text."""


class PartView:
    """One part, as its readers have it: the text is that of the last attempt only."""

    __slots__ = (
        "_joined",
        "_pieces",
        "attempts",
        "completed",
        "ended_at",
        "failed",
        "part",
        "state",
        "tokens",
    )

    def __init__(self, part: Part, at: float) -> None:
        self.part = part
        self.state: PartState = "running"
        self.tokens = 0
        self.completed: PartCompleted | None = None
        self.failed: PartFailed | None = None
        self.attempts: list[tuple[int, float]] = [(part.attempt, at)]
        """Each attempt that was seen, and the Unix time at which its first entry was numbered."""
        self.ended_at: float | None = None
        self._joined: list[str] = []
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """The text so far."""
        if self._pieces:
            self._joined = ["".join((*self._joined, *self._pieces))]
            self._pieces = []
        elif len(self._joined) > 1:
            self._joined = ["".join(self._joined)]
        return self._joined[0] if self._joined else ""

    def add(self, text: str, tokens: int) -> None:
        """Take one more delta."""
        self._pieces.append(text)
        self.tokens = tokens
        if len(self._pieces) > _JOIN_AT:
            self._joined.append("".join(self._pieces))
            self._pieces = []

    def begin(self, part: Part, at: float) -> None:
        """Start an attempt: the text so far is void."""
        if self.attempts[-1][0] != part.attempt:
            self.attempts.append((part.attempt, at))
        self.ended_at = None
        self.part, self.state, self.tokens = part, "running", 0
        self._joined, self._pieces = [], []

    def end(self, state: PartState, text: str, at: float) -> None:
        """Settle the part with its final text."""
        self.ended_at = at
        self.state, self._joined, self._pieces = state, [text], []

    def copy(self) -> PartView:
        """Give one of its own that goes on from here."""
        other = PartView.__new__(PartView)
        for name in PartView.__slots__:
            setattr(other, name, getattr(self, name))
        other.attempts = self.attempts[:]
        other._joined, other._pieces = self._joined[:], self._pieces[:]
        return other

    def __repr__(self) -> str:
        return f"<PartView {self.part.id} {self.state} attempt {self.part.attempt}>"


class View:
    """The fold of a log up to `seq`."""

    __slots__ = (
        "data",
        "parts",
        "phase",
        "phases",
        "progress_percent",
        "selected",
        "seq",
        "terminal",
        "terminal_entry",
        "waiting",
    )

    def __init__(self) -> None:
        self.seq = 0
        self.phase: str | None = None
        """The phase that was heard of last."""
        self.phases: dict[str, Literal["running", "completed"]] = {}
        self.data: dict[str, JSON] = {}
        """The results of completed phases."""
        self.progress_percent = 0.0
        self.parts: dict[str, PartView] = {}
        """By part id, in the order in which they were first heard of."""
        self.waiting: SelectionRequired | None = None
        """The selection that the session waits for."""
        self.selected: dict[str, Selected] = {}
        """The choices that were made, by phase."""
        self.terminal: Terminal | None = None
        self.terminal_entry: Entry | None = None

    def apply(self, entry: Entry) -> None:
        """Take the next entry; it must follow the last one."""
        self.seq = entry.seq
        event = entry.event
        if type(event) is Delta:  # by far the most frequent
            part = event.part
            view = self.parts.get(part.id)
            if view is None:
                view = self.parts[part.id] = PartView(part, entry.at)
            elif view.part is not part:
                self._meet(view, part, entry.at)
            view.add(event.text, event.tokens)
        else:
            self._apply_other(entry)

    def _meet(self, view: PartView, part: Part, at: float) -> None:
        if part.attempt != view.part.attempt:
            view.begin(part, at)
        else:
            view.part = part

    def _part(self, part: Part, at: float) -> PartView:
        view = self.parts.get(part.id)
        if view is None:
            view = self.parts[part.id] = PartView(part, at)
        else:
            self._meet(view, part, at)
        return view

    def _apply_other(self, entry: Entry) -> None:
        event = entry.event
        match event:
            case PhaseStarted():
                self._advance(event.phase, event.progress_percent)
                self.phases[event.phase] = "running"
            case Progress():
                self._advance(event.phase, event.progress_percent)
            case PhaseCompleted():
                self._advance(event.phase, event.progress_percent)
                self.phases[event.phase] = "completed"
                self.data[event.phase] = event.data
            case PartCompleted():
                view = self._part(event.part, entry.at)
                view.end("completed", event.text, entry.at)
                view.completed = event
            case PartFailed():
                view = self._part(event.part, entry.at)
                view.state, view.failed, view.ended_at = "failed", event, entry.at
            case PartCancelled():
                view = self._part(event.part, entry.at)
                view.end("cancelled", event.partial, entry.at)
            case Attempt():
                view = self._part(event.part, entry.at)
                view.begin(event.part, entry.at)
                view.completed = view.failed = None
            case SelectionRequired():
                self.phase, self.waiting = event.phase, event
            case Selected():
                self._advance(event.phase, event.progress_percent)
                self.waiting = None
                self.selected[event.phase] = event
            case Completed() | Failed() | Cancelled():
                self.terminal, self.terminal_entry = event, entry
                self.waiting = None
                if isinstance(event, Completed):
                    self.progress_percent = 100.0
            case _:
                pass

    def _advance(self, phase: str, progress_percent: float | None) -> None:
        self.phase = phase
        if progress_percent is not None and progress_percent > self.progress_percent:
            self.progress_percent = progress_percent

    def copy(self) -> View:
        """Give one of its own that goes on from here."""
        other = View()
        for name in View.__slots__:
            value = getattr(self, name)
            setattr(other, name, dict(value) if isinstance(value, dict) else value)
        other.parts = {key: view.copy() for key, view in self.parts.items()}
        return other

    def partial(self) -> dict[str, str]:
        """Each part's text so far, by part id; parts without text are left out."""
        return {key: view.text for key, view in self.parts.items() if view.text}

    def __repr__(self) -> str:
        return f"<View seq {self.seq}, {len(self.parts)} parts, phase {self.phase}>"
