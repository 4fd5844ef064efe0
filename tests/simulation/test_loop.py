"""No task keeps the loop: not by one long step, not by steps that never let time pass."""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from engine.testing.simulation import simulate
from engine.testing.workload import make_workload

SEEDS = range(150)
MOST_STEPS = 200
"""Of one task while the clock stands still: the largest burst of a plan takes some dozen."""
MOST_S = 0.5
"""Of one step on the wall: a hundred times what one takes, for machines that are busy."""


class Steps(trio.abc.Instrument):
    """Counts what each task does at one moment of the virtual clock, and how long a step is."""

    def __init__(self) -> None:
        self.most = 0
        self.longest_s = 0.0
        self._counts: dict[trio.lowlevel.Task, tuple[float, int]] = {}
        self._began = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        now = trio.current_time()
        at, count = self._counts.get(task, (now, 0))
        count = count + 1 if at == now else 1
        self._counts[task] = (now, count)
        self.most = max(self.most, count)
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.longest_s = max(self.longest_s, time.thread_time() - self._began)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self._counts.pop(task, None)


def test_no_task_keeps_the_loop(report: Callable[[str], None]) -> None:
    """I15."""
    most, longest_s = 0, 0.0
    for seed in SEEDS:
        steps = Steps()
        assert not simulate(make_workload(seed), instruments=[steps]).violations
        most, longest_s = max(most, steps.most), max(longest_s, steps.longest_s)
    report(
        f"at most {most} steps of a task at one moment, the longest {longest_s * 1000:.1f} ms, "
        f"over {len(SEEDS)} seeds"
    )
    assert most < MOST_STEPS
    assert longest_s < MOST_S
