"""Makes runs of a cluster out of a seed: its sessions, its clients, and what befalls its processes.

A plan is data, drawn completely before anything runs; `engine.testing.cluster_simulation` carries
it out. Must not import trio, sessions or the engine.
"""

from __future__ import annotations

from random import Random
from typing import Literal

import msgspec

TroubleKind = Literal["kill", "cut", "drain"]


class SharedPartPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One part: what its provider writes, the same in every attempt, and how fast."""

    id: str
    pieces: tuple[str, ...]
    pace_s: float

    @property
    def text(self) -> str:
        """The whole of it."""
        return "".join(self.pieces)


class SharedReaderPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A client, which comes back to any process until it has seen the end."""

    joins_s: float
    pause_s: float
    max_bytes: int
    is_pushed: bool
    drops_after: tuple[int, ...]
    """After so many messages of each of its first connections it drops."""


class SharedSessionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One session."""

    parts: tuple[SharedPartPlan, ...]
    """One after the other, each a phase of its own."""
    starts_s: float
    detached: bool
    readers: tuple[SharedReaderPlan, ...]
    cancel_s: float | None
    """When a client cancels it, at any process."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What befalls one process, and for how long; then it is back, or another in its place."""

    at_s: float
    place: int
    """Which process."""
    kind: TroubleKind
    lasts_s: float


class ClusterWorkload(msgspec.Struct, frozen=True, kw_only=True):
    """All of one simulated run."""

    seed: int
    processes: int
    lease_s: float
    board_delay_s: float
    journal_delay_s: float
    window_events: int
    sessions: tuple[SharedSessionPlan, ...]
    troubles: tuple[Trouble, ...]
    max_sessions: int
    """How many sessions a process may run; those beyond are handed to others."""


def make_cluster_workload(seed: int) -> ClusterWorkload:
    """Draw a run from a seed."""
    random = Random(seed)
    processes = random.choice((2, 3, 3))
    return ClusterWorkload(
        seed=seed,
        processes=processes,
        lease_s=2.0,
        board_delay_s=random.choice((0.0, 0.005, 0.05)),
        journal_delay_s=random.choice((0.0, 0.002, 0.05)),
        window_events=random.choice((4, 64, 512)),
        sessions=tuple(_session(random, place) for place in range(random.choice((1, 2, 4)))),
        troubles=tuple(_trouble(random, processes) for _ in range(random.choice((0, 1, 3, 6)))),
        max_sessions=random.choice((1, 2, 100)),
    )


def _session(random: Random, place: int) -> SharedSessionPlan:
    return SharedSessionPlan(
        parts=tuple(_part(random, f"{place}.{index}") for index in range(random.choice((1, 2, 3)))),
        starts_s=random.random() * 2,
        detached=random.random() < 0.6,
        readers=tuple(_reader(random) for _ in range(random.choice((0, 1, 2, 3)))),
        cancel_s=random.random() * 8 if random.random() < 0.25 else None,
    )


def _part(random: Random, name: str) -> SharedPartPlan:
    count = random.choice((1, 8, 20, 40))
    return SharedPartPlan(
        id=name,
        pieces=tuple(f"{name}:{index}{'é' * random.choice((0, 3))} " for index in range(count)),
        pace_s=random.choice((0.02, 0.1, 0.1, 0.3)),
    )


def _reader(random: Random) -> SharedReaderPlan:
    drops = random.random() < 0.5
    return SharedReaderPlan(
        joins_s=random.choice((0.0, 0.0, 1.0, 4.0)),
        pause_s=random.choice((0.0, 0.0, 0.05, 0.5)),
        max_bytes=random.choice((1, 30, 65536)),
        is_pushed=random.random() < 0.5,
        drops_after=tuple(random.randint(1, 8) for _ in range(random.choice((1, 3))) if drops),
    )


def _trouble(random: Random, processes: int) -> Trouble:
    kinds: tuple[TroubleKind, ...] = ("kill", "kill", "cut", "cut", "drain")
    return Trouble(
        at_s=0.2 + random.random() * 6,
        place=random.randrange(processes),
        kind=random.choice(kinds),
        lasts_s=random.choice((0.1, 1.0, 3.0, 6.0)),
    )
