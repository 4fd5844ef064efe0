"""A session's log: its only output, and the one road that tokens, results and errors take.

The window holds the newest entries in memory, shared by all readers; a reader costs an integer (its
cursor). What all of them have taken leaves it soon; behind the window there is the journal. Two
offsets matter: `head` was numbered last, `visible` is the last that readers may see. They differ
only while a milestone is being committed, because a milestone is durable before anyone sees it
(I2), and nothing behind it may be seen before it (I1).

The numbering step is a plain function: it numbers, keeps, folds and wakes, with no `await` between.
An idle reader's `wake` is called right there and may take the entry and write it to its socket: no
task wakes up for it.

Where another process runs the session, `feed` stands in the place of the numbering step: it shows
what that process has made durable. Readers see no difference. Must not import pipelines, providers
or a concrete journal.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import msgspec
import trio

from engine.errors import JournalFailed
from engine.events import Attempt, Delta, Entry, Event, Item, Part, Progress, Reasoning
from engine.journal.interface import Batch, Commit, Epoch, Journal, SessionState
from engine.merging import merge, split
from engine.sessions.view import View
from engine.telemetry import Telemetry

if TYPE_CHECKING:
    from engine.limits import Limits

_logger = logging.getLogger("antiphon.engine")

_EVENT_BYTES = 64
"""What an entry counts for besides its text."""


class Reader(Protocol):
    """Whoever reads a log: a subscription, or another process."""

    @property
    def cursor(self) -> int:
        """The offset up to which the window keeps nothing for it any more."""

    def wake_up(self) -> None:
        """There is something to take; a plain function, called from the numbering step."""


class Log:
    """One session's log, from `after_seq` on.

    Args:
        session_id: whose log it is.
        epochs: its lives; the last one is the one that this log is.
        after_seq: the last durable offset of the life before; 0 for the first.
        journal: where entries become durable.
        limits: the window's bounds, the journal's lag.
        clock: gives Unix time in seconds, as entries have it.
        save_later: has a function called after the journal's lag.
        view: the fold of the entries up to `after_seq`.
        is_bounded: whether producers wait for the fastest reader (an attached session).
        telemetry: where it counts what it merges for lagging readers.
    """

    def __init__(
        self,
        *,
        session_id: str,
        epochs: tuple[Epoch, ...],
        after_seq: int,
        journal: Journal,
        limits: Limits,
        clock: Callable[[], float],
        save_later: Callable[[Callable[[], None]], None],
        view: View | None = None,
        is_bounded: bool = True,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.session_id = session_id
        self.epochs = epochs
        self.epoch = epochs[-1].name
        self.journal = journal
        self.view = view if view is not None else View()
        self.is_bounded = is_bounded
        self.head = self.visible = after_seq
        self.is_ended = self.view.terminal is not None
        self.is_full = False
        """Whether producers have to `wait_room` before they write more."""
        self.failure: JournalFailed | None = None
        self.clock = clock
        self.readers: set[Reader] = set()
        self._telemetry = telemetry or Telemetry()
        self._limits = limits
        self._window_events = limits.window_events
        self._window_bytes = limits.window_bytes
        self._save_later = save_later
        self._on_lag = self._save_due  # bound once, not for each entry
        self._entries: list[Entry] = []
        self._ends: list[int] = []  # of each entry: all bytes up to and with it
        self._base = after_seq + 1  # the offset of _entries[0]
        self._bytes = 0
        self._floor, self._floor_bytes = after_seq, 0  # where the fastest reader is
        self._room = trio.lowlevel.ParkingLot()
        self._idle: list[Reader] = []
        # Lists, for they hold one or two, and an empty deque is as large as three deltas.
        self._pending: list[tuple[int, Commit]] = []  # milestones on their way
        self._handed: list[tuple[int, int, Commit]] = []  # batches on their way, and bytes
        self._unsaved = after_seq + 1
        self._durable, self._durable_bytes = after_seq, 0
        self._is_save_due = False
        self._look_seq = self._look_bytes = 0  # no bound can be near before: see `_look`
        self._tidy_seq = 0  # there is not enough to forget before
        self._is_stalled = False  # the journal did not commit in time
        self._is_late = False  # the journal is, so that a measure has to look at it

    # ---- writing ---------------------------------------------------------------------------------

    def append(self, event: Event, size_bytes: int = 0, at: float | None = None) -> None:
        """Number an event that is no milestone, show it, and have it saved behind.

        Args:
            event: what happened.
            size_bytes: about how much text is in it.
            at: the moment, where the caller has just asked `clock` for it.

        Raises:
            JournalFailed: an earlier write failed; nothing more can be promised.
        """
        if self.failure is not None:
            raise self.failure
        entry = self._number(event, size_bytes, self.clock() if at is None else at)
        seq = entry.seq
        if not self._is_save_due:
            self._is_save_due = True
            self._save_later(self._on_lag)
            self._is_late = self.journal.is_full
            if self._is_late:
                self._look_seq = 0
        if not self._pending:  # then it is the only one that nobody has seen
            self.view.apply(entry)
            self.visible = seq
            if self._idle:
                self._wake_idle()
        if seq >= self._look_seq or self._bytes >= self._look_bytes:
            self._look()

    async def commit(self, event: Event, *, state: SessionState | None = None) -> None:
        """Number a milestone, make it durable, and only then show it.

        Raises:
            JournalFailed: it could not be made durable, and nobody has seen it.

        Cancellation: none is taken within `close_s`, for a commit is short as a rule. While the
        journal is away it is taken later: then the milestone is numbered and not yet shown, and
        follows with whatever is committed next.
        """
        await self._wait(self._hand_milestone(event, state))
        self._settle()

    def commit_soon(self, event: Event) -> bool:
        """Number a milestone and hand it over; it is shown when somebody has waited for it.

        What is numbered behind it stays unseen as long as it does, and any later wait for this log
        (`commit`, `wait_shown`, `wait_noted`) covers it: neighbours become durable in one commit.

        Returns whether it has yet to be waited for.

        Raises:
            JournalFailed: it could not be made durable, and nobody has seen it.
        """
        self._hand_milestone(event, None)
        self._settle()
        if self.failure is not None:
            raise self.failure
        return bool(self._pending)

    async def wait_shown(self, *, is_shielded: bool = True) -> None:
        """Wait until every milestone that was numbered can be seen.

        Raises:
            JournalFailed: one of them could not be made durable.

        Cancellation: as `commit`; without the shield at once, and milestones are shown later.
        """
        while self._pending and self.failure is None:
            await self._wait(self._pending[0][1], shield_s=None if is_shielded else 0.0)
            self._settle()

    def note(self, *, opened: dict[str, int]) -> Commit:
        """Make a note durable that no reader sees: which attempts of which parts have begun.

        Raises:
            JournalFailed: the journal takes nothing more.
        """
        try:
            return self.journal.append_nowait(
                Batch(session_id=self.session_id, epoch=self.epoch, opened=opened)
            )
        except JournalFailed as error:
            self.failure = error
            raise

    async def wait_noted(self, commit: Commit) -> None:
        """Wait until a note is durable; the log takes nothing more if it never will be.

        Milestones that were numbered before it are durable then as well, and are shown.

        Raises:
            JournalFailed: it could not be made durable.

        Cancellation: the note is written all the same.
        """
        await self._wait(commit, shield_s=0.0)
        if self._pending:
            self._settle()

    async def wait_over(self) -> None:
        """Wait until all that was handed over is durable or has failed, and show what is durable.

        After a failure, and before `end_broken`: what is still on its way would take the place of
        the terminal event in the journal. Not where the journal was too slow already.

        Cancellation: none is taken within `close_s`; after that nothing more is waited for.
        """
        with trio.move_on_after(0 if self._is_stalled else self._limits.close_s, shield=True):
            try:
                while self._handed:
                    await self._handed[0][2].wait()
                    self._durable, self._durable_bytes, _ = self._handed.pop(0)
            except JournalFailed:  # and so will what comes behind it: there is a hole
                pass
        if self._durable > self.visible:
            self._publish(self._durable)

    def end_broken(self, event: Event) -> None:
        """Show a terminal event though the journal failed: silence would be worse.

        What nobody has seen is taken back first, so that a milestone that is not durable stays
        unseen (I2). Whatever is not durable is handed over once more, for the journal may have
        recovered: the end should be in it, or the session would come back after a restart.
        """
        keep = self.visible + 1 - self._base
        del self._entries[keep:], self._ends[keep:]
        self._bytes = self._ends[-1] if self._ends else self._bytes
        self.head = self.visible
        self._learn_durable()
        self._handed.clear()
        self._unsaved = min(self._durable, self.head) + 1
        self._pending.clear()
        seq = self._number(event, 0, self.clock()).seq
        try:
            self._hand_over("failed")
        except JournalFailed:
            _logger.error("session %s ends without its last event in the journal", self.session_id)
        self._publish(seq)

    async def wait_room(self) -> None:
        """Wait until the fastest reader and the journal are near enough.

        Raises:
            JournalFailed: a write failed.

        Cancellation: nothing has changed. Backpressure: this is where producers wait.
        """
        while self.is_full:
            if self._is_ahead:
                await self._room.park()
                continue
            self.save()
            if self._handed:
                await self._wait(self._handed[0][2], shield_s=0.0)
            if self.journal.is_full:
                await self.journal.wait_room()
            self._learn_durable()
            if self.failure is not None:
                raise self.failure
            self._measure()

    def now(self) -> float:
        """Give Unix time in seconds, as entries have it."""
        return self.clock()

    def save(self) -> None:
        """Hand what is unsaved to the journal now."""
        if self._unsaved <= self.head and self.failure is None:
            try:
                self._hand_over(None)
            except JournalFailed:  # remembered as `failure`
                return

    def _save_due(self) -> None:
        self._is_save_due = False
        self.save()

    def feed(self, entries: Iterable[Entry]) -> None:
        """Show what the process that runs the session has made durable, in this life or before.

        Entries that are here already are skipped; a merged one is split, so that the window has an
        entry for each offset.
        """
        before = self.head
        for merged in entries:
            if merged.seq <= self.head:
                continue
            for entry in split(merged):
                if entry.seq > self.head:
                    self.head = entry.seq
                    self._entries.append(entry)
                    self._bytes += size_of(entry.event) + _EVENT_BYTES
                    self._ends.append(self._bytes)
        if self.head > before:
            self._durable, self._durable_bytes = self.head, self._bytes
            self._unsaved = self.head + 1
            self._publish(self.head)
            self._trim()

    def end_nowhere(self) -> None:
        """Let readers go: the session was deleted, and nothing will follow."""
        self.is_ended = True
        self._wake_idle()

    def _number(self, event: Event, size_bytes: int, at: float) -> Entry:
        seq = self.head = self.head + 1
        entry = Entry(seq=seq, at=at, event=event)
        self._entries.append(entry)
        self._bytes += size_bytes + _EVENT_BYTES
        self._ends.append(self._bytes)
        return entry

    def _look(self) -> None:
        """Keep the window within its bounds, and say anew whether producers have to wait.

        Then say when to look again. Readers and journal only move forward, so until head or bytes
        have come as far as that, no bound can be reached, and an entry costs two comparisons.
        """
        if self.head >= self._tidy_seq or self._bytes - self._ends[0] > 2 * self._window_bytes:
            self._trim()
        self._measure()
        if self.is_full or self._is_late:
            self._look_seq = 0
            return
        seq, size = self._durable, self._durable_bytes
        if self.is_bounded:
            seq, size = min(seq, self._floor), min(size, self._floor_bytes)
        self._look_seq = min(min(seq, self._base) + self._window_events, self._tidy_seq)
        self._look_bytes = min(size, self._ends[0]) + self._window_bytes

    def _hand_over(self, state: SessionState | None) -> Commit:
        if self._handed:
            self._learn_durable()  # and let go of what was written
        entries = self._entries[self._unsaved - self._base :]
        merged = merge(entries, self._limits.merge_bytes) if len(entries) > 1 else tuple(entries)
        try:
            commit = self.journal.append_nowait(
                Batch(session_id=self.session_id, epoch=self.epoch, entries=merged, state=state)
            )
            self._unsaved = self.head + 1
            if not self._handed and commit.is_done:
                self._durable, self._durable_bytes = self.head, self._bytes
            else:
                self._handed.append((self.head, self._bytes, commit))
            if self.journal.is_full:
                self.is_full = self._is_late = True
                self._look_seq = 0
        except JournalFailed as error:  # what was numbered for it must never be shown
            self.failure = error
            raise
        return commit

    def _hand_milestone(self, event: Event, state: SessionState | None) -> Commit:
        """Number a milestone and hand it over; it is on its way, and hides what comes behind it."""
        if self.failure is not None:
            raise self.failure
        seq = self._number(event, 0, self.clock()).seq
        if seq >= self._tidy_seq:
            self._trim()
        commit = self._hand_over(state)
        self._pending.append((seq, commit))
        return commit

    async def _wait(self, commit: Commit, *, shield_s: float | None = None) -> None:
        """Wait for a commit as long as the journal has patience, for a while under a shield."""
        try:
            if commit.is_done:
                return
            patience_s = self.journal.patience_s
            shield_s = min(patience_s, self._limits.close_s) if shield_s is None else shield_s
            with trio.move_on_after(patience_s) as patience:
                if shield_s:
                    with trio.move_on_after(shield_s, shield=True):
                        await commit.wait()
                        return
                await commit.wait()
            if patience.cancelled_caught:
                self._is_stalled = True
                raise JournalFailed("the journal did not commit in time")
        except JournalFailed as error:  # from here on nothing can be promised, nor shown
            self.failure = error
            raise

    def _settle(self) -> None:
        shown = self.visible
        try:
            while self._pending and self._pending[0][1].is_done:
                shown, _ = self._pending.pop(0)
        except JournalFailed as error:  # a later one's, which its own task raises; these are due
            self.failure = error
        if self.failure is None:
            shown = self._pending[0][0] - 1 if self._pending else self.head
        # else what follows may be a milestone that the journal did not even take
        if shown > self.visible:
            self._publish(shown)

    def _publish(self, upto: int) -> None:
        apply, base = self.view.apply, self._base
        for index in range(self.visible + 1 - base, upto + 1 - base):
            apply(self._entries[index])
        self.visible = upto
        if self.view.terminal is not None:
            self.is_ended = True
        if self._idle:
            self._wake_idle()

    def _wake_idle(self) -> None:
        idle, self._idle = self._idle, []
        for reader in idle:
            reader.wake_up()

    def _trim(self) -> None:
        """Forget what is seen and durable, and older than the window or taken by every reader.

        Where what is older than the window may not be forgotten, producers have to wait.
        """
        self._learn_durable()
        limits = self._limits
        size = len(self._entries)
        limit = min(self._durable, self.visible) + 1 - self._base
        wanted = 0
        if size > 2 * limits.window_events:  # half of it at once: readers behind it are slow
            wanted = size - limits.window_events
        if self._bytes - self._ends[0] > 2 * limits.window_bytes:
            wanted = max(wanted, bisect_right(self._ends, self._bytes - limits.window_bytes))
        drop = min(limit, wanted)
        self._is_late = drop < wanted
        taken = min((reader.cursor for reader in self.readers), default=self._floor)
        drop = max(drop, min(limit, taken + 1 - self._base, size - limits.kept_events))
        if drop > 0:
            del self._entries[:drop], self._ends[:drop]
            self._base += drop
        self._tidy_seq = min(self.head + limits.kept_events, self._base + 2 * limits.window_events)

    def _learn_durable(self) -> None:
        try:
            while self._handed and self._handed[0][2].is_done:
                self._durable, self._durable_bytes, _ = self._handed.pop(0)
        except JournalFailed as error:
            self.failure = error

    def _measure(self) -> None:
        """Say anew whether producers have to wait."""
        is_ahead = self.is_full = self._is_ahead
        if not is_ahead and (
            self._is_late or self.head - self._durable > self._limits.window_events
        ):
            self._learn_durable()
            self.is_full = self._is_late = self._waits_for_journal()
        if not is_ahead and self._room:
            self._room.unpark_all()

    @property
    def _is_ahead(self) -> bool:
        return self.is_bounded and (
            self.head - self._floor >= self._limits.window_events
            or self._bytes - self._floor_bytes >= self._limits.window_bytes
        )

    def _waits_for_journal(self) -> bool:
        """Whether the journal, or this log's part of it, is as far behind as it may be."""
        limits = self._limits
        return (
            self.head - self._durable > limits.window_events
            or self._bytes - self._durable_bytes > limits.window_bytes
            or self.journal.is_full
        )

    def view_ahead(self) -> View:
        """Give the fold up to `head`: what readers will see once all milestones are durable.

        Only for the session itself, whose own entries come after them in any case.
        """
        if self.visible == self.head:
            return self.view
        view = self.view.copy()
        for entry in self._entries[self.visible + 1 - self._base :]:
            view.apply(entry)
        return view

    def latest(self, part: Part) -> tuple[Part, str]:
        """Give a part's newest attempt and its text so far, up to `head`.

        The view ends at `visible`: while another lane's milestone is being committed, it lacks
        what readers will have been given by the time they see the next entry.
        """
        view = self.view.parts.get(part.id)
        texts: list[str] = []
        if view is not None:
            part, texts = view.part, [view.text]
        for entry in self._entries[self.visible + 1 - self._base :]:
            event = entry.event
            if isinstance(event, Delta | Attempt) and event.part.id == part.id:
                if event.part.attempt != part.attempt:
                    texts.clear()
                part = event.part
                if isinstance(event, Delta):
                    texts.append(event.text)
        return part, "".join(texts)

    # ---- reading (for Subscription) --------------------------------------------------------------

    @property
    def earliest_in_window(self) -> int:
        """The lowest offset that is in memory."""
        return self._base

    def window(self, after_seq: int, max_bytes: int) -> tuple[Entry, ...]:
        """Give visible entries after an offset that is in the window, merged, at least one.

        Args:
            after_seq: the reader's cursor; at least `earliest_in_window - 1`, below `visible`.
            max_bytes: about how much text to give at once.
        """
        start = after_seq + 1 - self._base
        stop = self.visible + 1 - self._base
        if stop - start == 1:
            return (self._entries[start],)
        bound = (self._ends[start - 1] if start else 0) + max_bytes
        stop = min(stop, max(start + 1, bisect_right(self._ends, bound, start, stop)))
        merged = merge(self._entries[start:stop], self._limits.merge_bytes)
        self._telemetry.merged_messages += stop - start - len(merged)
        return merged

    def take_newest(self, after_seq: int) -> Entry | None:
        """Give a reader the newest entry, if that is the only one after its cursor, as taken.

        It is what `window` and `moved` do together, for the one case in which each delta comes
        alone.
        """
        visible = self.visible
        if after_seq + 1 != visible or visible < self._base:  # a log opened from the journal
            return None
        index = visible - self._base
        if visible > self._floor:
            self._floor, self._floor_bytes = visible, self._ends[index]
            if self.is_full:
                self._measure()
        return self._entries[index]

    def arm(self, reader: Reader) -> None:
        """Have an idle reader woken by the next entry."""
        self._idle.append(reader)

    def disarm(self, reader: Reader) -> bool:
        """Take it back; gives whether the reader was idle."""
        is_idle = reader in self._idle
        if is_idle:
            self._idle.remove(reader)
        return is_idle

    @property
    def floor(self) -> int:
        """How far the fastest reader is."""
        return self._floor

    @property
    def durable(self) -> int:
        """The last offset that this life is known to have made durable."""
        self._learn_durable()
        return self._durable

    def moved(self, cursor: int) -> None:
        """Learn that a reader has taken everything up to an offset."""
        if cursor > self._floor:
            self._floor = cursor
            index = cursor - self._base
            if 0 <= index < len(self._ends):
                self._floor_bytes = self._ends[index]
            if self.is_full:
                self._measure()

    def untaken_tokens(self) -> int:
        """Give how many tokens of text no reader has taken.

        Exact while the fastest reader is within the window; behind it, what it took of a part
        that still goes on counts as well.
        """
        if self._floor >= self.visible:
            return 0
        seen: dict[tuple[str, int], int] = {}
        last: dict[tuple[str, int], int] = {}
        for entry in self._entries:
            event = entry.event
            if isinstance(event, Delta):
                found = seen if entry.seq <= self._floor else last
                found[event.part.id, event.part.attempt] = event.tokens
        return sum(tokens - seen.get(key, 0) for key, tokens in last.items())

    def unbind(self) -> None:
        """Let producers run ahead of all readers from now on (the session is detached)."""
        self.is_bounded = False
        self._look_seq = 0
        self._measure()

    def statistics(self) -> LogStatistics:
        """Give the figures of the moment."""
        return LogStatistics(
            head=self.head,
            visible=self.visible,
            durable=self._durable,
            window_events=len(self._entries),
            window_bytes=self._bytes - (self._ends[0] if self._ends else self._bytes),
            readers=len(self.readers),
            is_full=self.is_full,
        )

    def __repr__(self) -> str:
        return f"<Log {self.session_id} head {self.head} visible {self.visible}>"


class LogStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A log's figures."""

    head: int
    visible: int
    durable: int
    window_events: int
    window_bytes: int
    readers: int
    is_full: bool


def size_of(event: Event) -> int:
    """About how many bytes an event that is no milestone carries."""
    match event:
        case Delta() | Reasoning():
            return len(event.text)
        case Item() | Progress():
            return len(msgspec.json.encode(event.data)) if event.data else 0
        case _:
            return 0
