"""A local OpenAI-compatible upstream that notes when each request's client has gone.

Behind the server under load it shows what a cancel is for: not that the server says it has closed
its upstream, but that the upstream saw it. It runs in a process of its own:

    python -m benchmarks.load.upstream --port 0 --pace-s 0.05 --words 2000

prints its port and serves 127.0.0.1 until its stdin ends. For each line that it reads it prints who
has left since the last one: a line of JSON with [number, gone_at] pairs, by the clock that all
processes share. The number is the one that the request's text names (`interface.marked`).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import msgspec
import trio

from benchmarks.load.adapters.interface import MARK
from benchmarks.load.limits import START_SERVER_S, STOP_SERVER_S
from benchmarks.load.lines import Lines
from engine.testing.openai_server import open_openai_server

_NUMBER = re.compile(re.escape(MARK).replace(r"\{\}", r"(\d+)"))

_gone = msgspec.json.Decoder(list[tuple[int, float]])


class Upstream:
    """The double, as its parent sees it; `open_upstream` runs it."""

    def __init__(self, process: trio.Process, lines: Lines, port: int) -> None:
        self.port = port
        self._process = process
        self._lines = lines

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def environ(self) -> dict[str, str]:
        """What a server has to know to use it."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": "load-test"}

    async def closes(self) -> dict[int, float]:
        """Give the moment of the last close for each request that was cut off since the last call.

        Cancellation: an answer may be left in the pipe; do not ask again.
        """
        assert self._process.stdin is not None
        found: dict[int, float] = {}
        with trio.move_on_after(STOP_SERVER_S):
            await self._process.stdin.send_all(b"closes\n")
            said = await self._lines.next()
            for number, at in _gone.decode(said or b"[]"):
                found[number] = max(at, found.get(number, 0.0))
        return found


@asynccontextmanager
async def open_upstream(*, port: int, pace_s: float, words: int) -> AsyncIterator[Upstream]:
    """Run the double around the block.

    Raises:
        OSError: it cannot listen on the port.
    """
    command = [sys.executable, "-m", "benchmarks.load.upstream"]
    command += ["--port", str(port), "--pace-s", str(pace_s), "--words", str(words)]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        lines = Lines(process.stdout)
        with trio.fail_after(START_SERVER_S):
            said = await lines.next()
        if said is None:
            raise OSError(f"the upstream double cannot listen on port {port}")
        yield Upstream(process, lines, int(said))
    finally:
        with trio.move_on_after(STOP_SERVER_S, shield=True):
            process.kill()
            await process.wait()


async def _serve(port: int, pace_s: float, words: int) -> None:
    text = "word " * words
    async with open_openai_server(answer=lambda asked: text, pace_s=pace_s, port=port) as server:
        print(server.port, flush=True)
        while await trio.to_thread.run_sync(sys.stdin.readline):
            offset_s = monotonic() - trio.current_time()  # trio counts from a point of its own
            gone = [
                (int(found[1]), received.gone_at + offset_s)
                for received in server.requests
                if received.gone_at is not None
                and (found := _NUMBER.search(json.dumps(received.json)))
            ]
            server.requests.clear()
            print(json.dumps(gone), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pace-s", type=float, default=0.05)
    parser.add_argument("--words", type=int, default=2000)
    args = parser.parse_args()
    trio.run(_serve, args.port, args.pace_s, args.words)


if __name__ == "__main__":
    main()
