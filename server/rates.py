"""How often a user may call: so many runs in any minute, so many requests a second.

The one rule: what was refused does not count. A place is taken before the work begins, so that
calls side by side cannot overshoot, and given back if it did not begin (I14). Each process counts,
and in a cluster all of them count together, too; while the board is away a process's own count is
what holds. Must not import Quart.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import trio

from engine import Counting, RateLimited

MINUTE_S = 60.0

LONGEST_TURN_S = 5.0
"""A request that would wait longer is refused."""

GIVE_BACK_S = 1.0
"""How long giving a place back may take when everything else has been cancelled."""


class Rate:
    """A bound on calls in a sliding window, for each user.

    Args:
        calls: how many; 0 is no bound.
        window_s: in how many seconds.
        counting: counts for all processes; None: there is one.
    """

    def __init__(
        self, calls: int, window_s: float = MINUTE_S, counting: Counting | None = None
    ) -> None:
        self._calls = calls
        self._window_s = window_s
        self._counting = counting
        self._times: dict[str, deque[float]] = {}
        self._swept_at = trio.current_time()

    @asynccontextmanager
    async def call(self, user: str) -> AsyncIterator[None]:
        """Count a call while the block starts it; a block that raises counts as none.

        Raises:
            RateLimited: there were as many as there may be; says when there is room again.

        Cancellation: as any other exception: the place is given back.
        """
        if not self._calls:
            yield
            return
        with self._call_here(user):
            if self._counting is None:
                yield
                return
            async with self._call_anywhere(self._counting, user):
                yield

    @asynccontextmanager
    async def _call_anywhere(self, counting: Counting, user: str) -> AsyncIterator[None]:
        place = uuid.uuid4().hex
        try:
            found = await counting.take_place(
                "runs", user, place, limit=self._calls, window_s=self._window_s
            )
            if found is not None and not found.is_taken:
                raise self._refusal(found.free_in_s)
            yield
        except BaseException:
            with trio.move_on_after(GIVE_BACK_S, shield=True):
                await counting.give_place_back("runs", user, place)
            raise

    def _refusal(self, free_in_s: float) -> RateLimited:
        return RateLimited(
            f"{self._calls} runs in {self._window_s:g} s is the most for a user",
            retry_after_s=round(max(0.001, free_in_s), 3),
        )

    @contextmanager
    def _call_here(self, user: str) -> Iterator[None]:
        now = trio.current_time()
        self._sweep(now)
        times = self._times.setdefault(user, deque())
        self._forget_old(times, now)
        if len(times) >= self._calls:
            raise self._refusal(times[0] + self._window_s - now)
        times.append(now)
        try:
            yield
        except BaseException:
            with suppress(ValueError):  # it took longer than the window, and was forgotten
                times.remove(now)
            raise

    def _sweep(self, now: float) -> None:
        """Forget the users who have not called in a window, once in a window."""
        if now - self._swept_at < self._window_s:
            return
        self._swept_at = now
        for user, times in tuple(self._times.items()):
            self._forget_old(times, now)
            if not times:
                del self._times[user]

    def _forget_old(self, times: deque[float], now: float) -> None:
        while times and times[0] <= now - self._window_s:
            times.popleft()

    def __repr__(self) -> str:
        return f"<Rate {self._calls} in {self._window_s:g} s, {len(self._times)} users>"


class Pace:
    """A bound on a user's requests and messages: what comes faster waits, and takes no time.

    A leaky bucket (GCRA, ITU-T I.371): each user has a burst free, then one request an interval.

    Args:
        per_s: requests a second; 0 is no bound.
        burst: how many may come at once.
        counting: counts for all processes; None: there is one.
    """

    def __init__(
        self, per_s: float = 0.0, burst: int = 100, counting: Counting | None = None
    ) -> None:
        self._counting = counting
        self._interval_s = 1 / per_s if per_s else 0.0
        self._ahead_s = burst * self._interval_s
        self._due: dict[str, float] = {}
        self._swept_at = 0.0

    async def turn(self, user: str) -> None:
        """Wait for a user's turn.

        Raises:
            RateLimited: so many of the user's requests wait already that this one would for long.

        Cancellation: the turn is used up. Backpressure: the connection is not read meanwhile.
        """
        if not self._interval_s:
            return
        wait_s = max(self._turn_here(user), await self._turn_anywhere(user))
        if wait_s > 0:
            await trio.sleep(wait_s)

    async def _turn_anywhere(self, user: str) -> float:
        if self._counting is None:
            return 0.0
        wait_s = await self._counting.take_turn(
            "pace",
            user,
            interval_s=self._interval_s,
            ahead_s=self._ahead_s,
            longest_s=LONGEST_TURN_S,
        )
        if wait_s is None:
            return 0.0
        if wait_s > LONGEST_TURN_S:
            raise RateLimited("too many requests at once", retry_after_s=round(wait_s, 3))
        return wait_s

    def _turn_here(self, user: str) -> float:
        now = trio.current_time()
        self._sweep(now)
        due = max(self._due.get(user, 0.0), now)
        wait_s = due - self._ahead_s - now
        if wait_s > LONGEST_TURN_S:
            raise RateLimited("too many requests at once", retry_after_s=round(wait_s, 3))
        self._due[user] = due + self._interval_s
        return wait_s

    def _sweep(self, now: float) -> None:
        """Forget the users whose burst is whole again, now and then."""
        if now - self._swept_at < MINUTE_S:
            return
        self._swept_at = now
        self._due = {user: due for user, due in self._due.items() if due > now}
