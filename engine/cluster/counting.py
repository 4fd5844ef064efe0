"""Counts what users do, for all processes together, as far as the board can be reached.

The one rule: a count that cannot be had is None, soon, and never an error: whoever asks has its own
count, which then holds for this process alone. Must not import sessions, the journal, pipelines or
providers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from engine.cluster.cluster import Cluster
from engine.cluster.interface import Place
from engine.errors import Unreachable

T = TypeVar("T")

PATIENCE_S = 0.5
"""How long a count is waited for: a request waits as long, and no longer, for a board that has
just gone. Once that is known nothing is waited for."""


class Counting:
    """See the module.

    Args:
        cluster: knows the board, and whether it can be reached.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def take_place(
        self, what: str, of: str, place: str, *, limit: int, window_s: float
    ) -> Place | None:
        """Take one of so many places in a window; see `Board.take_place`.

        Args:
            what: what is counted.
            of: whose it is, of any length; the board does not learn it.
            place: names the place.
            limit: how many there are.
            window_s: for how long it is taken.

        Cancellation: the place may be taken.
        """
        board, key = self._cluster.board, _key(what, of)
        return await self._ask(lambda: board.take_place(key, place, limit=limit, window_s=window_s))

    async def give_place_back(self, what: str, of: str, place: str = "") -> None:
        """Free a place before its time, or all of them. Not shielded: it lapses by itself."""
        board, key = self._cluster.board, _key(what, of)
        await self._ask(lambda: board.give_place_back(key, place))

    async def take_turn(
        self, what: str, of: str, *, interval_s: float, ahead_s: float, longest_s: float
    ) -> float | None:
        """Take a turn; see `Board.take_turn`."""
        board, key = self._cluster.board, _key(what, of)
        return await self._ask(
            lambda: board.take_turn(
                key, interval_s=interval_s, ahead_s=ahead_s, longest_s=longest_s
            )
        )

    async def _ask(self, step: Callable[[], Awaitable[T]]) -> T | None:
        if self._cluster.problem:
            await trio.lowlevel.checkpoint()
            return None
        with trio.move_on_after(PATIENCE_S):
            try:
                return await step()
            except Unreachable:
                return None
        return None

    def __repr__(self) -> str:
        return f"<Counting on {self._cluster.board!r}>"


def _key(what: str, of: str) -> str:
    digest = hashlib.sha256(of.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{what}:{digest[:32]}"
