"""Do slow readers hurt the others?

A hundred readers, each of a session of its own on a connection of its own: first all at full pace,
then with one that takes 2 kB/s and one that never reads among them. Asked is the inter-delta time
of the others (p50, p99: by how much it moves), and the server's resident memory over the time.
Sessions are detached, so that nothing holds their producers back: the worst for memory.

    python -m benchmarks.slow_readers --seconds 60      # prints, writes benchmarks/results/
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from benchmarks.results import write_result
from tests.system.peers import UPGRADE, masked
from tests.system.server_process import ServerProcess

READERS = 100
SLOW_BYTES_PER_S = 2_000
TOKENS_PER_S = 20
WARM_UP_S = 60.0
"""Until every session's window is full, which is when its memory has its final size."""

Phase = dict[str, Any]


class Reader:
    """One client over a bare socket, so that a hundred of them cost little."""

    def __init__(self, port: int, index: int, pace: str) -> None:
        self.pace = pace
        self.gaps_s: list[float] = []
        self.received = 0
        self._port = port
        self._index = index
        self._last_s: float | None = None

    async def run(self, count: int, measure_from_s: float) -> None:
        while True:
            try:
                await self._read(count, measure_from_s)
            except* trio.BrokenResourceError:
                if self.pace != "never":  # the kernel gives up on that one after a minute
                    raise

    async def _read(self, count: int, measure_from_s: float) -> None:
        sock = trio.socket.socket()
        if self.pace != "full":
            sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        await sock.connect(("127.0.0.1", self._port))
        stream = trio.SocketStream(sock)
        try:
            await stream.send_all(UPGRADE % b"/stream")
            answer = await stream.receive_some(4096)
            assert answer.startswith(b"HTTP/1.1 101"), bytes(answer)
            request = (
                b'{"request":{"input":"reader %d","count":%d,"maxTokens":32000},"detached":true}'
                % (self._index, count)
            )
            await stream.send_all(masked(0x81, request))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._show_life, stream)
                if self.pace == "never":
                    await trio.sleep_forever()
                if self.pace == "slow":
                    await self._trickle(stream)
                while data := await stream.receive_some(65536):
                    self.received += len(data)
                    self._note(data, measure_from_s)
                raise AssertionError(f"reader {self._index} was closed")
        finally:
            await trio.aclose_forcefully(stream)

    async def _show_life(self, stream: trio.SocketStream) -> None:
        """Send pongs that nobody asked for: without any the server takes a peer for dead."""
        while True:
            await trio.sleep(15)
            await stream.send_all(masked(0x8A, b""))

    async def _trickle(self, stream: trio.SocketStream) -> None:
        while data := await stream.receive_some(SLOW_BYTES_PER_S // 4):
            self.received += len(data)
            await trio.sleep(0.25)

    def _note(self, data: bytes | bytearray, measure_from_s: float) -> None:
        """Note the time between two arrivals of text of one prompt."""
        now = time.perf_counter()
        if b'"type":"chunk"' not in data or b"_complete" in data or b"_start" in data:
            self._last_s = None
            return
        if self._last_s is not None and now >= measure_from_s:
            self.gaps_s.append(now - self._last_s)
        self._last_s = now


async def measure(
    server: ServerProcess,
    seconds: float,
    paces: list[str],
    *,
    readers: int = READERS,
    warm_up_s: float = WARM_UP_S,
) -> Phase:
    """Run all readers for some seconds; gives the gaps of those at full pace, and the memory."""
    everyone = [
        Reader(server.port, index, paces[index] if index < len(paces) else "full")
        for index in range(readers)
    ]
    begin = time.perf_counter() + warm_up_s
    memory: list[int] = []
    with trio.move_on_after(warm_up_s + seconds):
        async with trio.open_nursery() as nursery:
            for reader in everyone:
                nursery.start_soon(reader.run, 20, begin)
                await trio.sleep(1 / TOKENS_PER_S / readers)
            await trio.sleep(max(0.0, begin - time.perf_counter()))
            while True:
                memory.append(server.resident_bytes)
                await trio.sleep(1)
    gaps_ms = [gap * 1000 for each in everyone if each.pace == "full" for gap in each.gaps_s]
    cuts = statistics.quantiles(gaps_ms, n=1000)
    return {
        "readers": readers,
        "slow": [pace for pace in paces if pace != "full"],
        "deltas": len(gaps_ms),
        "gap_ms": {
            "p50": round(cuts[499], 2),
            "p99": round(cuts[989], 2),
            "p99.9": round(cuts[998], 2),
        },
        "memory_mib": [round(size / 2**20, 1) for size in memory],
        "slow_received_bytes": {each.pace: each.received for each in everyone[: len(paces)]},
    }


SETTINGS: dict[str, object] = {
    "sim_ttft_ms": 20,
    "sim_tokens_per_s": TOKENS_PER_S,
    "sim_output_tokens": 1500,
    "stall_s": 600,
}
"""A long stall time, so that the reader that never reads stays for the whole minute."""


async def compare(seconds: float, data: Path, warm_up_s: float = WARM_UP_S) -> tuple[Phase, Phase]:
    """Measure without and with the two slow readers, each on a fresh server."""
    phases = []
    for name, paces in (("without", []), ("with", ["slow", "never"])):
        server = ServerProcess(data / name, **SETTINGS)  # type: ignore[arg-type]
        await server.start()
        try:
            phases.append(await measure(server, seconds, paces, warm_up_s=warm_up_s))
        finally:
            with trio.CancelScope(shield=True):
                await server.kill()
    return phases[0], phases[1]


def growth_mib(phase: Phase) -> float:
    """Give how much memory grew from the first quarter's median to the last quarter's."""
    memory = phase["memory_mib"]
    quarter = max(1, len(memory) // 4)
    return round(statistics.median(memory[-quarter:]) - statistics.median(memory[:quarter]), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        without, among = trio.run(compare, seconds, Path(folder))
    p99_moves = among["gap_ms"]["p99"] / without["gap_ms"]["p99"] - 1
    result = {
        "question": "Do slow readers hurt the others?",
        "settings": {"seconds": seconds, "warm_up_s": WARM_UP_S, **SETTINGS},
        "p99_moves_percent": round(100 * p99_moves, 1),
        "memory_grows_mib": {"without": growth_mib(without), "with": growth_mib(among)},
        "without": without,
        "with": among,
    }
    print(f"p99 {without['gap_ms']['p99']} ms -> {among['gap_ms']['p99']} ms ({p99_moves:+.1%})")
    print(f"memory grows by {result['memory_grows_mib']} MiB")
    print(write_result("slow_readers", result))


if __name__ == "__main__":
    main()
