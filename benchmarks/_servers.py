"""The servers that are measured: how each is started, asked and ended, and one run against it.

It is no benchmark by itself. The server has one core, the client another; a server is ended by its
pid. Ours runs as it is served to users: log, SQLite journal, supervision and cancel on.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).parent
SERVER_CORE, CLIENT_CORE = 0, min(1, (os.cpu_count() or 1) - 1)
START_S = 30
LISTENING = re.compile(r"(?:listening|running) on https?://[^:]+:(\d+)", re.IGNORECASE)
WAIT_S = 4.0
"""Where readers have to stand before the first delta (SSE, fan-out): the server's pause first."""

MOST_CLIENT_SHARE = 0.85
MOST_CLIENT_LAG_MS = 5.0
MOST_STRANGERS = 0.15
"""Of a core, by processes that are neither the server nor the client."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks for; `rate` 0 is no pause, and the pace is made in the server."""

    sessions: int
    tokens: int
    rate: float = 0
    cancel: float = 0
    mode: str = "websocket"
    ramp_s: float = 0
    tls: bool = False

    @property
    def seconds(self) -> float:
        """How long a session streams, where it is paced."""
        return self.tokens / self.rate if self.rate else 5


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A server that listens."""

    pid: int
    port: int


Certificate = tuple[str, str]


def _ours(certificate: Certificate | None, folder: str) -> list[str]:
    if certificate:
        return [sys.executable, "-m", "benchmarks._tls_server", folder, *certificate]
    return [sys.executable, "-m", "server", "serve", "--port", "0", "--data", folder]


def _fastapi(certificate: Certificate | None, folder: str) -> list[str]:
    tls = ["--ssl-certfile", certificate[0], "--ssl-keyfile", certificate[1]] if certificate else []
    return [
        *(sys.executable, "-m", "uvicorn", "benchmarks.peers.fastapi_twin:app", "--port", "0"),
        *("--loop", "uvloop", "--http", "h11", "--ws", "websockets", "--log-level", "info"),
        *("--ws-per-message-deflate", "false", "--no-access-log", *tls),
    ]


def _websockets(certificate: Certificate | None, folder: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.peers.websockets_twin", *(certificate or ())]


def _node(certificate: Certificate | None, folder: str) -> list[str]:
    return ["node", str(HERE / "peers" / "node_twin.mjs"), *(certificate or ())]


def _quart(certificate: Certificate | None, folder: str) -> list[str]:
    tls = ["--certfile", certificate[0], "--keyfile", certificate[1]] if certificate else []
    return [
        *(sys.executable, "-m", "hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:0"),
        # In this process, and not in a child of it, whose CPU would not be seen.
        *("--workers", "0", *tls, "benchmarks.peers.quart_twin:app"),
    ]


SERVERS: dict[str, Callable[[Certificate | None, str], list[str]]] = {
    "fastapi": _fastapi,
    "websockets": _websockets,
    "node": _node,
    "quart": _quart,
    "ours": _ours,
}


def missing(name: str) -> str | None:
    """Say why a server cannot be measured here; None where it can."""
    if name == "node":
        if shutil.which("node") is None:
            return "Node is not installed"
        if not (HERE.parent / "node_modules" / "ws").exists():
            return "Node's `ws` is not installed: make node"
    return None


def allow_files() -> None:
    """Let this process and its children open as many sockets as the system permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def serving(
    name: str,
    load: Workload,
    *,
    core: int | None = SERVER_CORE,
    certificate: Certificate | None = None,
) -> Iterator[Running]:
    """Run one server, set up for a workload; it is ended with the block."""
    allow_files()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            SERVERS[name](certificate, folder), env=_environment(load), stdout=output, stderr=output
        )
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            deadline = time.monotonic() + START_S
            while not (found := LISTENING.search(_text(output))):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not start: {_text(output)}")
                time.sleep(0.1)
            time.sleep(0.5)
            yield Running(pid=process.pid, port=int(found[1]))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _text(output: Any) -> str:
    output.seek(0)
    text: str = output.read()
    return text


def _environment(load: Workload) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return {
        **plain,
        "PYTHONUNBUFFERED": "1",
        "ANTIPHON_SIM_TTFT_MS": "0" if load.mode == "websocket" else str(int(WAIT_S * 1000)),
        "ANTIPHON_SIM_TOKENS_PER_S": str(load.rate),
        "ANTIPHON_SIM_OUTPUT_TOKENS": str(load.tokens),
        "ANTIPHON_REQUESTS_PER_SECOND": "0",
        "ANTIPHON_DRAIN_S": "0",
    }


