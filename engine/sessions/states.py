"""A session's states, as a table. Pure: no clock, no task, no import of the engine's machinery.

    queued ──begin──► running ──complete──► completed
      │                  ├──────fail──────► failed
      └──────cancel──────┴─────cancel─────► cancelled

Every session ends in exactly one of the three last states, and nothing leaves them.
"""

from __future__ import annotations

from typing import Literal

from engine.events import Cancelled, Completed, Failed, Terminal
from engine.journal.interface import SessionState

Step = Literal["begin", "complete", "fail", "cancel"]

TABLE: dict[tuple[SessionState, Step], SessionState] = {
    ("queued", "begin"): "running",
    ("queued", "fail"): "failed",
    ("queued", "cancel"): "cancelled",
    ("running", "complete"): "completed",
    ("running", "fail"): "failed",
    ("running", "cancel"): "cancelled",
}

ENDED: frozenset[SessionState] = frozenset({"completed", "failed", "cancelled"})


class ImpossibleStep(Exception):
    """A step that the table does not have: a defect of the engine."""


def advance(state: SessionState, step: Step) -> SessionState:
    """Give the state after a step.

    Raises:
        ImpossibleStep: the state does not allow the step.
    """
    try:
        return TABLE[state, step]
    except KeyError:
        raise ImpossibleStep(f"a session that is {state} cannot {step}") from None


def step_of(terminal: Terminal) -> Step:
    """Give the step that a terminal event stands for."""
    match terminal:
        case Completed():
            return "complete"
        case Failed():
            return "fail"
        case Cancelled():
            return "cancel"
