"""A board in memory: for engines that share one process, in tests and simulations.

Time is trio's clock, so a virtual one works. Must not import a sibling but the interface.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import trio

from engine.cluster.interface import FULL, Holding, Place
from engine.errors import Conflict, Overloaded, RateLimited

INBOX_MESSAGES = 1024
"""Messages that wait for one process; further ones are dropped."""


class SharedBoard:
    """What the processes share.

    Args:
        lease_s: how long after its last beat a process counts as alive, in seconds.
    """

    def __init__(self, *, lease_s: float) -> None:
        self.lease_s = lease_s
        self.holders: dict[str, str] = {}
        """Which process holds each session; "" is an offered one. In the order of coming there."""
        self.by_process: dict[str, dict[str, None]] = {"": {}}
        self.users: dict[str, str] = {}
        """Whom each session counts for."""
        self.counts: Counter[str] = Counter()
        """How many sessions each user has on the board."""
        self.leases: dict[str, float] = {}
        """When each process's lease lapses, or lapsed."""
        self.capacities: dict[str, int] = {}
        """How many sessions each process may run."""
        self.inboxes: dict[str, trio.MemorySendChannel[bytes]] = {}
        self.places: dict[str, dict[str, float]] = {}
        """When each taken place of a key is free again, in the order of taking."""
        self.turns: dict[str, float] = {}
        """When the next turn of a key is due."""

    def is_alive(self, process: str) -> bool:
        """Whether a process's lease is valid."""
        return self.leases.get(process, float("-inf")) > trio.current_time()

    @property
    def is_full(self) -> bool:
        """Whether there are as many sessions as the living processes may run together."""
        living = filter(self.is_alive, self.leases)
        return len(self.holders) >= sum(self.capacities.get(process, 0) for process in living)

    def move(self, session_id: str, process: str) -> None:
        """Give a session to a process, or to "" for all."""
        held = self.by_process[self.holders[session_id]]
        del held[session_id]
        self.holders[session_id] = process
        self.by_process.setdefault(process, {})[session_id] = None

    def add(self, session_id: str, process: str, user: str) -> None:
        """Put a session on the board."""
        self.holders[session_id] = process
        self.by_process.setdefault(process, {})[session_id] = None
        self.users[session_id] = user
        self.counts[user] += 1

    def remove(self, session_id: str) -> None:
        """Take a session off the board."""
        del self.by_process[self.holders.pop(session_id)][session_id]
        user = self.users.pop(session_id)
        self.counts[user] -= 1
        if not self.counts[user]:
            del self.counts[user]

    def taken_places(self, key: str) -> dict[str, float]:
        """Give the places of a key that are taken, and forget the others."""
        now = trio.current_time()
        self.places[key] = {
            place: until for place, until in self.places.get(key, {}).items() if until > now
        }
        return self.places[key]

    def forget_the_dead(self) -> None:
        """Forget lapsed processes that hold nothing any more."""
        for process in tuple(self.leases):
            if not self.is_alive(process) and not self.by_process.get(process):
                self.by_process.pop(process, None)
                self.capacities.pop(process, None)
                del self.leases[process]

    def __repr__(self) -> str:
        return f"<SharedBoard: {len(self.holders)} sessions, {len(self.leases)} processes>"


