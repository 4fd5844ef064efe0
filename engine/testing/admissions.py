"""Counts who may be at work, beside the engine's own count of its slots (I14).

The one rule: it counts for itself, after each step of any task: the sessions that are there, and
the starts that are under way. A slot that is not given back, or given back twice, is seen in the
very step in which it happens. Must not import pipelines or providers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.limits import Limits


class Admissions(trio.abc.Instrument):
    """Compares an engine's slots with its sessions.

    Args:
        engine: whose.
        limits: what is allowed.
        violate: is told what is wrong.
        is_first_life: sessions that come back after a crash may be more than are allowed.
    """

    def __init__(
        self, engine: Engine, limits: Limits, violate: Callable[[str], None], *, is_first_life: bool
    ) -> None:
        self.starting: Counter[str] = Counter()
        """Starts under way, by owner; whoever starts a session keeps it."""
        self._engine = engine
        self._limits = limits
        self._violate = violate
        self._is_first_life = is_first_life
        self._counts = (0, 0, 0)
        self._told: set[str] = set()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        try:
            self._look()
        except Exception as error:  # trio would log it and go on without us
            self._say(f"looking failed: {error!r}")

    def _look(self) -> None:
        engine, limits = self._engine, self._limits
        slots = engine._slots
        counts = slots.taken, len(engine.sessions), self.starting.total()
        if counts == self._counts:
            return
        self._counts = counts
        held = Counter(session.record.owner for session in engine.sessions.values()) + self.starting
        if slots.taken != held.total() or slots._by_owner != held:
            self._say(f"{slots._by_owner} slots are taken, by {dict(held)} sessions")
        if self._is_first_life:
            if held.total() > limits.max_sessions:
                self._say(f"{held.total()} sessions, {limits.max_sessions} are allowed")
            each = limits.max_sessions_per_owner
            for owner, count in held.items():
                if each and owner and count > each:
                    self._say(f"{count} sessions of {owner!r}, {each} are allowed")

    def _say(self, message: str) -> None:
        if message not in self._told:  # once, though each later step sees it again
            self._told.add(message)
            self._violate(message)
