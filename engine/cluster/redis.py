"""The board that processes on many machines share: Redis.

Each change is one script, so a session is never between two holders and a user's count never off;
leases are told by Redis's own clock, so the processes' clocks do not matter. Why no consumer group:
its leases are each entry's own, and a process would renew ten thousand of them; here it renews one.

Messages go to a stream for each process. One connection asks, and one waits for messages; it is
never cut short, and nothing has to interrupt it: whatever is posted does.

Must not import sessions, the journal, pipelines or providers, nor a sibling but the interface and
the scripts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trio

from engine.actors.unwrapping import single_error
from engine.cluster import redis_counting as counting
from engine.cluster import redis_scripts as scripts
from engine.cluster.interface import FULL, Holding, Place
from engine.errors import Conflict, Overloaded, RateLimited, Unreachable
from engine.limits import Limits
from engine.redis.address import RedisAddress
from engine.redis.link import Away, Link, NoScript, Refused
from engine.redis.scripts import Script, Word

_logger = logging.getLogger("antiphon.cluster")

_HEAR_AT_ONCE = 100
"""Messages that one answer brings."""
_HOLDINGS_AT_ONCE = 1000
"""Sessions that one script looks up, so that others do not wait for long."""


class RedisBoard:
    """One process's access to a board in Redis.

    Args:
        address: where Redis is.
        name: this process's name, unique to this life of it.
        limits: `lease_s` and those of Redis count.
        prefix: what its keys begin with; boards of other prefixes do not see each other.
    """

    def __init__(
        self,
        address: RedisAddress,
        name: str,
        limits: Limits | None = None,
        *,
        prefix: str = "antiphon:board",
    ) -> None:
        self.name = name
        self._limits = limits or Limits()
        self._prefix = prefix
        self._inbox = f"{prefix}:inbox:{name}"
        self._link = Link(
            address,
            name="antiphon-board",
            limits=self._limits,
            scripts=(*scripts.SCRIPTS, *counting.SCRIPTS),
        )
        self._tail = Link(
            address,
            name="antiphon-inbox",
            limits=self._limits,
            scripts=(scripts.LISTEN,),
            waits_s=self._limits.redis_block_s,
        )

    def __repr__(self) -> str:
        return f"<RedisBoard {self.name} at {self._link.address.name}>"

    @property
    def lease_s(self) -> float:
        """See `Board.lease_s`."""
        return self._limits.lease_s

    async def run(
        self,
        hear: Callable[[bytes], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `Board.run`.

        Raises:
            JournalFailed: Redis cannot be reached at the start; later it is waited for.
        """
        with single_error():
            await self._run(hear, task_status)

    async def _run(self, hear: Callable[[bytes], None], task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._link.run)
            await nursery.start(self._tail.run)
            last: Word = await self._listen("")
            task_status.started()
            while True:
                try:
                    last = await self._hear(last, hear)
                except (Away, NoScript) as error:
                    _logger.info("the board of %s: %s", self.name, error)
                    await self._tail.wait_connected()
                    await trio.sleep(self._limits.redis_retry_s)

    async def _listen(self, last: Word) -> Word:
        """Say up to where was heard; gives from where to go on."""
        lasts_ms = round(1000 * max(self._limits.lease_s, 4 * self._limits.redis_block_s))
        values = (self._prefix, self.name, last, lasts_ms)
        found: bytes = await self._tail.run_script(scripts.LISTEN, (), values)
        return found

    async def _hear(self, last: Word, hear: Callable[[bytes], None]) -> Word:
        """Wait for messages for a while; gives the id of the last one."""
        block_ms = round(1000 * self._limits.redis_block_s)
        begin = (b"XREAD", b"COUNT", _HEAR_AT_ONCE, b"BLOCK", block_ms, b"STREAMS")
        found = await self._tail.ask(*begin, self._inbox, last)
        for message_id, (_, message) in next(iter(found.values())) if found else ():
            last = message_id
            hear(message)
        return await self._listen(last)

    async def _ask(self, script: Script, *values: Word) -> Any:
        """Run a script of the board.

        Raises:
            Unreachable: Redis did not answer within a quarter of a lease.
        """
        return await self._reach(
            lambda: self._link.run_script(script, (), (self._prefix, self.name, *values))
        )

    async def _reach(self, question: Callable[[], Any]) -> Any:
        with trio.move_on_after(self._limits.lease_s / 4):
            try:
                await self._link.wait_connected()
                return await question()
            except (Away, NoScript, Refused) as error:
                raise Unreachable(f"the board cannot be reached: {error}") from error
        raise Unreachable(f"the board cannot be reached: {self._link.problem or 'no answer'}")

    # ---- the process -----------------------------------------------------------------------------

    async def beat(self, *, capacity: int) -> bool:
        """See `Board.beat`."""
        lease_ms = round(1000 * self._limits.lease_s)
        return bool(await self._ask(scripts.BEAT, lease_ms, capacity))

    async def leave(self) -> None:
        """See `Board.leave`."""
        await self._ask(scripts.LEAVE)

    async def members(self) -> tuple[str, ...]:
        """See `Board.members`."""
        return tuple(sorted(name.decode() for name in await self._ask(scripts.MEMBERS)))

    # ---- sessions --------------------------------------------------------------------------------

    async def own(
        self, session_id: str, *, user: str = "", limit: int = 0, is_new: bool = True
    ) -> None:
        """See `Board.own`."""
        values = (session_id, _as_bytes(user), limit, int(is_new))
        found = await self._ask(scripts.OWN, *values)
        if found == b"exists":
            raise Conflict(f"session {session_id} is on the board already")
        if found == b"limited":
            raise RateLimited(
                f"{limit} sessions of yours are running, which is the most for a user",
                retry_after_s=1.0,
            )
        if found == b"full":
            raise Overloaded(FULL, retry_after_s=1.0)

    async def release(self, session_id: str) -> None:
        """See `Board.release`."""
        await self._ask(scripts.RELEASE, session_id)

    async def offer(self, session_id: str) -> None:
        """See `Board.offer`."""
        await self._ask(scripts.OFFER, session_id)

    async def take(self, limit: int, *, from_dead: bool = False) -> tuple[str, ...]:
        """See `Board.take`."""
        if limit <= 0:
            await trio.lowlevel.checkpoint()
            return ()
        found = await self._ask(scripts.TAKE, limit, int(from_dead))
        return tuple(session_id.decode() for session_id in found)

    async def owned(self) -> frozenset[str]:
        """See `Board.owned`."""
        key = f"{self._prefix}:held:{self.name}"
        found = await self._reach(lambda: self._link.ask(b"ZRANGE", key, 0, -1))
        return frozenset(session_id.decode() for session_id in found)

    async def holdings(self, session_ids: Iterable[str]) -> Mapping[str, Holding]:
        """See `Board.holdings`."""
        wanted = list(session_ids)
        held: dict[str, Holding] = {}
        for begin in range(0, len(wanted), _HOLDINGS_AT_ONCE):
            some = wanted[begin : begin + _HOLDINGS_AT_ONCE]
            found = await self._ask(scripts.HOLDINGS, *some)
            for session_id, process, is_alive in zip(*[iter(found)] * 3, strict=True):
                held[session_id.decode()] = Holding(
                    process=process.decode(), is_alive=bool(is_alive)
                )
        return held

    # ---- counting --------------------------------------------------------------------------------

    async def take_place(self, key: str, place: str, *, limit: int, window_s: float) -> Place:
        """See `Board.take_place`."""
        values = (_as_bytes(key), place, limit, round(1000 * window_s))
        is_taken, others, free_in_ms = await self._ask(counting.TAKE_PLACE, *values)
        return Place(is_taken=bool(is_taken), others=others, free_in_s=free_in_ms / 1000)

    async def give_place_back(self, key: str, place: str = "") -> None:
        """See `Board.give_place_back`."""
        await self._ask(counting.GIVE_PLACE_BACK, _as_bytes(key), place)

    async def take_turn(
        self, key: str, *, interval_s: float, ahead_s: float, longest_s: float
    ) -> float:
        """See `Board.take_turn`."""
        spans_us = [round(1_000_000 * span_s) for span_s in (interval_s, ahead_s, longest_s)]
        wait_us: int = await self._ask(counting.TAKE_TURN, _as_bytes(key), *spans_us)
        return wait_us / 1_000_000

    # ---- messages --------------------------------------------------------------------------------

    async def post(self, process: str, message: bytes) -> None:
        """See `Board.post`."""
        # A process that is gone has no inbox, and gets none.
        begin = (b"XADD", f"{self._prefix}:inbox:{process}", b"NOMKSTREAM")
        bound = (b"MAXLEN", b"~", self._limits.board_inbox)
        await self._reach(lambda: self._link.ask(*begin, *bound, b"*", b"m", message))


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
