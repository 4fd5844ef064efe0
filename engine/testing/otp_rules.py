"""Reads what a family of children went through, and says where a supervisor broke OTP's rules (I8).

The one rule: it is a second reading of OTP's documentation (`supervisor(3)`), written without the
engine's `decide`: it follows a tape, knows after each mark who should be alive, who has to be
stopped next and who has to be started when, and compares. Pure. Must not import trio, nor the
engine's supervision.

    permanent   is started again however it ended
    transient   is started again after an error
    temporary   is never started again
    intensity   so many restarts in a period; the next one is the end of the family
    one_for_one, rest_for_one, one_for_all: the child; it and the younger ones; all. The others are
                stopped first, the youngest first; then all are started, the oldest first.
    fatal       (ours) no repeat helps: the end of the family for a permanent child, else of itself
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from engine.testing.family import (
    Added,
    Announced,
    Began,
    Decided,
    Ended,
    How,
    Left,
    Mark,
    Over,
    Removed,
)
from engine.testing.family_plan import FamilyPlan

ROUNDING_S = 1e-6
Life = tuple[str, int]
"""A child's id and incarnation."""


class _Due:
    """Children that have to be started, one after the other, `delay_s` after the last stop."""

    def __init__(self, at: float, delay_s: float, lives: list[Life], stops: set[Life]) -> None:
        self.at = at
        self.delay_s = delay_s
        self.lives = lives
        self.stops = stops


