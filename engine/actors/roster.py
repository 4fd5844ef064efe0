"""A roster: who is at work in one place, for whoever wants to look.

Its one rule: it only looks. Supervisors, groups and mailboxes enter themselves in the roster of the
place where they are opened, found by a context variable that every task inherits, so no pipeline
has to say anything; nothing is told when something happens, and so it costs nothing for each item.
A place is whoever owns a roster: an engine, a session, a supervisor's child. Where there is none,
nobody is entered. Must not import supervision, nor anything that knows of sessions.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol
from weakref import WeakValueDictionary


class Observable(Protocol):
    """What can be entered: it gives a frozen view of itself."""

    def statistics(self) -> Any:
        """Give its figures of this moment; must not wait."""
        ...


class Roster:
    """Who is at work in one place, in the order in which they came."""

    def __init__(self) -> None:
        # Weak, so that what was forgotten without being closed (a mailbox) is gone here as well.
        self._members: WeakValueDictionary[int, Observable] = WeakValueDictionary()
        self._last = 0

    def enter(self, member: Observable) -> int:
        """Enter a member; gives the number with which it leaves."""
        self._last += 1
        self._members[self._last] = member
        return self._last

    def leave(self, number: int) -> None:
        """Take a member out. Leaving twice is fine."""
        self._members.pop(number, None)

    def statistics(self) -> tuple[Any, ...]:
        """Give everybody's figures of this moment."""
        return tuple(member.statistics() for _, member in sorted(self._members.items()))

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"<Roster of {len(self)}>"


_current: ContextVar[Roster | None] = ContextVar("roster", default=None)


def use_roster(roster: Roster | None) -> None:
    """Have this task, and those that it will start, enter what they open here.

    For a task's own beginning: a task that ends takes the choice with it.
    """
    _current.set(roster)


class Place:
    """A member's place in the roster of the task that made it, if there is one."""

    __slots__ = ("_number", "_roster")

    def __init__(self, member: Observable) -> None:
        self._roster = _current.get()
        self._number = 0 if self._roster is None else self._roster.enter(member)

    def leave(self) -> None:
        """Leave it. Leaving twice is fine."""
        if self._roster is not None:
            self._roster.leave(self._number)
