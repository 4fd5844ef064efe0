"""The plain server that a user would otherwise write: FastAPI, a queue, a socket, and no more.

No log, no journal, no resume, no supervision, no receipt. Run by uvicorn with uvloop; the same GC
settings as ours. Its messages have the fields that ours have, so that the bytes are comparable.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

from benchmarks.peers.message import CANCELLED, RESULT, Messages, settle_memory

Queue = asyncio.Queue[str | None]

app = FastAPI()
rooms: dict[str, list[Queue]] = {}
waiting: dict[str, dict[str, Any]] = {}

settle_memory()


async def produce(queues: list[Queue], messages: Messages, wanted: dict[str, Any]) -> None:
    """Put each delta into each reader's queue."""
    await asyncio.sleep(wanted.get("wait_s", 0))
    start, rate = time.monotonic(), wanted["rate"]
    for number in range(1, wanted["tokens"] + 1):
        if rate:
            await asyncio.sleep(start + number / rate - time.monotonic())
        text = messages.chunk(number, " token")
        for queue in queues:
            await queue.put(text)
    for queue in queues:
        await queue.put(None)


async def send(socket: WebSocket, queue: Queue) -> None:
    while (text := await queue.get()) is not None:
        await socket.send_text(text)
    await socket.send_text(RESULT)


@app.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    await socket.accept()
    wanted: dict[str, Any] = await socket.receive_json()
    queue: Queue = asyncio.Queue(64)
    if wanted.get("type") == "subscribe":
        rooms[wanted["session_id"]].append(queue)
        await socket.send_json({"type": "subscribed", "session_id": wanted["session_id"]})
        await send(socket, queue)
        return
    messages = Messages()
    await socket.send_text(messages.started())
    if wanted.get("sse"):
        waiting[messages.session_id] = wanted
        return
    queues = rooms[messages.session_id] = [queue]
    work = asyncio.gather(produce(queues, messages, wanted), send(socket, queue))
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            message = await socket.receive_json()
            if message.get("type") == "cancel":
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
                await socket.send_text(CANCELLED)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    del rooms[messages.session_id]


@app.get("/events/{session_id}")
async def events(session_id: str) -> StreamingResponse:
    async def body() -> AsyncIterator[str]:
        queue: Queue = asyncio.Queue(64)
        work = asyncio.create_task(produce([queue], Messages(), waiting.pop(session_id)))
        while (text := await queue.get()) is not None:
            yield f"data: {text}\n\n"
        yield f"data: {RESULT}\n\n"
        await work

    return StreamingResponse(body(), media_type="text/event-stream")
