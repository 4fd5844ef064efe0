"""Start a session, stop it in the middle, start another, lose it, and read it to its end."""

import sys

import trio

from server.client import Client, Fold

REQUEST = {"request": {"input": "Explain backpressure", "phases": ["idea"], "count": 1}}


async def stop_one(client: Client) -> None:
    async with client.start("/stream", REQUEST) as stream:
        async for message in stream:
            if message["type"] == "chunk":
                await stream.cancel()  # as often as you like: it is accepted once
            if message["type"] == "cancelled":
                print("cancelled; receipt:", message["receipt"])


async def lose_one(client: Client) -> None:
    fold = Fold()
    async with client.start("/stream", {**REQUEST, "detached": True}) as stream:
        async for message in stream:
            fold.take(message)
            if message["type"] == "chunk":
                break  # leave it: it is detached, and runs on without a reader
        session_id, cursor = message["session_id"], f"{message['epoch']}:{message['seq']}"
    print("left at", message["seq"])

    async with client.follow("/stream", session_id, after=cursor) as stream:
        async for message in stream:
            fold.take(message)
    for text in fold.parts.values():
        print("all of it:", text)


async def main(url: str) -> None:
    client = Client(url)
    await stop_one(client)
    await lose_one(client)


trio.run(main, sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
