"""A board that is slow, cut off or dead, at the will of a test; in front of any other board.

While it is cut off, calls take a quarter of a lease and raise `Unreachable`, those that were under
way after they were done all the same, as it is with a network; messages in both directions are
lost. Must not import sessions or a board.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from typing import TypeVar

import trio

from engine.cluster.interface import Board, Holding, Place
from engine.errors import Unreachable

T = TypeVar("T")


class FaultyBoard:
    """See the module.

    Args:
        inner: the board that works.
        random: decides how long calls take.
        delay_s: a call takes up to so long.
    """

    def __init__(self, inner: Board, random: Random, *, delay_s: float = 0.0) -> None:
        self._inner = inner
        self._random = random
        self._delay_s = delay_s
        self.is_cut = False
        """Whether the process is cut off from the board."""

    @property
    def name(self) -> str:
        """See `Board.name`."""
        return self._inner.name

    @property
    def lease_s(self) -> float:
        """See `Board.lease_s`."""
        return self._inner.lease_s

    async def _call(self, step: Callable[[], Awaitable[T]]) -> T:
        await trio.sleep(self._delay_s * self._random.random())
        if not self.is_cut:
            answer = await step()
            await trio.sleep(self._delay_s * self._random.random())
            if not self.is_cut:
                return answer
        await trio.sleep(self.lease_s / 4)
        raise Unreachable("cut off")

    async def run(
        self,
        hear: Callable[[bytes], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `Board.run`."""

        def hear_if_joined(message: bytes) -> None:
            if not self.is_cut:
                hear(message)

        await self._inner.run(hear_if_joined, task_status=task_status)

    async def beat(self, *, capacity: int) -> bool:
        """See `Board.beat`."""
        return await self._call(lambda: self._inner.beat(capacity=capacity))

    async def leave(self) -> None:
        """See `Board.leave`."""
        await self._call(self._inner.leave)

    async def members(self) -> tuple[str, ...]:
        """See `Board.members`."""
        return await self._call(self._inner.members)

    async def own(
        self, session_id: str, *, user: str = "", limit: int = 0, is_new: bool = True
    ) -> None:
        """See `Board.own`."""
        await self._call(lambda: self._inner.own(session_id, user=user, limit=limit, is_new=is_new))

    async def release(self, session_id: str) -> None:
        """See `Board.release`."""
        await self._call(lambda: self._inner.release(session_id))

    async def offer(self, session_id: str) -> None:
        """See `Board.offer`."""
        await self._call(lambda: self._inner.offer(session_id))

    async def take(self, limit: int, *, from_dead: bool = False) -> tuple[str, ...]:
        """See `Board.take`."""
        return await self._call(lambda: self._inner.take(limit, from_dead=from_dead))

    async def owned(self) -> frozenset[str]:
        """See `Board.owned`."""
        return await self._call(self._inner.owned)

    async def holdings(self, session_ids: Iterable[str]) -> Mapping[str, Holding]:
        """See `Board.holdings`."""
        return await self._call(lambda: self._inner.holdings(session_ids))

    async def take_place(self, key: str, place: str, *, limit: int, window_s: float) -> Place:
        """See `Board.take_place`."""
        return await self._call(
            lambda: self._inner.take_place(key, place, limit=limit, window_s=window_s)
        )

    async def give_place_back(self, key: str, place: str = "") -> None:
        """See `Board.give_place_back`."""
        await self._call(lambda: self._inner.give_place_back(key, place))

    async def take_turn(
        self, key: str, *, interval_s: float, ahead_s: float, longest_s: float
    ) -> float:
        """See `Board.take_turn`."""
        return await self._call(
            lambda: self._inner.take_turn(
                key, interval_s=interval_s, ahead_s=ahead_s, longest_s=longest_s
            )
        )

    async def post(self, process: str, message: bytes) -> None:
        """See `Board.post`."""
        await self._call(lambda: self._inner.post(process, message))

    def __repr__(self) -> str:
        return f"<FaultyBoard {'cut off from' if self.is_cut else 'in front of'} {self._inner!r}>"
