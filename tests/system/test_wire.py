"""Frames of many writers over real sockets, plain and TLS: in order, whole, the close last."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio

from server.connection import ConnectionLimits
from server.frames import text_frame
from server.wire import WIRE
from tests.system.certificate import tls_pair
from tests.system.peers import serving

pytestmark = pytest.mark.system

SIZES = (0, 1, 20, 125, 126, 1000, 20_000, 70_000)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("seed", range(6))
async def test_frames_of_several_writers(seed: int, secure: bool) -> None:
    """Frames written directly, queued, and sent by `websocket.send` arrive once, whole, in the
    order in which they were taken; the close frame is the last.
    """
    chance = random.Random(seed)
    taken: list[bytes] = []

    async def write(scope: Any, send: Any, name: int) -> None:
        wire = scope["extensions"][WIRE]
        for number in range(80):
            messages = [
                b"%d:%d:%d:" % (name, number, part) + b"x" * chance.choice(SIZES)
                for part in range(chance.randint(1, 4))
            ]
            if chance.random() < 0.3:
                taken.append(messages[0])
                await send({"type": "websocket.send", "text": messages[0].decode()})
            else:
                frames = [text_frame(message) for message in messages]
                while not wire.write_frames(frames):
                    assert await wire.room()
                taken.extend(messages)
            match chance.randint(0, 4):
                case 0:
                    await trio.lowlevel.checkpoint()
                case 1:
                    await trio.sleep(0.003)  # longer than the cork: the next one goes directly

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await send({"type": "websocket.accept"})
        async with trio.open_nursery() as nursery:
            for name in range(3):
                nursery.start_soon(write, scope, send, name)
        await send({"type": "websocket.close", "code": 1000})
        assert not scope["extensions"][WIRE].write_frames([text_frame(b"late")])

    tls, trust = tls_pair() if secure else (None, None)
    limits = ConnectionLimits(linger_s=0.5)
    async with serving(app, tls=tls, trust=trust, limits=limits) as served, served.peer() as peer:
        await peer.upgrade(b"/")
        received: list[bytes] = []
        while True:
            opcode, payload = await peer.frame()
            if opcode == 8:
                break
            received.append(payload)
            if chance.random() < 0.02:
                await trio.sleep(0.02)
        assert received == taken
        assert payload == b"\x03\xe8"
        assert await peer.rest() == b""
