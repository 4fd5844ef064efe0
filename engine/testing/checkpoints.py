"""Has something happen at each checkpoint of a session in turn: a cancel, a crash, anything.

The one rule: every place where a session can be interrupted is one where it is. The k-th run acts
right after the k-th step of the session's tasks, that is: while a task of it has just come to a
checkpoint; runs go on until the session ends before its k-th step. Seeded runs make the k-th step
the same one each time. Must not import sessions or the engine: it knows their tasks by name only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import trio

SESSION_PREFIX = "session "
"""How the engine names the task of a session."""


class AtCheckpoint(trio.abc.Instrument):
    """Acts once, when the tasks of sessions have made `nth` steps.

    Args:
        nth: after which step, from 1; 0 only counts.
        action: what is done. Called by the scheduler, between two steps: it must not block, and
            has no task of its own.
    """

    def __init__(self, nth: int, action: Callable[[], object]) -> None:
        self.steps = 0
        """Steps of the sessions' tasks so far."""
        self.has_acted = False
        self.error: Exception | None = None
        """What the action raised; trio would only log it."""
        self._nth = nth
        self._action = action
        self._known: dict[trio.lowlevel.Task, bool] = {}

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        if not self._is_of_a_session(task):
            return
        self.steps += 1
        if self.steps == self._nth:
            self.has_acted = True
            try:
                self._action()
            except Exception as error:  # a test shows it
                self.error = error

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self._known.pop(task, None)

    def _is_of_a_session(self, task: trio.lowlevel.Task) -> bool:
        known = self._known.get(task)
        if known is None:
            nursery = task.parent_nursery
            known = task.name.startswith(SESSION_PREFIX) or (
                nursery is not None and self._is_of_a_session(nursery.parent_task)
            )
            self._known[task] = known
        return known


def every_checkpoint(
    run: Callable[[AtCheckpoint], object], action: Callable[[], object]
) -> Iterator[int]:
    """Run again and again, with the action at the first checkpoint, the second, to the last.

    Args:
        run: one whole run, the same each time but for its instrument.
        action: what happens.

    Yields:
        The number of the checkpoint, after each run in which the action took place.
    """
    for nth in count(1):
        point = AtCheckpoint(nth, action)
        run(point)
        if point.error is not None:
            raise point.error
        if not point.has_acted:
            return
        yield nth