class MemoryBoard:
    """One engine's access to a `SharedBoard`.

    Args:
        shared: what it shares with others.
        name: its name.
    """

    def __init__(self, shared: SharedBoard, name: str) -> None:
        self._shared = shared
        self.name = name
        self.dropped = 0
        """Messages that were lost on the way from here."""

    @property
    def lease_s(self) -> float:
        """See `Board.lease_s`."""
        return self._shared.lease_s

    async def run(
        self,
        hear: Callable[[bytes], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `Board.run`."""
        send, receive = trio.open_memory_channel[bytes](INBOX_MESSAGES)
        self._shared.inboxes[self.name] = send
        try:
            with send, receive:
                task_status.started()
                async for message in receive:
                    hear(message)
        finally:
            if self._shared.inboxes.get(self.name) is send:
                del self._shared.inboxes[self.name]

    # ---- the process -----------------------------------------------------------------------------

    async def beat(self, *, capacity: int) -> bool:
        """See `Board.beat`."""
        await trio.lowlevel.checkpoint()
        shared = self._shared
        had_one = shared.is_alive(self.name)
        shared.leases[self.name] = trio.current_time() + shared.lease_s
        shared.capacities[self.name] = capacity
        shared.forget_the_dead()
        return had_one

    async def leave(self) -> None:
        """See `Board.leave`."""
        await trio.lowlevel.checkpoint()
        if self.name in self._shared.leases:
            self._shared.leases[self.name] = float("-inf")
        self._shared.forget_the_dead()

    async def members(self) -> tuple[str, ...]:
        """See `Board.members`."""
        await trio.lowlevel.checkpoint()
        return tuple(sorted(filter(self._shared.is_alive, self._shared.leases)))

    # ---- sessions --------------------------------------------------------------------------------

    async def own(
        self, session_id: str, *, user: str = "", limit: int = 0, is_new: bool = True
    ) -> None:
        """See `Board.own`."""
        await trio.lowlevel.checkpoint()
        shared = self._shared
        if session_id in shared.holders:
            raise Conflict(f"session {session_id} is on the board already")
        if limit and user and shared.counts[user] >= limit:
            raise RateLimited(
                f"{limit} sessions of yours are running, which is the most for a user",
                retry_after_s=1.0,
            )
        if is_new and shared.is_full:
            raise Overloaded(FULL, retry_after_s=1.0)
        shared.add(session_id, self.name, user)

    async def release(self, session_id: str) -> None:
        """See `Board.release`."""
        await trio.lowlevel.checkpoint()
        if self._shared.holders.get(session_id) == self.name:
            self._shared.remove(session_id)

    async def offer(self, session_id: str) -> None:
        """See `Board.offer`."""
        await trio.lowlevel.checkpoint()
        if self._shared.holders.get(session_id) == self.name:
            self._shared.move(session_id, "")

    async def take(self, limit: int, *, from_dead: bool = False) -> tuple[str, ...]:
        """See `Board.take`."""
        await trio.lowlevel.checkpoint()
        shared = self._shared
        places = [""]
        if from_dead:
            places += [
                process
                for process in shared.by_process
                if process not in ("", self.name) and not shared.is_alive(process)
            ]
        taken: list[str] = []
        for place in places:
            taken += islice(shared.by_process[place], max(0, limit - len(taken)))
        for session_id in taken:
            shared.move(session_id, self.name)
        return tuple(taken)

    async def owned(self) -> frozenset[str]:
        """See `Board.owned`."""
        await trio.lowlevel.checkpoint()
        return frozenset(self._shared.by_process.get(self.name, ()))

    async def holdings(self, session_ids: Iterable[str]) -> Mapping[str, Holding]:
        """See `Board.holdings`."""
        await trio.lowlevel.checkpoint()
        shared = self._shared
        return {
            session_id: Holding(process=holder, is_alive=shared.is_alive(holder))
            for session_id in session_ids
            if (holder := shared.holders.get(session_id)) is not None
        }

    # ---- counting --------------------------------------------------------------------------------

    async def take_place(self, key: str, place: str, *, limit: int, window_s: float) -> Place:
        """See `Board.take_place`."""
        await trio.lowlevel.checkpoint()
        taken = self._shared.taken_places(key)
        if place in taken:
            return Place(is_taken=True, others=len(taken) - 1)
        if len(taken) < limit:
            taken[place] = trio.current_time() + window_s
            return Place(is_taken=True, others=len(taken) - 1)
        free_at = sorted(taken.values())[len(taken) - limit] if limit else float("inf")
        return Place(is_taken=False, others=len(taken), free_in_s=free_at - trio.current_time())

    async def give_place_back(self, key: str, place: str = "") -> None:
        """See `Board.give_place_back`."""
        await trio.lowlevel.checkpoint()
        taken = self._shared.taken_places(key)
        if place:
            taken.pop(place, None)
        if not place or not taken:
            del self._shared.places[key]

    async def take_turn(
        self, key: str, *, interval_s: float, ahead_s: float, longest_s: float
    ) -> float:
        """See `Board.take_turn`."""
        await trio.lowlevel.checkpoint()
        now = trio.current_time()
        due = max(self._shared.turns.get(key, 0.0), now)
        wait_s = max(0.0, due - ahead_s - now)
        if wait_s <= longest_s:
            self._shared.turns[key] = due + interval_s
        return wait_s

    # ---- messages --------------------------------------------------------------------------------

    async def post(self, process: str, message: bytes) -> None:
        """See `Board.post`."""
        await trio.lowlevel.checkpoint()
        inbox = self._shared.inboxes.get(process)
        try:
            if inbox is not None:
                inbox.send_nowait(message)
        except (trio.WouldBlock, trio.BrokenResourceError):
            self.dropped += 1

    def __repr__(self) -> str:
        return f"<MemoryBoard {self.name} of {self._shared!r}>"
