"""When each token is due: by absolute deadlines, so that lateness never adds up.

The n-th token is due at start + time to first token + n / rate; with bursts, at the due time of its
burst's first token. A reader that was slow finds the tokens that were due meanwhile without a
pause. With a shared timer wheel a wake-up costs a third of what trio's own sleep costs (see
PERFORMANCE notes in docs); without one it is `trio.sleep_until`. Must not know what is written.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable
from typing import Protocol

import trio

from engine.providers.simulation.settings import Pace

CHECKPOINT_TOKENS = 64
"""Without pauses, the event loop still gets its turn after this many tokens: some 30 µs."""


class Wheel(Protocol):
    """A timer that many tasks share."""

    def sleep_until(self, deadline: float, /) -> Awaitable[object]:
        """Sleep until a moment of trio's clock, in seconds."""
        ...


class Pacer:
    """The clock of one answer, which begins when it is made.

    Args:
        pace: when tokens come.
        seed: what jitter is drawn by; the same seed gives the same pauses.
        wheel: a shared timer, or None for trio's own.
    """

    def __init__(self, pace: Pace, seed: bytes, wheel: Wheel | None = None) -> None:
        self._pace = pace
        # A generator's state is 2.5 KB: made only where something is drawn.
        self._rng = random.Random(seed) if pace.jitter_s else None
        self._sleep_until = trio.sleep_until if wheel is None else wheel.sleep_until
        self._first_due = trio.current_time() + pace.ttft_s
        self._unchecked = 0
        self.group_tokens = pace.burst if pace.tokens_per_s else CHECKPOINT_TOKENS
        """How many tokens come after each `wait`."""

    def pause(self, index: int) -> Awaitable[object] | None:
        """Give what to await until token `index`, the first of its group, is due; None: it is.

        Cancellation of what is given: at once, and nothing is left. Without a pause it is a
        checkpoint for the first token and then at least each `CHECKPOINT_TOKENS` tokens.
        """
        pace = self._pace
        deadline = self._first_due
        if pace.tokens_per_s:
            deadline += index / pace.tokens_per_s
        if self._rng is not None:
            deadline += self._rng.random() * pace.jitter_s
        if deadline > trio.current_time():
            self._unchecked = 0
            return self._sleep_until(deadline)
        self._unchecked += self.group_tokens
        if index == 0 or self._unchecked >= CHECKPOINT_TOKENS:
            self._unchecked = 0
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - the caller awaits it
        return None

    async def wait(self, index: int) -> None:
        """Wait until token `index` is due; as `pause`."""
        pause = self.pause(index)
        if pause is not None:
            await pause
