"""W2 in one process: the whole way of a delta, from the provider's pace to a socket that takes all.

For instruments that a network, a disk and other processes would disturb: the memory journal, a
virtual clock, and lines that count what a kernel would be given. Two clocks: one stands still while
Python works (what is counted is then the same in every run); one moves with the loop's own CPU
time, and jumps where the loop would sleep, so that lateness is what this code causes and nothing
else on the machine.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

import trio
from trio.testing import MockClock

from benchmarks.engine_rig import open_rig
from engine import Engine, Entry, Options
from server.frames import text_frame
from server.hub import Bounds, Hub
from server.line import Line
from server.protocols import all_codecs
from server.protocols.encoding import Encoder
from server.transports.writer import Feed, Writer
from server.wire import Wire

REQUEST = {"request": {"input": "measure", "phases": ["idea"], "count": 1, "maxTokens": 32000}}


class NullLine(Line):
    """Takes everything, and remembers when."""

    __slots__ = ("asked_at", "taken")

    def __init__(self) -> None:  # no socket
        self._sent_bytes = 0
        self.asked_at = 0.0
        self.taken: list[tuple[float, bytes]] = []

    def send_nowait(self, data: bytes | memoryview) -> int:
        """Take all of it."""
        self._sent_bytes += len(data)
        self.taken.append((trio.current_time(), bytes(data)))
        return len(data)

    def tokens(self) -> list[tuple[int, float]]:
        """Give the token counts that were sent, and when: seconds of trio's clock."""
        found = []
        for at, data in self.taken:
            place = data.rfind(b'"tokens":')
            if place >= 0 and b'"chunk"' in data[:40]:
                found.append((int(data[place + 9 :].split(b",", 1)[0]), at))
        return found


class NullStream(trio.abc.SendStream):
    """Where a wire's task would send."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Take all of it."""
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """There is always room."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """There is nothing to close."""
        await trio.lowlevel.checkpoint()


def run_sessions(
    sessions: int, tokens: int, *, rate: float, ramp_s: float, on_cpu_clock: bool
) -> list[NullLine]:
    """Run so many sessions, each with one reader, started evenly over the ramp; give their lines.

    Args:
        sessions: how many.
        tokens: of each.
        rate: tokens a second of each.
        ramp_s: seconds from the first start to the last.
        on_cpu_clock: whether time passes with the CPU time of this thread, or not at all.
    """
    clock = MockClock(rate=1.0 if on_cpu_clock else 0.0, autojump_threshold=0)
    if on_cpu_clock:
        clock._real_clock = time.thread_time  # type: ignore[attr-defined]  # no public way
        clock._real_base = time.thread_time()  # type: ignore[attr-defined]
    return trio.run(_run, sessions, tokens, rate, ramp_s, clock=clock)


async def _run(sessions: int, tokens: int, rate: float, ramp_s: float) -> list[NullLine]:
    lines = [NullLine() for _ in range(sessions)]
    async with open_rig(
        "memory", sim_ttft_ms=0, sim_tokens_per_s=rate, sim_output_tokens=tokens
    ) as engine:
        hub = Hub(engine, all_codecs(), bounds=Bounds(), drain_s=1)
        begin = trio.current_time()
        async with trio.open_nursery() as nursery:
            for index, line in enumerate(lines):
                await trio.sleep_until(begin + index * ramp_s / sessions)
                nursery.start_soon(_serve, engine, hub, line)
    return lines


async def _serve(engine: Engine, hub: Hub, line: NullLine) -> None:
    """Serve one client as a WebSocket's conversation does."""
    async with trio.open_nursery() as nursery:

        def spawn(task: Callable[[], Awaitable[None]]) -> None:
            nursery.start_soon(task)

        def nothing() -> None: ...

        wire = Wire(NullStream(), spawn, nothing, nothing, line=line)
        wire.open()
        ended = trio.Event()
        writer = Writer(None, wire, frame=text_frame, max_control=8, on_end=lambda _: ended.set())
        nursery.start_soon(writer.run)
        line.asked_at = trio.current_time()
        session = await engine.start("generate", REQUEST, options=Options())
        feed = Feed(hub.encoder(session.record).shared(_frame), lambda _: b"")
        feed.subscription = await engine.subscribe(
            session.session_id, wake=partial(writer.wake, feed)
        )
        writer.follow(feed)
        await ended.wait()
        feed.subscription.close()
        nursery.cancel_scope.cancel()


def _frame(encoder: Encoder, entry: Entry) -> bytes:
    return text_frame(encoder.encode(entry))
