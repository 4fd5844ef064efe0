"""Draws families of supervised children: who they are, and how each of their lives ends.

The one rule: as in `workload`, a plan is data, drawn before anything runs. A child that is not
permanent ends by itself at last, for its supervisor waits for it. Must not import trio.
"""

from __future__ import annotations

from random import Random
from typing import Literal

import msgspec

from engine.supervision.policy import RestartType, Strategy

FOREVER_S = 1e6


class LifePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One incarnation of a child."""

    lasts_s: float
    ends: Literal["normal", "error", "fatal"]


class ChildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A child; its last life is that of all further incarnations."""

    id: str
    restart: RestartType
    lives: tuple[LifePlan, ...]
    cleanup_s: float = 0.0
    """How long it takes to end when it is stopped."""


class FamilyPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor and its children."""

    strategy: Strategy
    intensity: int
    period_s: float
    backoff_s: float
    children: tuple[ChildPlan, ...]
    stops: tuple[tuple[float, str], ...] = ()
    """Who is stopped for good by the owner, and when."""
    stays_s: float
    """How long the owner stays."""
    is_fatal: bool = False
    """Whether its end by escalation is the session's."""


def make_family(random: Random) -> FamilyPlan:
    """Draw a family."""
    names = "abcd"[: random.choice((1, 2, 3, 4))]
    stops: tuple[tuple[float, str], ...] = ()
    if random.random() < 0.3:
        stops = ((round(random.random() * 0.2, 3), random.choice(names)),)
    return FamilyPlan(
        strategy=random.choice(("one_for_one", "rest_for_one", "one_for_all")),
        intensity=random.choice((0, 1, 3, 3, 10)),
        period_s=random.choice((0.05, 0.3, 5.0)),
        backoff_s=random.choice((0.0, 0.0, 0.02)),
        children=tuple(_child(random, name) for name in names),
        stops=stops,
        stays_s=random.choice((0.1, 0.4)),
        is_fatal=random.random() < 0.3,
    )


def _child(random: Random, name: str) -> ChildPlan:
    restart: RestartType = random.choice(("permanent", "permanent", "transient", "temporary"))
    crashes = tuple(
        LifePlan(
            lasts_s=random.choice((0.01, 0.02, 0.05, random.random() * 0.2)),
            ends=random.choice(("error", "error", "error", "normal", "fatal"))
            if random.random() < 0.5
            else "error",
        )
        for _ in range(random.choice((0, 1, 2, 4)))
    )
    last_s = FOREVER_S if restart == "permanent" else random.choice((0.02, 0.1))
    return ChildPlan(
        id=name,
        restart=restart,
        lives=(*crashes, LifePlan(lasts_s=last_s, ends="normal")),
        cleanup_s=random.choice((0.0, 0.0, 0.01)),
    )
