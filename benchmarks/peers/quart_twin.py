"""Our own stack as one writes it at first: Quart-Trio on stock Hypercorn, a send for each delta.

It shows what the engine's connection and writer are for. Run by `hypercorn --worker-class trio`.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import trio
from quart import Response, websocket
from quart_trio import QuartTrio

from benchmarks.peers.message import CANCELLED, RESULT, Messages, settle_memory

app = QuartTrio(__name__)
rooms: dict[str, list[trio.MemorySendChannel[str]]] = {}
waiting: dict[str, dict[str, Any]] = {}

settle_memory()


async def produce(
    channels: list[trio.MemorySendChannel[str]], messages: Messages, wanted: dict[str, Any]
) -> None:
    """Send each delta into each reader's channel."""
    await trio.sleep(wanted.get("wait_s", 0))
    start, rate = time.monotonic(), wanted["rate"]
    for number in range(1, wanted["tokens"] + 1):
        if rate:
            await trio.sleep(max(0, start + number / rate - time.monotonic()))
        text = messages.chunk(number, " token")
        for channel in channels:
            await channel.send(text)
    for channel in channels:
        channel.close()


async def send(channel: trio.MemoryReceiveChannel[str]) -> None:
    async for text in channel:
        await websocket.send(text)
    await websocket.send(RESULT)


@app.websocket("/stream")
async def stream() -> None:
    await websocket.accept()
    wanted: dict[str, Any] = json.loads(await websocket.receive())
    into, out = trio.open_memory_channel[str](64)
    if wanted.get("type") == "subscribe":
        rooms[wanted["session_id"]].append(into)
        await websocket.send_json({"type": "subscribed", "session_id": wanted["session_id"]})
        await send(out)
        return
    messages = Messages()
    await websocket.send(messages.started())
    if wanted.get("sse"):
        waiting[messages.session_id] = wanted
        return
    channels = rooms[messages.session_id] = [into]
    async with trio.open_nursery() as connection:
        work = trio.CancelScope()

        async def run() -> None:
            with work:
                async with trio.open_nursery() as both:
                    both.start_soon(produce, channels, messages, wanted)
                    both.start_soon(send, out)
            if work.cancelled_caught:
                await websocket.send(CANCELLED)

        connection.start_soon(run)
        while json.loads(await websocket.receive()).get("type") == "cancel":
            work.cancel()


@app.get("/events/<session_id>")
async def events(session_id: str) -> Response:
    into, out = trio.open_memory_channel[str](64)
    app.nursery.start_soon(produce, [into], Messages(), waiting.pop(session_id))

    async def body() -> AsyncIterator[str]:
        async for text in out:
            yield f"data: {text}\n\n"
        yield f"data: {RESULT}\n\n"

    response = Response(body(), content_type="text/event-stream")
    response.timeout = None
    return response
