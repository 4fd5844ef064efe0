"""Simulated runs: the same seed is the same run, another seed another one."""

from __future__ import annotations

import random
import time

import trio

from engine.testing.deterministic import run_deterministic

Trace = list[tuple[float, str]]


async def race() -> Trace:
    """Let eight tasks compete for turns, rooms in a channel and moments of time."""
    trace: Trace = []
    send, receive = trio.open_memory_channel[str](1)

    async def runner(name: str, channel: trio.MemorySendChannel[str]) -> None:
        async with channel:
            for lap in range(3):
                await trio.lowlevel.checkpoint()
                trace.append((trio.current_time(), f"{name} {lap}"))
                await channel.send(name)
                await trio.sleep(random.random())

    async with trio.open_nursery() as nursery:
        for name in "abcdefgh":
            nursery.start_soon(runner, name, send.clone())
        send.close()
        async for name in receive:
            trace.append((trio.current_time(), f"got {name}"))
    return trace


def test_one_seed_gives_one_trace_fifty_times() -> None:
    """A seed that fails once fails always."""
    first = run_deterministic(race, seed=7)
    assert all(run_deterministic(race, seed=7) == first for _ in range(49))


def test_fifty_seeds_give_fifty_schedules() -> None:
    names = {tuple(name for _, name in run_deterministic(race, seed=seed)) for seed in range(50)}
    assert len(names) == 50


def test_an_hour_of_waiting_costs_nothing() -> None:
    started = time.perf_counter()
    run_deterministic(trio.sleep, 3600, seed=1)
    assert time.perf_counter() - started < 1


def test_a_simulated_run_leaves_the_seeds_of_others_alone() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    run_deterministic(race, seed=7)
    assert random.random() == expected
