"""`websockets`' own server: a queue and a socket, without a framework. It has no SSE.

python -m benchmarks.peers.websockets_twin [CERTIFICATE KEY]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
import time
from typing import Any

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.peers.message import CANCELLED, RESULT, Messages, settle_memory

Queue = asyncio.Queue[str | None]

rooms: dict[str, list[Queue]] = {}


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


async def send(socket: ServerConnection, queue: Queue) -> None:
    while (text := await queue.get()) is not None:
        await socket.send(text)
    await socket.send(RESULT)


async def stream(socket: ServerConnection) -> None:
    wanted: dict[str, Any] = json.loads(await socket.recv())
    queue: Queue = asyncio.Queue(64)
    if wanted.get("type") == "subscribe":
        rooms[wanted["session_id"]].append(queue)
        message = {"type": "subscribed", "session_id": wanted["session_id"]}
        await socket.send(json.dumps(message))
        await send(socket, queue)
        return
    messages = Messages()
    await socket.send(messages.started())
    queues = rooms[messages.session_id] = [queue]
    work = asyncio.gather(produce(queues, messages, wanted), send(socket, queue))
    with contextlib.suppress(ConnectionClosed):
        async for text in socket:
            if json.loads(text).get("type") == "cancel":
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
                await socket.send(CANCELLED)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
        await work
    del rooms[messages.session_id]


async def main() -> None:
    context = None
    if sys.argv[1:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[1:3])
    async with serve(stream, "127.0.0.1", 0, compression=None, ssl=context) as server:
        settle_memory()
        port = next(iter(server.sockets)).getsockname()[1]
        print(f"listening on http://127.0.0.1:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
