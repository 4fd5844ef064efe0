"""A person's choice on its way into a session: one pause at a time, and one choice for each pause.

The one rule: a choice is accepted or refused by a plain function, at once, so that two of them can
never both be taken; whoever made it is answered when it is durable. A pause knows its session only
by what it was told. Must not import the session, pipelines or providers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import trio

from engine.errors import Conflict, InvalidRequest

FIELD = "selected_indices"


@runtime_checkable
class Pausing(Protocol):
    """A pipeline whose sessions may wait for people."""

    def pauses(self, command: Any) -> int:
        """Say how often a session of this command waits; its deadline is that much later."""
        ...


class Pause:
    """A session's wait for a choice among candidates.

    Args:
        phase: whose candidates they are.
        count: how many candidates there are.
    """

    def __init__(self, phase: str, count: int) -> None:
        self.phase = phase
        self.count = count
        self.choice: list[int] | None = None
        """What was chosen, in the order in which it was said."""
        self.is_settled = False
        """Whether the choice is in the log."""
        self._made = trio.Event()
        self._over = trio.Event()

    def choose(self, indices: Sequence[int]) -> None:
        """Take a choice.

        Raises:
            InvalidRequest: an index is beyond the candidates.
            Conflict: there is a choice already.
        """
        beyond = [index for index in indices if index >= self.count]
        if beyond:
            raise _refused(f"{beyond[0]} is beyond the last candidate, {self.count - 1}")
        if self.choice is not None:
            raise Conflict(f"a selection for {self.phase} was made already")
        self.choice = list(indices)
        self._made.set()

    async def wait_choice(self) -> None:
        """Wait until there is a choice. Cancellation: nothing has changed."""
        await self._made.wait()

    def settle(self) -> None:
        """The choice is in the log."""
        self.is_settled = True

    def end(self) -> None:
        """The wait is over, with a choice or without."""
        self._over.set()

    async def wait_end(self) -> None:
        """Wait until the choice is durable, or never will be.

        Raises:
            Conflict: the session ended before the choice was in its log.

        Cancellation: a choice that was made stays made.
        """
        await self._over.wait()
        if not self.is_settled:
            raise Conflict(f"the session stopped before the selection for {self.phase} counted")

    def __repr__(self) -> str:
        return f"<Pause {self.phase}, {self.count} candidates, choice {self.choice}>"


def check_indices(indices: object) -> list[int]:
    """Give what a client chose, if it is a choice: whole numbers from 0, each once, at least one.

    Raises:
        InvalidRequest: it is not.
    """
    if not isinstance(indices, list) or not indices:
        raise _refused("must be a list of at least one number")
    if not all(isinstance(index, int) and not isinstance(index, bool) for index in indices):
        raise _refused("must be whole numbers")
    if min(indices) < 0:
        raise _refused("must not be negative: the first candidate is 0")
    if len(set(indices)) < len(indices):
        raise _refused("must not name a candidate twice")
    return indices


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(f"{FIELD} {message}", [(FIELD, message)])
