"""The application that the connection's tests serve: one handler for each habit of a handler."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import trio
import trio.lowlevel
from quart import request, websocket
from quart_trio import QuartTrio

from server.frames import chunk, text_frame
from server.wire import WIRE


def make_app(told: dict[str, Any] | None = None) -> QuartTrio:
    """Make the application; what its handlers see goes into `told`."""
    told = {} if told is None else told
    app = QuartTrio(__name__)

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    @app.post("/echo")
    async def echo_body() -> bytes:
        return await request.get_data()

    @app.get("/streamed")
    async def streamed() -> AsyncIterator[bytes]:
        async def body() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b"%d." % number
                await trio.lowlevel.checkpoint()

        return body()

    @app.get("/sse")
    async def sse() -> Any:
        wire = request.scope["extensions"][WIRE]

        async def body() -> AsyncIterator[bytes]:
            yield b"first\n"
            told["open"] = wire.is_open
            for number in range(200):
                line = b"%d\n" % number
                while wire.is_open and not wire.write_frames([chunk(line)]):
                    await wire.room()
                if number % 7 == 0 or not wire.is_open:
                    yield b"" if wire.is_open else line
            yield b"last\n"

        return body(), 200, {"Content-Type": "text/event-stream"}

    @app.websocket("/echo")
    async def echo() -> None:
        while True:
            message = await websocket.receive()
            await websocket.send(b"" if message is None else message)

    @app.websocket("/late")
    async def late() -> None:
        await trio.sleep(0.1)
        await websocket.accept()
        await trio.sleep_forever()

    @app.websocket("/deaf")
    async def deaf() -> None:
        await websocket.accept()
        try:
            await trio.sleep_forever()
        finally:
            told["deaf ended"] = True

    @app.websocket("/raises")
    async def raises() -> None:
        await websocket.accept()
        raise RuntimeError("on purpose")

    @app.websocket("/only-sends")
    async def only_sends() -> None:
        await websocket.accept()
        while True:
            await websocket.send("x" * told.get("size", 100))

    @app.websocket("/only-writes")
    async def only_writes() -> None:
        await websocket.accept()
        wire = websocket.scope["extensions"][WIRE]
        frames = [text_frame(b"x" * 1000)] * 8
        while await wire.room():
            wire.write_frames(frames)
        told["stalled"] = wire.stalled
        await trio.sleep_forever()

    @app.websocket("/ticks")
    async def ticks() -> None:
        await websocket.accept()
        wire = websocket.scope["extensions"][WIRE]
        while wire.is_open:
            wire.write_frames([text_frame(b"tick")])
            await trio.sleep(0.01)

    return app
