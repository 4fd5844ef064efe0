"""Runs an async function so that its seed decides everything: the schedule and the time.

The one rule: a seed that fails once fails always. trio's scheduler shuffles the tasks that are
runnable at one moment; here it shuffles them by the seed, and a virtual clock jumps whenever all
tasks wait, so no run depends on the machine, and an hour of waiting costs nothing. trio has this
for itself only: its private names stand in `_seeded` and nowhere else. Must not import anything of
the engine.

    run_deterministic(my_test, seed=7)
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import trio
from trio.testing import MockClock

T = TypeVar("T")


def run_deterministic(
    async_fn: Callable[..., Awaitable[T]],
    *args: object,
    seed: int,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run an async function to its end on a virtual clock, scheduled by a seed.

    Args:
        async_fn: what to run.
        args: its arguments.
        seed: decides the order of all tasks, and `random`'s own functions.
        instruments: as for `trio.run`.

    Returns:
        What the function returns. Raises what it raises.
    """
    with _seeded(seed):
        return trio.run(
            async_fn, *args, clock=MockClock(autojump_threshold=0), instruments=instruments
        )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let a seed decide trio's order of tasks; afterwards everything is as it was."""
    core = trio._core._run
    was_allowed = core._ALLOW_DETERMINISTIC_SCHEDULING
    order, numbers = core._r.getstate(), random.getstate()
    core._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # sorts before it shuffles
    core._r.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING = was_allowed  # type: ignore[misc]
        core._r.setstate(order)
        random.setstate(numbers)
