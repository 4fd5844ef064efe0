"""What a run has measured: histograms and counts that add up over processes.

Times are kept in µs in HDR histograms (Gil Tene's): any percentile within 0.1 %, whatever the
range, and the sum of two workers' histograms is the histogram of their sum, which no list of
percentiles is. Pure: it is told times and reads no clock.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # it has none

from benchmarks.load.limits import DIGITS, LONGEST_US

MEASURES = {
    "connect": "opening a connection",
    "start_delay": "from the intended to the actual start",
    "ttft": "time to first token, from the actual start: when the request was sent",
    "ttft_intended": "time to first token, from the intended start",
    "itl": "inter-token latency: between two messages that bring tokens of one part",
    "tpot": "time per output token: a part's mean after its first token",
    "e2e": "end to end, from the actual start, of completed requests",
    "e2e_intended": "end to end, from the intended start",
    "cancel_to_silence": "from a cancel's sending to the last token after it; 0 if none came",
    "cancel_to_end": "from a cancel's sending to the terminal message",
    "cancel_to_upstream_told": "from a cancel's acceptance to the upstream's close, by the receipt",
    "cancel_to_upstream_seen": "from a cancel's sending to the close that the upstream double saw",
    "resume": "from the loss of a connection to the first message after it",
    "resume_answer": "from the request to go on to the first message after it",
    "lateness": "behind the server's pace, counted from the request's most punctual token",
}
"""Every histogram and what it holds."""


class Counts(msgspec.Struct, kw_only=True):
    """What is counted; all of it adds up."""

    started: int = 0
    """Requests that were begun."""
    completed: int = 0
    """Requests that reached their own final message."""
    cancelled: int = 0
    """Requests that ended as cancelled."""
    failed: int = 0
    """Requests that ended in an error."""
    unfinished: int = 0
    """Requests that were still open when the run's patience ended."""
    stopped: int = 0
    """Requests that were open when the run was interrupted; neither good nor bad."""
    unsure: int = 0
    """Requests whose connection was lost before anything came back, in a storm or a kill."""
    tokens: int = 0
    """As the server counts them; where it does not, messages that bring text."""
    messages: int = 0
    """WebSocket messages, or server-sent events."""
    received_bytes: int = 0
    """Of messages, without framing."""
    numbered: int = 0
    """Requests whose messages are numbered: only there lost and doubled ones can be seen."""
    lost: int = 0
    """Numbered events that never came."""
    doubled: int = 0
    """Numbered events that came more than once."""
    cancels: int = 0
    """Cancels that were sent."""
    uncancelled: int = 0
    """Cancels without effect within the limit, or with tokens after the cancelled end."""
    raced: int = 0
    """Requests that completed while the cancel was on its way: nobody's fault."""
    tokens_after_cancel: int = 0
    """Tokens that came after the cancel was sent; those on the way are among them."""
    losses: int = 0
    """Connections that were cut or lost where clients come back."""
    resumed: int = 0
    """Of those, how many heard something again."""
    held_back: int = 0
    """Starts that waited because `--max-open` requests were open."""
    judged: int = 0
    """Requests that the stated limits were applied to."""
    good: int = 0
    """Of those, how many kept every limit."""


class Evenness(msgspec.Struct, kw_only=True):
    """Sums for Jain's index (DEC-TR-301, 1984), which thereby adds up over processes."""

    number: int = 0
    total: float = 0.0
    squares: float = 0.0

    def take(self, value: float) -> None:
        """Take one share."""
        self.number += 1
        self.total += value
        self.squares += value * value

    def add(self, other: Evenness) -> None:
        """Take all shares of another one."""
        self.number += other.number
        self.total += other.total
        self.squares += other.squares

    @property
    def index(self) -> float | None:
        """1: all are equal; 1/n: one has all; None: there is nothing to compare."""
        if self.number < 2 or not self.squares:
            return None
        return self.total**2 / (self.number * self.squares)


