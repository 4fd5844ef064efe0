"""What a supervisor tells its observer: logs, metrics, the observer's page.

Its one rule: these are reports. An observer looks and returns; nothing that it does changes what
the supervisor decides. Must not import trio.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from engine.supervision.policy import Exit, RestartType, Strategy

ChildState = Literal["running", "restarting", "stopping", "resting"]
"""Resting: ended normally, and a sibling's restart may start it again."""


class ChildStarted(msgspec.Struct, frozen=True, kw_only=True):
    """An incarnation of a child began."""

    child_id: str
    incarnation: int


class ChildExited(msgspec.Struct, frozen=True, kw_only=True):
    """A child ended by itself; the decision about it follows."""

    exit: Exit


class ChildLost(msgspec.Struct, frozen=True, kw_only=True):
    """A child ended with an error and is not started again; the supervisor goes on without it."""

    child_id: str
    error: Exception


class ChildrenRestarting(msgspec.Struct, frozen=True, kw_only=True):
    """Children will be started again after a wait."""

    child_ids: tuple[str, ...]
    delay_s: float


class ChildOverdue(msgspec.Struct, frozen=True, kw_only=True):
    """A cancelled child has not ended within its `shutdown_s`; the supervisor goes on waiting."""

    child_id: str


class Escalating(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor gives up: it stops every child and raises Escalated."""

    child_id: str
    reason: str


SupervisorEvent: TypeAlias = (
    ChildStarted | ChildExited | ChildLost | ChildrenRestarting | ChildOverdue | Escalating
)


class ChildStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A child at one moment."""

    id: str
    restart: RestartType
    state: ChildState
    incarnation: int
    """The last one that was begun; 0: none yet."""
    started_at: float
    """When that one was begun, in seconds of trio's clock."""
    restarts: int
    error: Exception | None
    """What the last incarnation that failed had raised."""
    inside: tuple[Any, ...] = ()
    """What is at work inside it: the statistics of supervisors, groups and mailboxes."""


class SupervisorStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor at one moment."""

    name: str
    strategy: Strategy
    children: tuple[ChildStatistics, ...]


MemberState = Literal["waiting", "running", "done", "lost", "dropped"]


class MemberStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a group at one moment."""

    id: str
    state: MemberState
    attempt: int
    """0: it has not begun."""
    started_at: float
    """When this attempt was begun, in seconds of trio's clock."""


class GroupStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A fan-out at one moment."""

    policy: str
    members: tuple[MemberStatistics, ...]