class _Rules:
    def __init__(self, plan: FamilyPlan) -> None:
        self.broken: list[str] = []
        self._plan = plan
        self._types = {child.id: child.restart for child in plan.children}
        self._order: list[str] = []
        self._known: dict[str, int] = {}  # who is there, and in which incarnation
        self._resting: set[str] = set()
        self._alive: dict[Life, None] = {}
        self._exits: dict[Life, How] = {}  # that the supervisor has to decide about
        self._ended_at: dict[Life, float] = {}
        self._exits_before: set[Life] = set()  # those that it had before its owner left
        self._stops: list[Life] = []  # in the order in which they have to end
        self._removed: set[Life] = set()
        self._dues: list[_Due] = []
        self._ghosts: set[Life] = set()  # overtaken in the moment of their start
        self._restarts: list[tuple[float, str]] = []
        self._announced: tuple[tuple[str, ...], float | None] | None = None
        self._is_leaving = self._is_cut = self._gives_up = False

    def read(self, mark: Mark) -> None:
        if self._is_cut and not isinstance(mark, Began | Ended | Over):
            return
        if self._announced is not None and not isinstance(mark, Announced):
            self._say(mark, f"it did not announce {self._announced}")
            self._announced = None
        self._miss_none(mark)
        match mark:
            case Added():
                self._order.append(mark.id)
                self._known[mark.id] = 1
                self._dues.append(_Due(mark.at, 0.0, [(mark.id, 1)], set()))
            case Began():
                self._began(mark)
            case Ended():
                self._ended(mark)
            case Decided():
                self._decided(mark)
            case Announced():
                self._check_announced(mark)
            case Removed():
                self._remove(mark.id)
            case Left():
                self._is_leaving = True
                self._exits_before = {
                    life for life in self._exits if self._ended_at[life] < mark.at - ROUNDING_S
                }
            case Over():
                self._over(mark)
            case _:
                assert_never(mark)

    # ---- starts ----------------------------------------------------------------------------------

    def _began(self, mark: Began) -> None:
        life = (mark.id, mark.incarnation)
        self._alive[life] = None
        if self._is_cut or life in self._ghosts:
            return
        for due in self._dues:
            due.lives = [each for each in due.lives if self._is_wanted(each)]
            if due.lives and due.lives[0] == life:
                due.lives.pop(0)
                if mark.at < due.at + due.delay_s - ROUNDING_S:
                    self._say(mark, "it began too early")
                if due.stops & self._alive.keys():
                    self._say(mark, "it began before those that had to be stopped had ended")
                return
        self._say(mark, "it began out of turn")

    def _is_wanted(self, life: Life) -> bool:
        return self._known.get(life[0]) == life[1] and not self._gives_up

    def _miss_none(self, mark: Mark) -> None:
        """See that everybody who was due before this mark has begun."""
        if self._is_cut or self._gives_up or self._is_finishing:
            return
        for due in self._dues:
            waiting = [life for life in due.lives if self._is_wanted(life)]
            is_free = not (due.stops & self._alive.keys())
            if waiting and is_free and mark.at > due.at + due.delay_s + ROUNDING_S:
                self._say(mark, f"{waiting} were not started again")
                due.lives.clear()

    # ---- ends ------------------------------------------------------------------------------------

    def _ended(self, mark: Ended) -> None:
        life = (mark.id, mark.incarnation)
        self._alive.pop(life, None)
        if mark.how == "cut":
            self._is_cut = True
        if self._is_cut:
            return
        for due in self._dues:
            if life in due.stops:
                due.at = max(due.at, mark.at)
        if mark.how != "stopped":
            if life in self._stops:
                self._stops.remove(life)  # it was faster than its supervisor
            elif life not in self._removed and life not in self._ghosts:
                self._exits[life] = mark.how
                self._ended_at[life] = mark.at
            return
        if life in self._ghosts or life in self._removed:
            if life in self._stops:
                self._stops.remove(life)
            return
        if self._is_finishing and not self._stops:
            self._stops = [each for each in reversed(self._in_order()) if each != life]
            if self._place(life) < max((self._place(each) for each in self._stops), default=-1):
                self._say(mark, "it was stopped before a younger one")
            return
        if not self._stops or self._stops[0] != life:
            self._say(mark, f"it was stopped, where {self._stops} had to be")
        if life in self._stops:
            self._stops.remove(life)

    @property
    def _is_finishing(self) -> bool:
        """Whether the owner has left, and nobody is there who would end by itself."""
        waiting = {life for due in self._dues for life in due.lives if self._is_wanted(life)}
        return self._is_leaving and not any(
            self._types[child_id] != "permanent"
            for child_id, _ in (*self._alive, *waiting, *self._exits)
        )

    def _place(self, life: Life) -> int:
        return self._order.index(life[0])

    def _in_order(self) -> list[Life]:
        return sorted(self._alive, key=self._place)

    def _remove(self, child_id: str) -> None:
        incarnation = self._known.pop(child_id, None)
        self._resting.discard(child_id)
        if incarnation is not None:
            self._removed.add((child_id, incarnation))
            self._exits.pop((child_id, incarnation), None)
            self._haunt(child_id, incarnation)

    # ---- decisions -------------------------------------------------------------------------------

    def _decided(self, mark: Decided) -> None:
        life = (mark.id, mark.incarnation)
        how = self._exits.pop(life, None)
        if how is None or self._known.get(mark.id) != mark.incarnation:
            self._say(mark, "it decided about an exit that is none, or that is stale")
            return
        if self._stops:
            self._say(mark, f"it decided before {self._stops} had ended")
        kind = self._types[mark.id]
        if how == "fatal" and kind == "permanent":
            self._give_up(mark.id)
        elif kind == "permanent" or (kind == "transient" and how == "error"):
            self._restart(mark)
        elif kind == "transient" and how == "normal" and self._plan.strategy != "one_for_one":
            self._resting.add(mark.id)
        else:
            del self._known[mark.id]

    def _give_up(self, child_id: str) -> None:
        self._gives_up = True
        self._announced = (child_id,), None
        self._stops = list(reversed(self._in_order()))
        for waiting_id, incarnation in self._known.items():
            self._haunt(waiting_id, incarnation)

    def _restart(self, mark: Decided) -> None:
        plan = self._plan
        self._restarts = [past for past in self._restarts if mark.at - past[0] <= plan.period_s]
        if len(self._restarts) >= plan.intensity:
            self._give_up(mark.id)
            return
        self._restarts.append((mark.at, mark.id))
        present = [child_id for child_id in self._order if child_id in self._known]
        place = present.index(mark.id)
        touched = {
            "one_for_one": [mark.id],
            "rest_for_one": present[place:],
            "one_for_all": present,
        }[plan.strategy]
        self._stops = [life for life in reversed(self._in_order()) if life[0] in touched]
        starts = []
        for child_id in touched:
            incarnation = self._known.pop(child_id)
            self._exits.pop((child_id, incarnation), None)
            self._haunt(child_id, incarnation)
            self._resting.discard(child_id)
            if self._types[child_id] != "temporary":
                self._known[child_id] = incarnation + 1
                starts.append((child_id, incarnation + 1))
        nth = sum(past_id == mark.id for _, past_id in self._restarts)
        full_s = min(plan.backoff_s * 2 ** (nth - 1), plan.backoff_s * 4)
        self._announced = tuple(child_id for child_id, _ in starts), full_s
        self._dues.append(_Due(mark.at, full_s, starts, set(self._stops)))

    def _haunt(self, child_id: str, incarnation: int) -> None:
        """Let a start that is overtaken in its very moment be seen, if it is stopped at once."""
        if (child_id, incarnation) not in self._alive:
            self._ghosts.add((child_id, incarnation))

    def _check_announced(self, mark: Announced) -> None:
        expected, self._announced = self._announced, None
        if expected is None:
            self._say(mark, "it restarts where there was nothing to restart")
            return
        ids, full_s = expected
        if mark.ids != ids or (mark.delay_s is None) != (full_s is None):
            self._say(mark, f"it had to be {expected}")
        elif mark.delay_s is not None and full_s is not None:
            if not full_s / 2 - ROUNDING_S <= mark.delay_s <= full_s + ROUNDING_S:
                self._say(mark, f"it waits {mark.delay_s:g} s, not up to {full_s:g}")
            self._dues[-1].delay_s = mark.delay_s

    # ---- the end ---------------------------------------------------------------------------------

    def _over(self, mark: Over) -> None:
        if self._alive:
            self._say(mark, f"{list(self._alive)} outlive it")
        if self._is_cut or mark.how == "cut":
            return
        if (mark.how == "escalated") != self._gives_up:
            self._say(mark, "it had to give up" if self._gives_up else "it gave up too early")
        elif mark.how == "finished":
            for life in self._exits:
                # A permanent one may end by itself while those beside it are stopped for good.
                if self._types[life[0]] != "permanent" or life in self._exits_before:
                    self._say(mark, f"nothing was decided about the end of {life}")
            for due in self._dues:
                for life in due.lives:
                    if self._is_wanted(life) and self._types[life[0]] != "permanent":
                        self._say(mark, f"{life} was not started again")

    def _say(self, mark: Mark, message: str) -> None:
        self.broken.append(f"{mark}: {message}")


def check_family(plan: FamilyPlan, tape: Sequence[Mark]) -> list[str]:
    """Give what broke the rules, the first one first; what follows it may be its consequence."""
    rules = _Rules(plan)
    for mark in tape:
        rules.read(mark)
    return rules.broken
