"""Looks at every buffer of a simulated engine after each step of any task (I7).

The one rule: it counts for itself. What a window, an outlet, a mailbox or a journal's queue holds
is measured at its contents, not at what the code says of them, and compared with what
`engine/limits.py` promises and the few entries that are at work beyond it. Must not import a
pipeline.

What is looked at, and how much there may be:

    window             2 windows of entries and of bytes, and `OVERSHOOT` entries
    not durable        1 window of entries and 2 of bytes, and `OVERSHOOT` entries
    journal's queue    once it is full for a lag: `OVERSHOOT` entries of each session
    not handed over    not older than `journal_lag_s`
    outlet             less than `rollup_bytes`
    part's text        `max_part_bytes`
    mailbox            its size
    idle readers       one place for each reader
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import trio

from engine.actors.mailbox import MailboxStatistics
from engine.events import Event, is_milestone
from engine.testing.faulty_journal import FaultyJournal

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.limits import Limits
    from engine.sessions.log import Log
    from engine.sessions.session import Session

OVERSHOOT = 8
"""Entries that lanes at work may add before they wait: two for each (its own, and what its outlet
held), and a milestone."""

EVENT_BYTES = 64
"""What an entry counts for besides its text."""


class Bounds(trio.abc.Instrument):
    """Measures an engine's buffers while it runs.

    Args:
        engine: whose.
        limits: what is allowed.
        violate: is told what holds more than it may.
    """

    def __init__(self, engine: Engine, limits: Limits, violate: Callable[[str], None]) -> None:
        self.looks = 0
        """How often a log was measured."""
        self._engine = engine
        self._limits = limits
        self._violate = violate
        self._heads: dict[str, int] = {}
        self._largest: dict[str, int] = {}
        self._full_since = math.inf
        self._full_heads: dict[str, int] = {}
        self._told: set[str] = set()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        try:
            self._watch_journal()
            for session in self._engine.sessions.values():
                self._look(session)
                self._lag(session.log)
        except Exception as error:  # trio would log it and go on without us
            self._say(f"looking failed: {error!r}")

    def _look(self, session: Session) -> None:
        self._outlets(session)
        log = session.log
        if self._heads.get(session.session_id) == log.head:
            return  # nothing was added
        self.looks += 1
        self._heads[session.session_id] = log.head
        self._window(log)
        self._journal(log)
        for depth, name, size in _mailboxes(session.roster.statistics()):
            if depth > size:
                self._say(f"{depth} items in mailbox {name!r}, {size} are allowed")

    def _outlets(self, session: Session) -> None:
        for running in session.parts.values():
            for outlet in running.outlets:
                held = sum(map(len, outlet._pieces))
                if held >= self._limits.rollup_bytes:
                    self._say(f"an outlet holds {held} bytes of {self._limits.rollup_bytes}")

    def _lag(self, log: Log) -> None:
        if log._unsaved <= log.head and log.failure is None:
            late_s = log.now() - log._entries[log._unsaved - log._base].at
            if late_s > self._limits.journal_lag_s + 1e-6:
                self._say(f"offset {log._unsaved} is not handed to the journal after {late_s:g} s")

    def _window(self, log: Log) -> None:
        limits = self._limits
        sizes = [_window_bytes(entry.event) for entry in log._entries]
        largest = max([self._largest.get(log.session_id, 0), *sizes])
        self._largest[log.session_id] = largest
        spare = OVERSHOOT * largest
        self._compare("entries in the window", len(sizes), 2 * limits.window_events + OVERSHOOT)
        self._compare("bytes in the window", sum(sizes), 2 * limits.window_bytes + spare)
        late = max(0, log.head - log._durable)
        self._compare("entries not durable", late, limits.window_events + OVERSHOOT)
        late_bytes = sum(sizes[-late:]) if late else 0
        self._compare("bytes not durable", late_bytes, 2 * limits.window_bytes + spare)
        for view in log.view.parts.values():
            text = sum(map(len, (*view._joined, *view._pieces)))
            self._compare("bytes in a part", text, limits.max_part_bytes + largest)
        self._compare("idle readers", len(log._idle), len(log.readers))

    def _watch_journal(self) -> None:
        journal = self._engine.journal
        if not (
            isinstance(journal, FaultyJournal)
            and journal.pending_bytes > self._limits.journal_pending_bytes
        ):
            self._full_since = math.inf
            self._full_heads.clear()
        elif self._full_since == math.inf:
            self._full_since = trio.current_time()

    def _journal(self, log: Log) -> None:
        """See that a session adds only what it has at work, once it can know of a full journal."""
        if trio.current_time() > self._full_since + self._limits.journal_lag_s:
            head = self._full_heads.setdefault(log.session_id, log.head)
            self._compare("entries for a journal that is full", log.head - head, OVERSHOOT)

    def _compare(self, what: str, held: int, allowed: int) -> None:
        if held > allowed:
            self._say(f"{held} {what}, {allowed} are allowed")

    def _say(self, message: str) -> None:
        if message not in self._told:  # once, though each later step sees it again
            self._told.add(message)
            self._violate(message)


def _window_bytes(event: Event) -> int:
    """Measure an entry; a milestone's text is the view's as well and costs the window nothing."""
    text = "" if is_milestone(event) else getattr(event, "text", "")
    return EVENT_BYTES + len(text)


def _mailboxes(found: tuple[Any, ...]) -> Iterator[tuple[int, str, int]]:
    """Give depth, name and size of every mailbox, those inside of supervised children as well."""
    for member in found:
        if isinstance(member, MailboxStatistics):
            yield member.depth, member.name, member.size
        for child in getattr(member, "children", ()):
            yield from _mailboxes(child.inside)
