"""The outlet: the one way for a part's text into its session's log, with rollup.

The first delta of an attempt goes out at once. After that, deltas that come faster than the rollup
window are joined before they are numbered, so a burst costs one event, one frame and one wake-up.
A delta costs no task, timer, lock or cancel scope. Must not import providers or pipelines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.events import Delta, Part

if TYPE_CHECKING:
    from engine.limits import Limits
    from engine.sessions.delays import DelayLine
    from engine.sessions.log import Log
    from engine.sessions.stopping import Stop


class Outlet:
    """Numbers one attempt's text.

    Args:
        part: the part, with its attempt.
        log: where it goes.
        rollup: calls back after the rollup window.
    """

    __slots__ = (
        "_clock",
        "_is_due",
        "_last_at",
        "_log",
        "_pieces",
        "_rollup",
        "_rollup_bytes",
        "_size",
        "_window_s",
        "part",
        "stop",
        "tokens",
    )

    def __init__(self, part: Part, log: Log, rollup: DelayLine, limits: Limits) -> None:
        self.part = part
        self.tokens = 0
        """Output tokens of the attempt so far."""
        self.stop: Stop | None = None
        """The accepted cancel, if there is one: what comes after it is counted and dropped."""
        self._log = log
        self._clock = log.clock
        self._rollup = rollup
        self._window_s = limits.rollup_s
        self._rollup_bytes = limits.rollup_bytes
        self._last_at = float("-inf")
        self._pieces: list[str] = []
        self._size = 0
        self._is_due = False

    def write_nowait(self, text: str, tokens: int) -> None:
        """Take more text; `tokens` is what this piece counts for.

        Raises:
            JournalFailed: the log takes nothing more.

        Backpressure: none here; a producer awaits `Log.wait_room` when the log is full.
        """
        if self.stop is not None:
            self.stop.tokens += tokens
            return
        self.tokens += tokens
        if not self._pieces:
            now = self._clock()
            wait_s = self._last_at + self._window_s - now
            if wait_s <= 0:
                self._last_at = now
                self._log.append(
                    Delta(part=self.part, text=text, tokens=self.tokens), len(text), now
                )
                return
            if not self._is_due:
                # To the end of this window, and not for a whole one: else one late delta would make
                # the next one late, and that the next, at any pace up to two windows.
                self._is_due = True
                self._rollup.call(self._flush_due, wait_s)
        self._pieces.append(text)
        self._size += len(text)
        if self._size >= self._rollup_bytes:
            self.flush()

    def flush(self) -> None:
        """Number what has gathered, now."""
        if self._pieces:
            text = "".join(self._pieces)
            self._pieces.clear()
            self._size = 0
            now = self._last_at = self._clock()
            self._log.append(Delta(part=self.part, text=text, tokens=self.tokens), len(text), now)

    def close(self, stop: Stop | None = None) -> None:
        """Number what has gathered, and count and drop what comes after an accepted cancel."""
        if self.stop is None:
            self.flush()
            self.stop = stop

    def _flush_due(self) -> None:
        self._is_due = False
        if self._pieces and self.stop is None:
            self.flush()

    def __repr__(self) -> str:
        return f"<Outlet {self.part.id}, {self.tokens} tokens, {self._size} waiting>"
