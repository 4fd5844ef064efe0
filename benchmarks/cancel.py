"""How long from a cancel's acceptance until the upstream is closed, and until the client hears it?

Three processes and real sockets between them: an OpenAI-compatible upstream, `antiphon serve` with
the SQLite journal, and this one, the clients. Each session has a WebSocket of its own and is
cancelled in mid-stream: one after the other while the rest streams on, and all in one moment.
All three read one clock (CLOCK_MONOTONIC), so moments compare across processes: `closed_ms` is what
the receipt says, from acceptance to the upstream's end; `gone_ms` is from the client's asking until
the upstream itself saw its connection closed; `heard_ms` until the client has `cancelled`;
`lead_ms` is how much earlier the upstream saw the end than the client heard of it. On a busy
machine the upstream may be late to look; so the kernel is asked too, at each `cancelled` that comes
alone, how many of the server's connections to the upstream are open: one less each time, or
`open_too_long` counts it.

    python -m benchmarks.cancel              # prints, writes benchmarks/results/
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from benchmarks._load import quantiles
from benchmarks._upstream import SESSION
from benchmarks.results import write_result
from tests.system.server_process import serving

DELTAS_PER_S = 2000
"""Of all sessions together: what two cores carry beside the clients without being busy."""
APART_S = 0.02
"""Between two cancels where they come one after the other."""
WORDS = 4000
SESSIONS = (100, 500)
ORDERS = ("in turn", "at once")


class Talk:
    """One client: its session, and the moments of its cancel."""

    def __init__(self, number: int, socket: WebSocketConnection) -> None:
        self.number = number
        self.socket = socket
        self.streams = trio.Event()
        self.heard = trio.Event()
        self.asked_at = self.heard_at = 0.0
        self.receipt: dict[str, Any] = {}

    async def read(self) -> None:
        """Read to the end; the moment of the end is taken before anything is decoded."""
        request = {"input": SESSION % self.number, "phases": ["idea"], "count": 1}
        await self.socket.send_message(json.dumps({"request": request}))
        while True:
            text = await self.socket.get_message()
            now = time.monotonic()
            if text.startswith('{"type":"chunk"'):
                self.streams.set()
                continue
            message = json.loads(text)
            assert message["type"] != "error", message
            if message["type"] == "cancelled":
                self.heard_at, self.receipt = now, message["receipt"]
                self.heard.set()
                return

    async def cancel(self) -> None:
        self.asked_at = time.monotonic()
        await self.socket.send_message('{"type":"cancel"}')


@asynccontextmanager
async def open_upstream(pace_s: float) -> AsyncIterator[tuple[int, trio.Process]]:
    """Run the upstream; gives its port and its process."""
    command = [sys.executable, "-m", "benchmarks._upstream"]
    command += ["--pace-s", str(pace_s), "--words", str(WORDS)]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield int(await process.stdout.receive_some()), process
    finally:
        with trio.CancelScope(shield=True):
            process.terminate()
            await process.wait()


async def gone_at(upstream: trio.Process) -> dict[int, float]:
    """Ask the upstream when each session's connection was closed."""
    assert upstream.stdin is not None
    assert upstream.stdout is not None
    await upstream.stdin.aclose()
    answer = b"".join([data async for data in upstream.stdout])
    return {seen["session"]: seen["gone_at"] for seen in json.loads(answer)}


async def measure(sessions: int, order: str, folder: Path) -> dict[str, Any]:
    """Cancel that many sessions, and compare what the three processes saw."""
    async with open_upstream(sessions / DELTAS_PER_S) as (port, upstream):
        (folder / "antiphon.toml").write_text("[providers.openai]\nconcurrency = 0\n")
        env = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "sk-benchmark"}
        async with serving(folder / "data", env=env) as server:
            url = f"ws://127.0.0.1:{server.port}/stream"
            talks, too_long = await converse(sessions, order, url, port)
        gone = await gone_at(upstream)
    assert len(gone) == sessions
    leads = [talk.heard_at - gone[talk.number] for talk in talks]
    closed = [talk.receipt["upstream_closed_ms"] for talk in talks]
    return {
        "sessions": sessions,
        "order": order,
        "closed_ms": quantiles([each / 1000 for each in closed if each is not None]),
        "no_upstream_open": closed.count(None),
        "gone_ms": quantiles([gone[talk.number] - talk.asked_at for talk in talks]),
        "heard_ms": quantiles([talk.heard_at - talk.asked_at for talk in talks]),
        "lead_ms": {"min": round(min(leads) * 1000, 2), **(quantiles(leads) or {})},
        "heard_before_gone": sum(lead <= 0 for lead in leads),
        "open_too_long": too_long,
        "most_tokens_after_accept": max(talk.receipt["tokens_after_accept"] for talk in talks),
    }


async def converse(
    sessions: int, order: str, url: str, upstream_port: int
) -> tuple[list[Talk], int | None]:
    """Run all sessions, wait until each streams, then cancel them.

    Returns: the clients; how many heard `cancelled` while the upstream was open (None: not asked).
    """
    talks: list[Talk] = []
    too_long = 0
    async with trio.open_nursery() as connections:
        for number in range(sessions):
            socket = await connections.start(keep_open, url)
            talks.append(Talk(number, socket))
        async with trio.open_nursery() as readers:
            for talk in talks:
                readers.start_soon(talk.read)
            for talk in talks:
                await talk.streams.wait()
            await trio.sleep(2)
            for left, talk in zip(reversed(range(sessions)), talks, strict=True):
                await talk.cancel()
                if order == "in turn":
                    await talk.heard.wait()
                    too_long += open_connections(upstream_port) > left
                    await trio.sleep(APART_S)
        connections.cancel_scope.cancel()
    return talks, too_long if order == "in turn" else None


def open_connections(port: int) -> int:
    """Ask the kernel how many connections to a port of the loopback have not been closed here."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ends = [row.split()[2:4] for row in rows]
    return sum(state == "01" and remote == f"0100007F:{port:04X}" for remote, state in ends)


async def keep_open(url: str, task_status: trio.TaskStatus[WebSocketConnection]) -> None:
    async with open_websocket_url(url) as socket:
        task_status.started(socket)
        await trio.sleep_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, nargs="*", default=SESSIONS)
    rows = []
    for sessions in parser.parse_args().sessions:
        for order in ORDERS:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(trio.run(measure, sessions, order, Path(folder)))
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    question = "How long until a cancelled session's upstream is closed, and its client hears it?"
    settings = {"deltas_per_s": DELTAS_PER_S, "apart_s": APART_S, "journal": "sqlite"}
    print(write_result("cancel", {"question": question, "settings": settings, "rows": rows}))


if __name__ == "__main__":
    main()