class Second(msgspec.Struct, kw_only=True):
    """One second of the run."""

    started: int = 0
    """Requests that started in it."""
    ended: int = 0
    """Requests that ended in it, however."""
    failed: int = 0
    """Those that failed."""
    tokens: int = 0
    """Tokens that came in it, as messages tell."""


class Cancelled(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One cancel that was sent, for the upstream double's word about it."""

    number: int
    sent_at: float
    """On the clock that all processes share, in seconds."""
    counts: bool
    """Whether the request ended as cancelled (and did not complete in the same moment)."""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """Measures as they leave a process."""

    histograms: dict[str, str]
    counts: Counts
    errors: dict[str, int]
    broken: dict[str, int]
    requests_evenness: Evenness
    parts_evenness: Evenness
    seconds: dict[int, Second]
    cancelled: list[Cancelled]


class Measures:
    """What one process, or all of them, have measured."""

    def __init__(self) -> None:
        self.histograms: dict[str, Any] = {}
        self.counts = Counts()
        self.errors: dict[str, int] = {}
        """By code: how many requests failed so."""
        self.broken: dict[str, int] = {}
        """By limit: how many requests broke it."""
        self.requests_evenness = Evenness()
        """Of completed requests' tokens a second."""
        self.parts_evenness = Evenness()
        """Of Jain's index among the parts of one request; `total / number` is its mean."""
        self.seconds: dict[int, Second] = {}
        self.cancelled: list[Cancelled] = []

    def record(self, name: str, seconds: float) -> None:
        """Take one duration; what is over an hour counts as an hour."""
        histogram = self.histograms.get(name)
        if histogram is None:
            assert name in MEASURES, name
            histogram = self.histograms[name] = HdrHistogram(1, LONGEST_US, DIGITS)
        histogram.record_value(min(LONGEST_US, max(0, round(seconds * 1e6))))

    def second(self, at_s: float) -> Second:
        """Give the second of the run that a moment falls into."""
        key = max(0, int(at_s))
        found = self.seconds.get(key)
        if found is None:
            found = self.seconds[key] = Second()
        return found

    def fail(self, code: str) -> None:
        """Count a failed request."""
        self.counts.failed += 1
        self.errors[code] = self.errors.get(code, 0) + 1

    def save(self) -> Saved:
        """Give everything in a form that can be sent."""
        return Saved(
            histograms={name: found.encode().decode() for name, found in self.histograms.items()},
            counts=self.counts,
            errors=self.errors,
            broken=self.broken,
            requests_evenness=self.requests_evenness,
            parts_evenness=self.parts_evenness,
            seconds=self.seconds,
            cancelled=self.cancelled,
        )

    def add(self, saved: Saved) -> None:
        """Take what another process has measured."""
        for name, encoded in saved.histograms.items():
            if name in self.histograms:
                self.histograms[name].decode_and_add(encoded)
            else:
                self.histograms[name] = HdrHistogram.decode(encoded)
        for field in Counts.__struct_fields__:
            mine, theirs = getattr(self.counts, field), getattr(saved.counts, field)
            setattr(self.counts, field, mine + theirs)
        for mine_by_name, theirs_by_name in (
            (self.errors, saved.errors),
            (self.broken, saved.broken),
        ):
            for name, number in theirs_by_name.items():
                mine_by_name[name] = mine_by_name.get(name, 0) + number
        self.requests_evenness.add(saved.requests_evenness)
        self.parts_evenness.add(saved.parts_evenness)
        for key, theirs in saved.seconds.items():
            second = self.second(key)
            for field in Second.__struct_fields__:
                setattr(second, field, getattr(second, field) + getattr(theirs, field))
        self.cancelled += saved.cancelled


def percentile_ms(histogram: Any, percentile: float) -> float:
    """Give a percentile by nearest rank, in ms."""
    if percentile >= 100:
        return float(histogram.get_max_value()) / 1000
    number = histogram.get_total_count()
    if not number:
        return 0.0
    # The library rounds a rank that falls between two; told a whole one, it takes the one above.
    rank = max(1, ceil(percentile * number / 100 - 1e-9))
    return float(histogram.get_value_at_percentile(100 * rank / number)) / 1000
