"""When requests start: pure functions that give offsets from the run's start, in seconds.

Each gives an ascending, endless or finite stream; `plan` cuts it by time and by count. Randomness
comes from the caller's generator, so one seed is one plan.

Gamma bursts: gaps from a gamma distribution with the mean 1/rate and the shape 1/burst. A burst of
1 is Poisson; at 4 the gaps' coefficient of variation is 2, which is how traffic of LLM services has
been found to arrive.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from math import sqrt
from typing import assert_never

import msgspec


class Constant(msgspec.Struct, frozen=True, kw_only=True, tag="constant"):
    """Equal gaps."""

    rate_per_s: float


class Poisson(msgspec.Struct, frozen=True, kw_only=True, tag="poisson"):
    """Independent arrivals: gaps from an exponential distribution."""

    rate_per_s: float


class Gamma(msgspec.Struct, frozen=True, kw_only=True, tag="gamma"):
    """Bursts: gaps from a gamma distribution."""

    rate_per_s: float
    burst: float = 4.0
    """The gaps' squared coefficient of variation; 1 is Poisson."""


class Ramp(msgspec.Struct, frozen=True, kw_only=True, tag="ramp"):
    """A rate that moves evenly from one to another over the run."""

    rate_per_s: float
    to_rate_per_s: float
    over_s: float


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """Users who start their next request when the last one has ended.

    The load follows the server: a slow one is asked less. Use it to find out how fast a server can
    go, not how long its users wait.
    """

    users: int
    think_s: float = 0.0
    """The pause of a user between two requests."""


class Trace(msgspec.Struct, frozen=True, kw_only=True, tag="trace"):
    """Recorded offsets, played again."""

    offsets_s: tuple[float, ...]


Arrivals = Constant | Poisson | Gamma | Ramp | Closed | Trace


def offsets(arrivals: Arrivals, dice: random.Random) -> Iterator[float]:
    """Give the offsets at which requests are meant to start, in seconds.

    For a closed loop these are the users' first requests, all at 0: the others follow what happens.
    """
    match arrivals:
        case Constant():
            return (number / arrivals.rate_per_s for number in itertools.count())
        case Poisson():
            return _walk(lambda: dice.expovariate(arrivals.rate_per_s))
        case Gamma():
            shape = 1 / arrivals.burst
            return _walk(lambda: dice.gammavariate(shape, arrivals.burst / arrivals.rate_per_s))
        case Ramp():
            return _ramp(arrivals)
        case Closed():
            return itertools.repeat(0.0, arrivals.users)
        case Trace():
            return iter(arrivals.offsets_s)
        case _:
            assert_never(arrivals)


def scaled(arrivals: Arrivals, rate_per_s: float) -> Arrivals:
    """Give the same pattern at another mean rate.

    Raises:
        ValueError: it has no rate: a closed loop, a trace, a ramp.
    """
    if isinstance(arrivals, Constant | Poisson | Gamma):
        return msgspec.structs.replace(arrivals, rate_per_s=rate_per_s)
    raise ValueError(f"{type(arrivals).__name__.lower()} arrivals have no single rate to search")


def _walk(gap: Callable[[], float]) -> Iterator[float]:
    return itertools.accumulate(iter(gap, None))


def _ramp(ramp: Ramp) -> Iterator[float]:
    """Invert the expected count a·t + b·t²/2, where the rate goes from a to a + b·over_s."""
    a, b = ramp.rate_per_s, (ramp.to_rate_per_s - ramp.rate_per_s) / ramp.over_s
    total = (ramp.rate_per_s + ramp.to_rate_per_s) * ramp.over_s / 2
    for number in range(int(total) + 1):
        if number > total:
            return
        # The root that is right for b = 0 as well, without a division by it.
        yield 2 * number / (a + sqrt(max(0.0, a * a + 2 * b * number))) if number else 0.0
