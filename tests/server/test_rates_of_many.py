"""Limits of a user hold across the processes of one service, and while the board is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from engine.errors import InvalidRequest, RateLimited, Unauthenticated
from server.login import FREE, LONGEST_WAIT_S, Login
from server.rates import Pace, Rate
from server.tokens import Tokens
from tests.cluster.rig import Process, open_cluster
from tests.server.test_login import SECRET, Few


@asynccontextmanager
async def open_two() -> AsyncIterator[tuple[Process, Process]]:
    async with open_cluster() as (_, (a, b)):
        yield a, b


def rates(processes: tuple[Process, Process], calls: int) -> list[Rate]:
    return [Rate(calls, 60, process.engine.counting) for process in processes]


async def call(rate: Rate, user: str = "ada") -> None:
    async with rate.call(user):
        await trio.lowlevel.checkpoint()


async def test_runs_count_wherever_they_are_called(autojump_clock: MockClock) -> None:
    """10 `/run` calls a minute for a user, at whichever process, and not 10 at each."""
    async with open_two() as processes:
        here, there = rates(processes, 3)
        for rate in (here, there, here):
            await call(rate)
            await trio.sleep(10)
        for rate in (here, there):
            with pytest.raises(RateLimited) as refused:
                await call(rate)
            assert refused.value.retry_after_s == pytest.approx(30, abs=0.1)
        await call(there, "bob")
        await trio.sleep(30.1)
        await call(there)


async def test_what_was_refused_anywhere_does_not_count(autojump_clock: MockClock) -> None:
    """A call that did not begin gives its place back to all processes, also when cancelled."""
    async with open_two() as processes:
        here, there = rates(processes, 1)
        with pytest.raises(InvalidRequest):
            async with here.call("ada"):
                raise InvalidRequest("bad")
        with trio.move_on_after(1):
            async with there.call("ada"):
                await trio.sleep_forever()
        await call(here)
        with pytest.raises(RateLimited):
            await call(there)


async def test_process_without_board_counts_for_itself(autojump_clock: MockClock) -> None:
    """While the board is away nobody waits for it for long, and each process's own limit holds."""
    async with open_two() as processes:
        here, there = rates(processes, 2)
        for process in processes:
            process.board.is_cut = True
        began_at = trio.current_time()
        for rate in (here, there):
            for _ in range(2):
                await call(rate)
            with pytest.raises(RateLimited):
                await call(rate)
        assert trio.current_time() - began_at < 2.5
        await trio.sleep(3)
        began_at = trio.current_time()
        await call(here, "bob")
        assert trio.current_time() == began_at


async def test_pace_is_one_for_all_processes(autojump_clock: MockClock) -> None:
    """A user with a connection to each process is no faster than with one."""
    async with open_two() as processes:
        paces = [Pace(10, 5, process.engine.counting) for process in processes]
        began_at = trio.current_time()
        for number in range(26):
            await paces[number % 2].turn("ada")
        assert trio.current_time() - began_at == pytest.approx(2.0, abs=0.1)
        before = trio.current_time()
        await paces[0].turn("bob")
        assert trio.current_time() - before < 0.01


async def test_failed_logins_are_slowed_across_processes(autojump_clock: MockClock) -> None:
    """Guessing at each process in turn is as slow as at one; a success forgets it at all."""
    async with open_two() as processes:
        entries = [
            Login(
                Few(),  # type: ignore[arg-type]
                Tokens(SECRET),
                lifetime_s=60,
                counting=process.engine.counting,
            )
            for process in processes
        ]

        async def fail(number: int) -> float:
            began_at = trio.current_time()
            with pytest.raises(Unauthenticated):
                await entries[number % 2].enter("ada", "wrong")
            return trio.current_time() - began_at

        waits = [await fail(number) for number in range(FREE + 6)]
        expected = [0.0] * FREE + [0.5, 1.0, 2.0, 4.0, LONGEST_WAIT_S, LONGEST_WAIT_S]
        assert waits == pytest.approx(expected, abs=0.05)
        await entries[0].enter("ada", "right")
        assert await fail(1) < 0.05


async def test_one_guess_at_a_time_in_all_processes(autojump_clock: MockClock) -> None:
    """While one process tries a name that has failures, the other refuses it."""
    async with open_two() as processes:
        users = Few(takes_s=1.0)
        entries = [
            Login(
                users,  # type: ignore[arg-type]
                Tokens(SECRET),
                lifetime_s=60,
                counting=process.engine.counting,
            )
            for process in processes
        ]
        codes: list[str] = []

        async def guess(entry: Login) -> None:
            try:
                await entry.enter("ada", "wrong")
            except (Unauthenticated, RateLimited) as error:
                codes.append(error.code)

        for _ in range(FREE):
            await guess(entries[0])
        async with trio.open_nursery() as nursery:
            for entry in entries:
                nursery.start_soon(guess, entry)
        assert sorted(codes[FREE:]) == ["rate_limited", "unauthenticated"]
