"""The plain server that a user would otherwise write: FastAPI, a queue, a socket, and no more.

No log, no journal, no resume, no supervision, no receipt. Run by uvicorn with uvloop; the same GC
settings as ours. Its messages have the fields that ours have, so that the bytes are comparable.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import time
import uuid
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()

gc.collect()
gc.freeze()
gc.set_threshold(10_000, 500, 100)


async def produce(queue: asyncio.Queue[tuple[int, str] | None], tokens: int, rate: float) -> None:
    start = time.monotonic()
    for index in range(tokens):
        if rate:
            await asyncio.sleep(start + (index + 1) / rate - time.monotonic())
        await queue.put((index + 1, " token"))
    await queue.put(None)


async def send(socket: WebSocket, queue: asyncio.Queue[tuple[int, str] | None]) -> None:
    session_id, prompt_id, epoch = str(uuid.uuid4()), str(uuid.uuid4()), "0123456789"
    while (delta := await queue.get()) is not None:
        number, text = delta
        await socket.send_text(
            json.dumps(
                {
                    "type": "chunk",
                    "phase": "prima-materia",
                    "prompt_id": prompt_id,
                    "model": "default",
                    "provider": "simulated",
                    "content": text,
                    "tokens": number,
                    "timestamp": int(time.time()),
                    "session_id": session_id,
                    "epoch": epoch,
                    "seq": number,
                }
            )
        )
    await socket.send_text(json.dumps({"type": "result", "content": "{}"}))


@app.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    await socket.accept()
    wanted: dict[str, Any] = await socket.receive_json()
    queue: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue(64)
    work = asyncio.gather(
        produce(queue, wanted["tokens"], wanted["rate"]),
        send(socket, queue),
    )
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            message = await socket.receive_json()
            if message.get("type") == "cancel":
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
                await socket.send_text(json.dumps({"type": "cancelled"}))
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
