"""What does the provider's side cost per delta, before any session sees it?

500 streams of the simulated provider, through all its wrappers and the timer wheel, 20 deltas a
second each, drained with nothing behind; and beside it the floor: as many tasks that only sleep on
the wheel. And one stream without a pause: what a delta costs when it has nothing to wait for. CPU
of the thread, in µs; rounds take turns.

    python -m benchmarks.provider_pace [--rounds 5]
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import trio

from benchmarks.results import write_result
from engine import Providers, SimSettings, Wheel
from engine.providers.interface import GenerationRequest, Message

STREAMS = 500
RATE = 20
RAMP_S = 1.0
"""Streams begin one after the other, so that each tick of the wheel has its share of them."""
SECONDS = 2.0


class Count:
    """Deltas, or naps, so far."""

    def __init__(self) -> None:
        self.value = 0


async def drain(providers: Providers, number: int, count: Count, delay_s: float) -> None:
    """Read one answer."""
    await trio.sleep(delay_s)
    message = Message(role="user", content=f"measure {number % 20}")
    request = GenerationRequest(messages=(message,), model="")
    async with providers.get("simulated").stream(request) as deltas:
        async for _ in deltas:
            count.value += 1


async def nap(wheel: Wheel, count: Count, delay_s: float) -> None:
    """Sleep as a stream does, and do nothing else."""
    due = trio.current_time() + delay_s
    while True:
        due += 1 / RATE
        await wheel.sleep_until(due)
        count.value += 1


def providers(wheel: Wheel, tokens: int, rate: float) -> Providers:
    settings = SimSettings(ttft_ms=0, tokens_per_s=rate, output_tokens=tokens)
    return Providers(sim=settings, wheel=wheel, attempts=1)


async def paced(*, is_floor: bool) -> float:
    """Give the µs of a delta, or of a nap, in a steady state."""
    wheel, count = Wheel(), Count()
    source = providers(wheel, tokens=100_000, rate=RATE)
    async with trio.open_nursery() as nursery:
        await nursery.start(wheel.run)
        for number in range(STREAMS):
            delay_s = RAMP_S * number / STREAMS
            if is_floor:
                nursery.start_soon(nap, wheel, count, delay_s)
            else:
                nursery.start_soon(drain, source, number, count, delay_s)
        await trio.sleep(RAMP_S + 0.3)
        cpu_s, before = time.thread_time(), count.value
        await trio.sleep(SECONDS)
        used_s, counted = time.thread_time() - cpu_s, count.value - before
        nursery.cancel_scope.cancel()
    return used_s / counted * 1e6


async def unpaced() -> float:
    """Give the µs of a delta that waits for nothing."""
    count = Count()
    source = providers(Wheel(), tokens=100_000, rate=0)
    cpu_s = time.thread_time()
    await drain(source, 0, count, 0.0)
    return (time.thread_time() - cpu_s) / count.value * 1e6


def main() -> None:
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 5
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)  # as the server does
    measured: dict[str, Callable[[], Awaitable[float]]] = {
        "a delta at its pace": lambda: paced(is_floor=False),
        "a nap on the wheel": lambda: paced(is_floor=True),
        "a delta without a pause": unpaced,
    }
    rows: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(rounds):
        for name, function in measured.items():
            rows[name].append(round(trio.run(function), 2))
    medians = {name: round(statistics.median(values), 2) for name, values in rows.items()}
    for name, value in medians.items():
        print(f"{name:26} {value} µs")
    result = {
        "question": "What does the provider's side cost per delta?",
        "unit": "µs of CPU of the thread",
        "streams": STREAMS,
        "deltas_per_s_and_stream": RATE,
        "medians": medians,
        "rows": rows,
    }
    print(write_result("provider_pace", result))


if __name__ == "__main__":
    main()