def request_for(name: str, load: Workload) -> dict[str, Any]:
    """Give the message that begins a session."""
    if name == "ours":
        return {"request": {"input": "measure", "phases": ["idea"], "count": 1, "maxTokens": 32000}}
    wait_s = 0 if load.mode == "websocket" else WAIT_S
    sse = load.mode == "events"
    return {"tokens": load.tokens, "rate": load.rate, "wait_s": wait_s, "sse": sse}


@contextmanager
def open_load(
    name: str,
    load: Workload,
    servers: Sequence[Running],
    *,
    core: int | None = CLIENT_CORE,
    request: str | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run the load client up to the point where it waits for "go".

    Args:
        name: the server's, whose way of asking it uses.
        load: what to do.
        servers: whom to ask, in turn.
        core: the client's own.
        request: what begins a session, as JSON, in place of the workload's.
    """
    request = request or json.dumps(request_for(name, load))
    command = [
        *(sys.executable, "-m", "benchmarks._load", "--mode", load.mode),
        *("--port", *(str(each.port) for each in servers)),
        *("--pid", *(str(each.pid) for each in servers)),
        *("--request", request, "--sessions", str(load.sessions)),
        *("--rate", str(load.rate), "--seconds", str(load.seconds), "--cancel", str(load.cancel)),
        *("--ramp", str(load.ramp_s)),
        *("--limit", str(load.ramp_s + 4 * load.seconds + 30)),
        *(["--tls"] if load.tls else []),
        *([] if name == "ours" else ["--events-path", "/events/{}"]),
    ]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if core is not None:
            os.sched_setaffinity(client.pid, {core})
        assert client.stdout is not None
        if client.stdout.readline().strip() != "ready":
            raise SystemExit(f"the load client did not get ready against {name}")
        yield client
    finally:
        client.kill()
        client.wait()


def go(client: subprocess.Popen[str]) -> None:
    """Let a load begin."""
    assert client.stdin is not None
    client.stdin.write("go\n")
    client.stdin.flush()


def answer_of(client: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for what a load has found."""
    assert client.stdout is not None
    found: dict[str, Any] = json.loads(client.stdout.readline())
    return found


def measure(name: str, load: Workload) -> dict[str, Any]:
    """Run one workload against one server, and say what makes the figures doubtful."""
    with ExitStack() as stack:
        pair = stack.enter_context(open_certificate()) if load.tls else None
        server = stack.enter_context(serving(name, load, certificate=pair))
        client = stack.enter_context(open_load(name, load, [server]))
        busy_s, begin = machine_busy_s(), time.monotonic()
        go(client)
        found = answer_of(client)
        wall_s = time.monotonic() - begin
        strangers = (machine_busy_s() - busy_s) / wall_s
        strangers -= found["server_share"] + found["client_share"]
    found["strangers_share"] = round(max(0.0, strangers), 2)
    return {"server": name, **found, "doubts": doubts(found, load)}


def doubts(found: dict[str, Any], load: Workload) -> list[str]:
    """Say why a run does not count; an empty list where it does."""
    said = []
    if found["client_share"] > MOST_CLIENT_SHARE:
        said.append(f"the client was the limit: {found['client_share']} of its core")
    lag_ms = (found["client_lag_ms"] or {}).get("p99", 0)
    if load.rate and lag_ms > MOST_CLIENT_LAG_MS:
        said.append(f"the client looked late: p99 {lag_ms} ms")
    if found["strangers_share"] > MOST_STRANGERS:
        said.append(f"others had {found['strangers_share']} of a core")
    if found["ended"] < found["readers"]:
        said.append(f"only {found['ended']} of {found['readers']} readers came to an end")
    return said


def machine_busy_s() -> float:
    """Give the CPU time that everything on the machine has used, in seconds."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, interrupts, soft = map(int, stat.readline().split()[1:8])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


@contextmanager
def open_certificate() -> Iterator[Certificate]:
    """Give a certificate for localhost and its key, as paths."""
    if shutil.which("openssl") is None:
        raise SystemExit("the openssl command, which makes the certificate, is not installed")
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = f"{folder}/certificate.pem", f"{folder}/key.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-keyout", key, "-out", certificate),
            ],
            check=True,
            capture_output=True,
        )
        yield certificate, key
