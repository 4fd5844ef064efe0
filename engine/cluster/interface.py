"""What processes share beside the journal: a board that says which process runs which session.

A `Board` is one process's access to it. What is promised:

- Each session on the board is held by one process, or offered to all. It changes hands by `offer`
  and `take` only, and a session is given to exactly one taker.
- A process has a lease, by the board's own clock: it lapses `lease_s` after the last `beat`. Only
  then may others take its sessions. A lapsed process keeps what nobody has taken.
- What a session counts for its user lasts exactly as long as the session is on the board, through
  crashes and takeovers: no slot can leak (I14).
- Messages are a help, and nothing depends on one: any of them may be lost, none comes twice, and
  those of one sender come in order.

The board is not what keeps two processes from writing one log: that is the journal's epoch, which
refuses a stale owner's append (`engine.errors.Fenced`). The board is how they find out early.

Must not import sessions, the journal, pipelines or providers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec
import trio

MAX_MESSAGE_BYTES = 256 * 1024
"""What one message may hold; a partial text of 16 MiB is read from the journal, not sent."""


FULL = "all processes together run as many sessions as they may"
"""What a new session is refused with where no process has a place for it."""


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session is."""

    process: str
    """The process that holds it; "" while it is offered to all."""
    is_alive: bool
    """Whether that process's lease is valid; False while the session is offered."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to whoever wants one of so many places in a window of time."""

    is_taken: bool
    others: int
    """How many others are taken."""
    free_in_s: float = 0.0
    """When there is one again, if none was left."""


class Board(Protocol):
    """One process's access to the board. Methods work only while `run` runs.

    Every method raises `Unreachable` when the board cannot be reached, within a quarter of a lease;
    whether it was done is then unknown, and repeating it is safe (but for `post`, and `take_turn`,
    which takes another one). Cancellation: the same, unless a method says otherwise.
    """

    @property
    def name(self) -> str:
        """This process's name, unique to this life of it: a restarted process has another."""
        ...

    @property
    def lease_s(self) -> float:
        """How long after its last beat a process counts as alive, in seconds."""
        ...

    async def run(
        self,
        hear: Callable[[bytes], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen for ever, and give each message that is posted to this process to `hear`.

        `started` is called when messages posted from then on are heard. While the board cannot be
        reached it goes on trying; messages may be lost then.

        Args:
            hear: takes a message; a plain function that never raises.

        Backpressure: none; messages beyond the implementation's bound are dropped.
        """
        ...

    # ---- the process -----------------------------------------------------------------------------

    async def beat(self, *, capacity: int) -> bool:
        """Renew this process's lease; False says that it had none: the first time, or it lapsed.

        After a False, `owned` tells what is left: others may have taken the rest.

        Args:
            capacity: how many sessions it may run, those that it does included; 0 where it takes
                none.
        """
        ...

    async def leave(self) -> None:
        """Give up the lease: others may take what this process still holds. Twice is fine."""
        ...

    async def members(self) -> tuple[str, ...]:
        """Name the processes whose lease is valid, in order of their names."""
        ...

    # ---- sessions --------------------------------------------------------------------------------

    async def own(
        self, session_id: str, *, user: str = "", limit: int = 0, is_new: bool = True
    ) -> None:
        """Put a session on the board, held by this process, though another may run it.

        Args:
            session_id: which session.
            user: whom it counts for; "" is nobody.
            limit: how many a user may have on the board, this one included; 0: no limit.
            is_new: it has to begin; one that goes on was given its place before.

        Raises:
            Conflict: it is on the board already, whoever holds it.
            RateLimited: the user has as many as one may have.
            Overloaded: it is new, and there are as many sessions on the board as the living
                processes may run together. Those of the dead and those that are offered count, so
                whatever is on the board has a place to come to before what is not.
        """
        ...

    async def release(self, session_id: str) -> None:
        """Take a session off the board: it has ended. One that this process does not hold stays."""
        ...

    async def offer(self, session_id: str) -> None:
        """Offer a session to all. One that this process does not hold stays where it is."""
        ...

    async def take(self, limit: int, *, from_dead: bool = False) -> tuple[str, ...]:
        """Take sessions that are offered, oldest first; from now on this process holds them.

        Args:
            limit: at most so many.
            from_dead: take those of processes whose lease has lapsed, too.

        Cancellation: some may have been taken; `owned` tells.
        """
        ...

    async def owned(self) -> frozenset[str]:
        """Give the sessions that this process holds."""
        ...

    async def holdings(self, session_ids: Iterable[str]) -> Mapping[str, Holding]:
        """Say where sessions are; those that are not on the board are left out."""
        ...

    # ---- counting --------------------------------------------------------------------------------

    async def take_place(self, key: str, place: str, *, limit: int, window_s: float) -> Place:
        """Take one of `limit` places of a key; it is free again `window_s` later, or given back.

        Args:
            key: what is counted, of at most some hundred characters.
            place: names the place; one that is taken already stays as it is.
            limit: how many may be taken, from all processes together, in any window.
            window_s: how long a place stays taken, by the board's own clock.
        """
        ...

    async def give_place_back(self, key: str, place: str = "") -> None:
        """Free a place of a key before its time, or all of them."""
        ...

    async def take_turn(
        self, key: str, *, interval_s: float, ahead_s: float, longest_s: float
    ) -> float:
        """Take a turn: one each interval, with `ahead_s` worth of them at once; see `rates.Pace`.

        Gives how long to wait for it, in seconds. More than `longest_s`: none was taken.
        """
        ...

    # ---- messages --------------------------------------------------------------------------------

    async def post(self, process: str, message: bytes) -> None:
        """Send a message of at most `MAX_MESSAGE_BYTES` to a process.

        Returning says nothing about its arrival: to a process that is gone it is lost.
        """
        ...
