"""Sends groups of writes to Redis until each has its answer, however often Redis goes away.

The rule: nothing is given up while the process lives, and nothing is done twice. A group goes out
as pipelines, and answers come in the order of the writes. A write without an answer is sent again
once Redis is back, and so is every batch of its session behind it. A repeat is known to the scripts
by its number. So a write keeps the number with which it was sent first, unless Redis answered a
later one of its session: then all that is sent again is numbered anew, or it would be taken for
what overtook it.

Must not import coredis, nor another journal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import trio

from engine.errors import AntiphonError, JournalFailed
from engine.journal.redis_writes import Append, Cut, RedisWrite, pack
from engine.limits import Limits
from engine.redis.link import Away, Link, NoScript, Refused, is_passing

_PACK = 32
"""Batches of one command: it takes less than half a millisecond of Redis's time."""


class RedisWriter:
    """Writes groups, one after the other.

    Args:
        link: where to.
        limits: `redis_pipeline` and `redis_max_retry_s` count.
    """

    def __init__(self, link: Link, limits: Limits) -> None:
        self.problem = ""
        """Why Redis takes nothing now though it is there; "" when the last write worked."""
        self._link = link
        self._limits = limits
        self._numbers = itertools.count(1)

    async def write(self, waiting: list[RedisWrite]) -> None:
        """Write a group: each write gets its result or its error, and is taken off the list.

        Cancellation: what is left on the list may have been written or not; it can be given again.
        """
        while waiting:
            await self._link.wait_connected()
            chunk = self._sendable(waiting[: self._limits.redis_pipeline])
            again = await self._send(chunk)
            waiting[: self._limits.redis_pipeline] = again

    def _sendable(self, writes: Sequence[RedisWrite]) -> list[RedisWrite]:
        """Give each write its number and its words; what cannot be written is over."""
        found: list[RedisWrite] = []
        for write in writes:
            if write.number is None:
                write.number = next(self._numbers)
            try:
                write.words = write.command()
            except JournalFailed as error:
                write.error = error
            else:
                found.append(write)
        return found

    async def _ask(self, chunk: Sequence[RedisWrite]) -> list[Any]:
        """Send a pipeline; gives each write's answer, or the error in its place."""
        packs = list(_packs(chunk))
        commands = [pack(some) if _is_pack(some) else some[0].words for some in packs]
        found: list[Any] = []
        for some, answer in zip(packs, await self._link.ask_all(commands), strict=True):
            if not _is_pack(some):
                found.append(answer)
            elif isinstance(answer, Exception):
                found += [answer] * len(some)
            else:
                found += map(_checked, answer)
        return found

    async def _send(self, chunk: Sequence[RedisWrite]) -> list[RedisWrite]:
        """Send a pipeline; gives the writes that have to be sent again, in order."""
        problem: Exception | None = None
        again: list[RedisWrite] = []
        try:
            again, problem = _settle(chunk, await self._ask(chunk))
            if isinstance(problem, NoScript):
                await self._link.load_scripts()
        except Away as error:
            again, problem = again or list(chunk), error
        if isinstance(problem, Away):
            self.problem = f"Redis at {self._link.address.name} takes no writes: {problem}"
            if not self._link.problem:  # it is there: a full disk, a replica
                await trio.sleep(self._limits.redis_retry_s)
        else:
            self.problem = ""
        return again


def _packs(chunk: Sequence[RedisWrite]) -> Iterator[list[RedisWrite]]:
    """Divide writes into those that are one command."""
    for is_append, some in itertools.groupby(chunk, lambda write: isinstance(write, Append)):
        writes = list(some)
        size = _PACK if is_append else 1
        yield from (writes[begin : begin + size] for begin in range(0, len(writes), size))


def _is_pack(some: Sequence[RedisWrite]) -> TypeGuard[Sequence[Append]]:
    return isinstance(some[0], Append)


def _checked(answer: list[Any]) -> Any:
    """Give a batch's answer, or Away where Redis takes nothing just now."""
    if answer[0] == b"error" and is_passing(text := answer[1].decode()):
        return Away(text)
    return answer


def _settle(
    chunk: Sequence[RedisWrite], answers: Sequence[Any]
) -> tuple[list[RedisWrite], Exception | None]:
    """Give each write its answer; gives those to be sent again, and what kept them."""
    again: list[RedisWrite] = []
    held: set[str] = set()  # sessions that have a write to be sent again
    problem: Exception | None = None
    is_overtaken = False
    for write, answer in zip(chunk, answers, strict=True):
        if isinstance(answer, Away | NoScript):
            problem = answer
        elif isinstance(write, Append) and write.session_id in held:
            is_overtaken = True
        elif _take(write, answer):
            is_overtaken = is_overtaken or write.session_id in held
            continue
        else:  # to be cut: what came behind it is answered by now
            is_overtaken = True
        held.add(write.session_id)
        again.append(write)
    if is_overtaken:
        for write in again:
            write.renumber()
    return again, problem


def _take(write: RedisWrite, answer: Any) -> bool:
    """Give a write its result or its error; False: it was cut, and has to be sent again."""
    try:
        if isinstance(answer, Refused):
            raise JournalFailed(f"Redis refused to write: {answer}")
        write.take(answer)
    except Cut as cut:
        assert isinstance(write, Append)
        try:
            write.cut(cut.last_seq)
        except JournalFailed as error:  # it has a hole behind what is known
            write.error = error
        else:
            return False
    except AntiphonError as error:
        write.error = error
    return True
