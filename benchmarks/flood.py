"""Does one user's flood make another wait longer for the first token?

One user takes every session that a user may have and goes on asking: six WebSockets and six HTTP
connections that repeat as fast as answers come, in a process of their own. Another user asks for
short prompts on a few connections, at a steady pace below what one user may send: who asks faster
waits for the own turn, with and without a flood, and would not see the difference. For that one:
the time from the moment at which the request was due to the first token, so that one that is late
makes the next ones late too. Runs alternate, so that whatever else the machine does meets both
alike.

    python -m benchmarks.flood            # prints a table, writes benchmarks/results/
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from benchmarks.results import write_result
from server.tokens import Tokens
from tests.system.server_process import ServerProcess, open_server

SECRET = "a secret of the benchmark that is longer than thirty-two bytes"
CONNECTIONS = 4
"""Of the user who is measured."""
EVERY_S = 1 / 16
"""Between two of that user's requests, whose connections take turns; 20 a second are allowed."""
TURNS = 32
"""Requests of each connection in a run."""
RUNS = 4
ATTACKERS = 6
SETTLE_S = 1.5
BOUND = 1.5
"""What the other's p99 may be at the most, as a ratio: the issue promises it."""

REQUEST = {"request": {"input": "A river", "count": 1, "phases": ["prima-materia"], "maxTokens": 4}}
ENDLESS = json.dumps({"request": {"input": "A flood", "count": 1}, "detached": True})
NOTES = {"content_type": "MCQ", "input_text": "The heart pumps blood.", "num_questions": 1}
SETTINGS = {
    "ANTIPHON_JWT_SECRET": SECRET,
    "ANTIPHON_SIM_TTFT_MS": "120",
    "ANTIPHON_SIM_TOKENS_PER_S": "60",
}


def token_of(name: str) -> str:
    return Tokens(SECRET).issue(name, "editor", 3600)[0]


def headers_of(name: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {token_of(name)}")]


# ---- the flood -----------------------------------------------------------------------------------


async def attack(port: int) -> None:
    """Ask for as much as one user can, and never stop."""
    async with trio.open_nursery() as nursery:
        for _ in range(ATTACKERS):
            nursery.start_soon(_attack_by_socket, port)
            nursery.start_soon(_attack_by_http, port)


async def _attack_by_socket(port: int) -> None:
    url = f"ws://127.0.0.1:{port}/stream"
    async with open_websocket_url(url, extra_headers=headers_of("flooder")) as connection:
        while True:
            await connection.send_message(ENDLESS)
            while '"refused":true' not in await connection.get_message():
                await connection.send_message(ENDLESS)


async def _attack_by_http(port: int) -> None:
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=dict(headers_of("flooder")), timeout=60
    ) as http:
        while True:
            await http.post("/run", json=NOTES)
            await http.get("/api/sessions?limit=200")


# ---- the other user ------------------------------------------------------------------------------


async def first_tokens(server: ServerProcess) -> list[float]:
    """Ask for a while; gives the time to the first token of each request, in seconds.

    No request waits for the one before: a connection carries many sessions.
    """
    found: list[float] = []
    url = f"ws://127.0.0.1:{server.port}/stream"
    began_at = time.perf_counter() + 0.5

    async def ask(number: int) -> None:
        dues = [began_at + (number + CONNECTIONS * turn) * EVERY_S for turn in range(TURNS)]
        async with (
            open_websocket_url(url, extra_headers=headers_of("other")) as connection,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_send_when_due, connection, dues)
            found.extend(await _hear(connection, dues))

    with trio.fail_after(TURNS * CONNECTIONS * EVERY_S * 10):  # nobody who waits is left out
        async with trio.open_nursery() as nursery:
            for number in range(CONNECTIONS):
                nursery.start_soon(ask, number)
    return found


async def _send_when_due(connection: WebSocketConnection, dues: list[float]) -> None:
    for number, due_at in enumerate(dues):
        await trio.sleep(max(0.0, due_at - time.perf_counter()))
        await connection.send_message(json.dumps({**REQUEST, "request_id": str(number)}))


async def _hear(connection: WebSocketConnection, dues: list[float]) -> list[float]:
    """Read to the end of all requests; gives how long after it was due each had a token."""
    first: dict[str, float] = {}
    ended = 0
    while ended < len(dues):
        message = json.loads(await connection.get_message())
        if message["type"] == "chunk":
            first.setdefault(message["request_id"], time.perf_counter())
        elif message["type"] == "result":
            ended += 1
        elif message["type"] in ("error", "cancelled"):
            raise RuntimeError(message)
    return [first[str(number)] - due_at for number, due_at in enumerate(dues)]


# ---- both ----------------------------------------------------------------------------------------


async def measure() -> dict[str, Any]:
    alone: list[float] = []
    beside: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        async with open_server(Path(folder), env=SETTINGS) as server:
            for run in range(RUNS):
                alone += await first_tokens(server)
                beside += await _beside_a_flood(server)
                print(f"run {run + 1} of {RUNS}: {len(alone)} and {len(beside)} first tokens")
    rows = {"alone": _row(alone), "beside_the_flood": _row(beside)}
    ratio = rows["beside_the_flood"]["p99_ms"] / rows["alone"]["p99_ms"]
    return {
        "question": (__doc__ or "").splitlines()[0],
        "settings": {key: value for key, value in SETTINGS.items() if "SECRET" not in key},
        "connections": CONNECTIONS,
        "rows": rows,
        "p99_ratio": round(ratio, 3),
        "bound": BOUND,
        "holds": ratio <= BOUND,
    }


async def _beside_a_flood(server: ServerProcess) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.flood", str(server.port)]
    flood = await trio.lowlevel.open_process(command, stderr=subprocess.DEVNULL)
    try:
        await trio.sleep(SETTLE_S)
        assert flood.returncode is None, "the flood ended by itself"
        found = await first_tokens(server)
        assert flood.returncode is None, "the flood ended by itself"
        return found
    finally:
        flood.kill()
        with trio.CancelScope(shield=True):
            await flood.wait()


def _row(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {
        "first_tokens": len(values),
        "p50_ms": round(cuts[49] * 1000, 1),
        "p99_ms": round(cuts[98] * 1000, 1),
        "max_ms": round(max(values) * 1000, 1),
    }


def main() -> None:
    if len(sys.argv) > 1:
        trio.run(attack, int(sys.argv[1]))
        return
    result = trio.run(measure)
    for name, row in result["rows"].items():
        print(f"{name:>18}: {row}")
    print(f"p99 ratio {result['p99_ratio']} (at most {BOUND})")
    print(write_result("flood", result))


if __name__ == "__main__":
    main()
