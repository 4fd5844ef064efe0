"""What a run will do, decided before it begins: which request starts when, and what befalls it.

The one rule: a plan is pure data. The same plan gives the same intents in every process, so the
workers need no word from each other: each takes its share.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from benchmarks.load import limits
from benchmarks.load.arrivals import Arrivals, Closed, Constant, offsets


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Some requests are cancelled."""

    share: float = 1.0
    """Of all requests, 0 to 1."""
    after_s: tuple[float, float] | None = (0.2, 2.0)
    """When, counted from the request's sending: a moment between these two, evenly spread."""
    after_tokens: int | None = None
    """In its place: right after so many tokens."""


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """All connections are cut at one moment, and come back."""

    at_s: float = 2.0
    """When, counted from the run's start."""
    rounds: int = 1
    """How often, the same time apart."""
    spread_s: float = 0.0
    """Clients come back within so much time; 0: all at once, as clients do that were never told."""


class Slow(msgspec.Struct, frozen=True, kw_only=True):
    """Some clients read slowly."""

    share: float = 0.2
    bytes_per_s: float = limits.SLOW_BYTES_PER_S


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """The server is killed; clients come back when it does."""

    at_s: float = 3.0
    """When, counted from the run's start."""


class Slo(msgspec.Struct, frozen=True, kw_only=True):
    """The limits within which a request counts as good; None: not judged.

    Times from the start are those from the intended one.
    """

    ttft_ms: float | None = None
    """Time to first token."""
    itl_ms: float | None = None
    """The longest pause between two messages with tokens."""
    tpot_ms: float | None = None
    """Time per output token, on average after the first."""
    e2e_ms: float | None = None
    """End to end."""
    cancel_ms: float | None = None
    """From the cancel to the last token, and to the end."""
    resume_ms: float | None = None
    """From the loss of a connection to the first message after it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    url: str
    """Where the server is: `http://host:port`, with a base path where it has one."""
    target: str
    """What is spoken there: an adapter's name, or MODULE:NAME of one's own."""
    options: dict[str, Any] = {}
    """For the adapter."""
    arrivals: Arrivals = Constant(rate_per_s=limits.RATE_PER_S)
    """When requests start; `type` says which kind it is."""
    scenario: str = "plain"
    """Its name, for the report; what happens stands in the four below."""
    cancel: Cancel | None = None
    """Whom a cancel befalls, and when; null: nobody."""
    storm: Storm | None = None
    """When all connections are cut; null: never."""
    slow: Slow | None = None
    """Who reads slowly; null: nobody."""
    kill: Kill | None = None
    """When the server is killed; null: never."""
    slo: Slo = Slo()
    """The limits that are stated for each request."""
    min_goodput: float = 0.99
    """The share of good requests below which the run has failed, where limits are stated."""
    max_error_share: float = 0.0
    """The share of requests that may fail."""
    min_fairness: float | None = None
    """Jain's index below which the run has failed; None: not judged."""
    duration_s: float = limits.DURATION_S
    """Requests arrive for so long."""
    max_requests: int = limits.REQUESTS
    """However long that is."""
    max_open: int = limits.MAX_OPEN
    """Requests that are open at once, over all processes."""
    settle_s: float = limits.SETTLE_S
    """The longest that open requests may take after that."""
    preconnect: bool = False
    """Open every connection before the run begins."""
    pace_per_s: float | None = None
    """The tokens a second that the server means to send: gives `lateness`."""
    max_lag_ms: float = limits.MAX_LAG_MS
    """A worker whose loop is later at its p99 makes the run invalid."""
    allow_saturation: bool = False
    """Take a run whose limit was the tool as it is: only counts and the server's CPU hold."""
    seed: int = 1
    """Of all that is random."""

    @property
    def resumes(self) -> bool:
        """Whether clients come back when a connection is lost."""
        return self.storm is not None or self.kill is not None


class Intent(NamedTuple):
    """One request, as it is meant to be."""

    number: int
    at_s: float
    """The intended start, from the run's."""
    cancel_after_s: float | None = None
    cancel_after_tokens: int | None = None
    bytes_per_s: float | None = None
    """How fast it reads; None: as fast as it comes."""


def intents(plan: Plan, *, share: int = 0, of: int = 1) -> Iterator[Intent]:
    """Give a process's share of the requests, in the order of their starts.

    Every `of`-th of all is its own, so each process has the same pattern at a part of the rate. For
    a closed loop these are the users' first requests.
    """
    when = offsets(plan.arrivals, random.Random(f"{plan.seed} arrivals"))
    cut = itertools.takewhile(lambda at_s: at_s <= plan.duration_s, when)
    bounded = itertools.islice(cut, plan.max_requests)
    for number, at_s in enumerate(bounded):
        if number % of == share:
            yield intent(plan, number, at_s)


def intent(plan: Plan, number: int, at_s: float) -> Intent:
    """Decide what befalls the request of this number; the same in every process."""
    dice = random.Random(f"{plan.seed} {number}")
    after_s = after_tokens = bytes_per_s = None
    if plan.cancel is not None and dice.random() < plan.cancel.share:
        if plan.cancel.after_tokens is not None:
            after_tokens = plan.cancel.after_tokens
        elif plan.cancel.after_s is not None:
            after_s = dice.uniform(*plan.cancel.after_s)
    if plan.slow is not None and dice.random() < plan.slow.share:
        bytes_per_s = plan.slow.bytes_per_s
    return Intent(number, at_s, after_s, after_tokens, bytes_per_s)


def check(plan: Plan) -> None:
    """See that a plan is within its bounds.

    Raises:
        ValueError: it is not; the message names what, and what is allowed.
    """
    bounds: tuple[tuple[str, float, float, float], ...] = (
        ("--duration-s", plan.duration_s, 0.1, limits.MAX_DURATION_S),
        ("--requests", plan.max_requests, 1, limits.MAX_REQUESTS),
        ("--max-open", plan.max_open, 1, limits.MOST_OPEN),
        ("--settle-s", plan.settle_s, 0, limits.MAX_DURATION_S),
        ("--goodput", plan.min_goodput, 0, 1),
        ("--allow-errors", plan.max_error_share, 0, 1),
        ("--max-lag-ms", plan.max_lag_ms, 1, 60_000),
    )
    for name, value, lowest, highest in bounds:
        if not lowest <= value <= highest:
            raise ValueError(f"{name} is {value:g}; allowed is {lowest:g} to {highest:g}")
    for name in ("rate_per_s", "to_rate_per_s", "burst", "users"):
        value = getattr(plan.arrivals, name, 1.0)
        if not 0 < value <= 100_000:
            raise ValueError(f"--{name.removesuffix('_per_s')} is {value:g}; allowed is > 0 to 1e5")
    if isinstance(plan.arrivals, Closed) and plan.arrivals.users > plan.max_open:
        raise ValueError(f"{plan.arrivals.users} users need --max-open {plan.arrivals.users}")
