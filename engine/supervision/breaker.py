"""A circuit breaker: after too many failures, say no at once instead of waiting again.

The one rule: this is a pure state machine. It does no I/O, reads no clock and never waits; the
caller brings the time of a monotonic clock, so that the table below can be tested row by row.

    state      what comes                            next
    closed     success                               closed
    closed     failure, fewer than `failures` of
               the last `calls`                      closed
    closed     failure number `failures` of the
               last `calls`                          open
    open       admit, before `reset_s` has passed    open (refused)
    open       admit, after it                       half_open (this one call is the probe)
    half_open  admit, while the probe is under way   half_open (refused)
    half_open  success                               closed, all is forgotten
    half_open  failure                               open, for `reset_s` again

A probe that was neither a success nor a failure (its caller was cancelled) is given back with
`forget`. Wrapped around model providers and around the sources of knowledge alike. Must not import
anything of the engine.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]


class Breaker:
    """The breaker of one upstream.

    Args:
        failures: failures that open it, among the last `calls` outcomes.
        reset_s: seconds for which it then refuses; after that one call is let through as a probe.
        calls: how many outcomes it looks back on; None: as many as `failures`, so that only
            failures in a row open it. An upstream with many calls at once needs more than that.

    Raises:
        ValueError: `failures` is not from 1 to `calls`.
    """

    def __init__(self, *, failures: int, reset_s: float, calls: int | None = None) -> None:
        if failures < 1:
            raise ValueError("a breaker opens after 1 failure at the earliest")
        if calls is not None and calls < failures:
            raise ValueError(f"{failures} failures do not fit into {calls} calls")
        self._threshold = failures
        self._reset_s = reset_s
        self._state: BreakerState = "closed"
        self._outcomes: deque[bool] = deque(maxlen=calls or failures)
        self._opened_at = 0.0

    @property
    def state(self) -> BreakerState:
        """The state as of the last call; an open breaker turns half open in `admit` only."""
        return self._state

    def admit(self, now: float) -> bool:
        """Whether a call may go out now.

        Each call that was admitted has to be ended by `succeed`, `fail` or `forget`: the probe
        holds the only place of a half-open breaker.

        Args:
            now: the monotonic clock, in seconds.
        """
        if self._state == "closed":
            return True
        if self._state == "open" and now - self._opened_at >= self._reset_s:
            self._state = "half_open"
            return True
        return False

    def retry_after_s(self, now: float) -> float:
        """Seconds until a call may be admitted again; 0.0 where it may be now."""
        if self._state == "closed":
            return 0.0
        return max(0.0, self._opened_at + self._reset_s - now)

    def succeed(self) -> None:
        """A call that was admitted ended well."""
        if self._state == "open":
            return  # it set out before the breaker opened: old news, the probe will decide
        if self._state == "half_open":
            self._state = "closed"
            self._outcomes.clear()
        self._outcomes.append(True)

    def fail(self, now: float) -> None:
        """A call that was admitted failed, and it was the upstream's fault."""
        if self._state == "open":
            return  # a straggler; it must not push the probe further away
        self._outcomes.append(False)
        if self._state == "half_open" or self._failed >= self._threshold:
            self._state = "open"
            self._opened_at = now

    def forget(self) -> None:
        """A call that was admitted ended without an outcome (cancelled): free the probe's place."""
        if self._state == "half_open":
            self._state = "open"  # `_opened_at` is long past: the next call becomes the probe

    @property
    def _failed(self) -> int:
        return self._outcomes.count(False)

    def __repr__(self) -> str:
        return f"<Breaker {self._state}, {self._failed} of {self._threshold} failures>"
