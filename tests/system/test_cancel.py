"""A hundred sessions over real sockets: a cancel closes the upstream before `cancelled` is sent."""

from __future__ import annotations

import json

import pytest
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from engine import (
    Cancelled,
    Engine,
    Limits,
    MemoryJournal,
    Providers,
    Subscription,
    all_pipelines,
    open_engine,
    provider_configs,
)
from engine.testing.openai_server import OpenAIServer, open_openai_server
from server.app import create_app
from server.hub import Bounds, Hub
from server.protocols import all_codecs
from tests.system.peers import serving

pytestmark = pytest.mark.system

SESSIONS = 100
LOOSE_S = 5.0
"""A bound for a busy machine; the figure itself is asked for by benchmarks/cancel.py."""


async def test_cancel_of_a_hundred_sessions() -> None:
    """The provider's stream is closed before `cancelled` is sent, for each of 100 sessions.

    Upstream, server and clients are reached by sockets only, but share one loop. So the order
    needs no clock: in the very step that shows `cancelled` to the readers, in which nothing can be
    closed, the kernel is asked whether the upstream's connection has been closed.
    """
    answer = "word " * 2000
    async with open_openai_server(answer=lambda request: answer, pace_s=0.05) as upstream:
        environ = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": "sk-test"}
        providers = Providers(provider_configs(environ), attempts=1)
        limits = Limits()
        async with open_engine(
            providers=providers,
            pipelines=all_pipelines(),
            journal=MemoryJournal(limits),
            limits=limits,
        ) as engine:
            hub = Hub(engine, all_codecs(), bounds=Bounds(), drain_s=1)
            async with serving(create_app(hub)) as served:
                clients = Clients(served.port, engine, upstream)
                await clients.run()
            assert len(upstream.requests) == SESSIONS
        await providers.aclose()
        await upstream.wait_no_connections()
    assert clients.closed_when_shown == dict.fromkeys(range(SESSIONS), True)
    took = sorted(clients.took_s)
    p99_ms = 1000 * took[int(0.99 * len(took))]
    print(f"\ncancel, {SESSIONS} sessions: p50 {1000 * took[50]:.1f} ms, p99 {p99_ms:.1f} ms")
    assert took[-1] < LOOSE_S


class Clients:
    """Runs the sessions at once, cancels each in mid-stream, and watches the order."""

    def __init__(self, port: int, engine: Engine, upstream: OpenAIServer) -> None:
        self.took_s: list[float] = []
        self.closed_when_shown: dict[int, bool] = {}
        self._port = port
        self._engine = engine
        self._upstream = upstream

    async def run(self) -> None:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(SESSIONS):
                    nursery.start_soon(self._one, number)

    async def _one(self, number: int) -> None:
        async with open_websocket_url(f"ws://127.0.0.1:{self._port}/stream") as socket:
            request = {"input": f"session number {number} .", "phases": ["idea"], "count": 1}
            await socket.send_message(json.dumps({"request": request}))
            session_id = str((await _until(socket, "chunk"))["session_id"])
            with await self._watch(number, session_id):
                await trio.sleep(0.2 + 0.01 * number)
                asked_at = trio.current_time()
                await socket.send_message(json.dumps({"type": "cancel", "session_id": session_id}))
                cancelled = await _until(socket, "cancelled")
                self.took_s.append(trio.current_time() - asked_at)
        assert cancelled["receipt"]["upstream_closed_ms"] is not None
        assert cancelled["reason"] == "client"

    async def _watch(self, number: int, session_id: str) -> Subscription:
        """Read the session beside its client, called in the step that shows an entry."""
        [received] = [each for each in self._upstream.requests if _number(each.json) == number]
        assert not received.has_left()

        def wake(subscription: Subscription) -> None:
            for entry in subscription.take_nowait():
                if isinstance(entry.event, Cancelled):
                    self.closed_when_shown.setdefault(number, received.has_left())
            subscription.arm()

        subscription = await self._engine.subscribe(session_id, wake=wake)
        wake(subscription)
        return subscription


def _number(request: dict[str, object]) -> int:
    """Find out whose request it is: each session's idea is its own."""
    text = json.dumps(request)
    return int(text.split("session number ")[1].split(" ")[0].strip('.\\",'))


async def _until(socket: WebSocketConnection, kind: str) -> dict[str, object]:
    while (message := json.loads(await socket.get_message()))["type"] != kind:
        assert message["type"] != "error", message
    return message  # type: ignore[no-any-return]
