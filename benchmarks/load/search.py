"""Find the highest rate that a server holds: double until it does not, then halve the rest. Pure.

    search = RateSearch(start=5, highest=1000)
    while (rate := search.next_rate()) is not None:
        search.told(rate, held=run_at(rate))

Bounded by `limits.MAX_PROBES` and `limits.SEARCH_PRECISION`. A server that holds a rate is taken to
hold every lower one.
"""

from __future__ import annotations

from math import sqrt

from benchmarks.load.limits import MAX_PROBES, SEARCH_PRECISION


class RateSearch:
    """The state of a search.

    Args:
        start: the first rate to try, in requests a second.
        highest: none above this is tried.
        probes: how often at most.
    """

    def __init__(self, *, start: float, highest: float, probes: int = MAX_PROBES) -> None:
        if not 0 < start <= highest:
            raise ValueError(f"a search from {start:g} to {highest:g} has no rates")
        self.holds: float | None = None
        """The highest rate that held."""
        self.breaks: float | None = None
        """The lowest rate that did not."""
        self._start = start
        self._highest = highest
        self._left = probes

    def next_rate(self) -> float | None:
        """Give the rate to try next; None: it is found, or the probes are used up."""
        if self._left == 0:
            return None
        if self.holds is None:
            rate = self._start if self.breaks is None else self.breaks / 2
            return rate if rate > self._start / 1000 else None
        if self.breaks is None:
            rate = min(self.holds * 2, self._highest)
            return rate if rate > self.holds else None
        if self.breaks - self.holds <= SEARCH_PRECISION * self.holds:
            return None
        return sqrt(self.holds * self.breaks)  # the middle, as ratios go

    def told(self, rate: float, *, held: bool) -> None:
        """Take the answer for a rate."""
        self._left -= 1
        if held:
            self.holds = rate if self.holds is None else max(self.holds, rate)
        else:
            self.breaks = rate if self.breaks is None else min(self.breaks, rate)

    def stop(self) -> None:
        """Try no more: what was found stays."""
        self._left = 0
