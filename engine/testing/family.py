"""Runs a planned family of children under a real supervisor, and writes down all that happens.

The one rule: the tape is the truth. Children write themselves when they begin and how they end; of
the supervisor's own words only those are taken that say when it decided. `otp_rules` reads the
tape. Must not import sessions' insides: what a child does in its session is handed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, TypeAlias

import msgspec
import trio

from engine.errors import Escalated
from engine.supervision import (
    Backoff,
    ChildExited,
    ChildrenRestarting,
    ChildSpec,
    Escalating,
    SupervisorEvent,
    open_supervisor,
)
from engine.testing.family_plan import ChildPlan, FamilyPlan

How = Literal["normal", "error", "fatal", "stopped", "cut"]
"""Stopped: by its supervisor. Cut: by a cancel from outside of the family."""


class Crash(Exception):
    """What a child raises, and a repeat may help."""


class FatalCrash(Exception):
    """What a child raises, and no repeat helps."""


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """A child was given to the supervisor."""

    at: float
    id: str


class Began(msgspec.Struct, frozen=True, kw_only=True):
    """A child began."""

    at: float
    id: str
    incarnation: int


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A child ended."""

    at: float
    id: str
    incarnation: int
    how: How


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor has decided about an exit."""

    at: float
    id: str
    incarnation: int


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor says what it will do: restart these, or give up (`delay_s` is None)."""

    at: float
    ids: tuple[str, ...]
    delay_s: float | None


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """The owner asked for a child to be stopped for good."""

    at: float
    id: str


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """The owner has left the block."""

    at: float


class Over(msgspec.Struct, frozen=True, kw_only=True):
    """The family is no more."""

    at: float
    how: Literal["finished", "escalated", "cut"]


Mark: TypeAlias = Added | Began | Ended | Decided | Announced | Removed | Left | Over
Tape: TypeAlias = list[Mark]


async def run_family(
    plan: FamilyPlan,
    tape: Tape,
    work: Callable[[str], Awaitable[None]],
    random: Callable[[], float],
) -> None:
    """Open a supervisor, start the children, stop some as planned, and leave.

    Args:
        plan: the family.
        tape: is written to.
        work: what a child does before it ends by itself.
        random: for the jitter.

    Raises:
        Escalated: as the supervisor does.

    Cancellation: all children are cut.
    """
    over: Literal["finished", "escalated", "cut"] = "cut"
    try:
        async with open_supervisor(
            "family",
            strategy=plan.strategy,
            intensity=plan.intensity,
            period_s=plan.period_s,
            backoff=Backoff(base_s=plan.backoff_s, max_s=plan.backoff_s * 4),
            may_restart=lambda error: not isinstance(error, FatalCrash),
            random=random,
            on_event=partial(_note, tape),
        ) as supervisor:
            for child in plan.children:
                tape.append(Added(at=trio.current_time(), id=child.id))
                fn = partial(_child, child, tape, work)
                supervisor.start_nowait(ChildSpec(child.id, fn, child.restart))
            began = trio.current_time()
            for at_s, child_id in plan.stops:
                await trio.sleep_until(began + at_s)
                tape.append(Removed(at=trio.current_time(), id=child_id))
                await supervisor.stop(child_id)
            await trio.sleep_until(began + plan.stays_s)
            tape.append(Left(at=trio.current_time()))
        over = "finished"
    except Escalated:
        over = "escalated"
        raise
    finally:
        tape.append(Over(at=trio.current_time(), how=over))


def _note(tape: Tape, event: SupervisorEvent) -> None:
    at = trio.current_time()
    match event:
        case ChildExited(exit=left):
            tape.append(Decided(at=at, id=left.child_id, incarnation=left.incarnation))
        case ChildrenRestarting(child_ids=ids, delay_s=delay_s):
            tape.append(Announced(at=at, ids=ids, delay_s=delay_s))
        case Escalating(child_id=child_id):
            tape.append(Announced(at=at, ids=(child_id,), delay_s=None))
        case _:
            pass


async def _child(
    plan: ChildPlan, tape: Tape, work: Callable[[str], Awaitable[None]], incarnation: int
) -> None:
    """Live once: wait, work, and end as the plan says of this incarnation."""
    life = plan.lives[min(incarnation, len(plan.lives)) - 1]
    tape.append(Began(at=trio.current_time(), id=plan.id, incarnation=incarnation))
    how: How = "error"
    try:
        await trio.sleep(life.lasts_s)
        await work(plan.id)
        how = life.ends
        if how == "error":
            raise Crash(plan.id)
        if how == "fatal":
            raise FatalCrash(plan.id)
    except trio.Cancelled as cancelled:
        is_ours = (cancelled.reason or "").startswith("stopped by supervisor")
        how = "stopped" if is_ours else "cut"
        if is_ours and plan.cleanup_s:
            with trio.move_on_after(plan.cleanup_s, shield=True):
                await trio.sleep_forever()
        raise
    finally:
        at = trio.current_time()
        tape.append(Ended(at=at, id=plan.id, incarnation=incarnation, how=how))
